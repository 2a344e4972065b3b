"""API keys and sessions at the coordinator: shown once, confined, revoked, and gone with who made them."""

import asyncio

import pytest

from coordinators import Person, a_coordinator
from mesh.coordinator.http.access import API_KEY_PREFIX
from mesh.protocol import links
from programs.test_coordinator_http import refused

pytestmark = pytest.mark.anyio


async def a_key(bench, network, person, *scopes, name="nightly", **terms):
    answer = await bench.post(f"/v1/networks/{network}/keys", {"name": name, "scopes": list(scopes), **terms}, person)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    bench.clock.forward(0.001)  # ids of one millisecond have no order
    assert made["key"].startswith(API_KEY_PREFIX)
    return made["key_id"], Person(name, made["key"], person.member)


async def two_people(bench):
    ann = await bench.claim()
    network = await bench.network(ann)
    bob = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Bob")
    return network, ann, bob


async def test_a_key_does_what_its_scopes_name_and_nothing_else(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        network, ann, bob = await two_people(bench)
        device = await bench.device(network, bob, "attic")
        _, key = await a_key(bench, network, ann, "devices.read", "jobs.read_own")
        assert (await bench.get(f"/v1/networks/{network}/devices", key)).status_code == 200
        assert (await bench.get(f"/v1/networks/{network}/jobs", key)).status_code == 200
        for path in ("members", "ledger", "tokens", "settings"):
            refused(await bench.get(f"/v1/networks/{network}/{path}", key), 403, "auth.key_confined")
        refused(await bench.delete(f"/v1/networks/{network}/devices/{device.id}", key), 403, "auth.key_confined")
        # What needs a person and not a permission in a network is for people.
        refused(await bench.post("/v1/networks", {"name": "other"}, key), 403, "auth.not_operator")
        refused(await bench.get("/v1/sessions", key), 403, "auth.key_confined")
        refused(await bench.get(f"/v1/networks/{network}/keys", key), 403, "auth.key_confined")


async def test_a_narrow_key_of_an_admin_does_not_act_as_an_admin(tmp_path):
    """Its maker may more than it does: what is one's own to do must not become everybody's."""
    async with a_coordinator(tmp_path) as bench:
        network, ann, bob = await two_people(bench)
        attic = await bench.device(network, bob, "attic")
        scopes = ("devices.remove_own", "members.leave", "devices.invite", "ledger.read_own", "devices.steer_own")
        _, key = await a_key(bench, network, ann, *scopes)
        refused(await bench.delete(f"/v1/networks/{network}/devices/{attic.id}", key), 403, "auth.key_confined")
        refused(await bench.delete(f"/v1/networks/{network}/members/{bob.member}", key), 403, "auth.key_confined")
        steer = await bench.post(f"/v1/networks/{network}/devices/{attic.id}/state", {"state": "paused"}, key)
        refused(steer, 403, "auth.key_confined")
        named = f"/v1/networks/{network}/devices/{attic.id}/name"
        renamed = await bench.http.put(named, json={"name": "cellar"}, headers=key.headers)
        refused(renamed, 403, "auth.key_confined")
        invite = await bench.post(f"/v1/networks/{network}/tokens", {"purpose": "member"}, key)
        refused(invite, 403, "auth.key_confined")
        ledger = (await bench.get(f"/v1/networks/{network}/ledger", key)).json()["lines"]
        assert {line["member"] for line in ledger} <= {ann.member}
        assert len((await bench.get(f"/v1/networks/{network}/members", ann)).json()["members"]) == 2


async def test_a_key_is_for_one_network(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        home, work = await bench.network(ann, "home"), await bench.network(ann, "work")
        _, key = await a_key(bench, home, ann, "read")
        refused(await bench.get(f"/v1/networks/{work}/devices", key), 403, "auth.key_confined")
        listed = (await bench.get("/v1/networks", key)).json()["networks"]
        assert [one["network"] for one in listed] == [home]


async def test_a_key_follows_its_makers_role_down_but_not_up(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        network, ann, bob = await two_people(bench)

        async def role(role):
            path = f"/v1/networks/{network}/members/{bob.member}"
            assert (await bench.http.put(path, json={"role": role}, headers=ann.headers)).status_code == 200

        _, narrow = await a_key(bench, network, bob, "read")
        await role("admin")
        _, wide = await a_key(bench, network, bob, "network.change", "network.read")
        settings = f"/v1/networks/{network}/settings"
        strict = {"credit_line": "strict"}
        refused(await bench.http.put(settings, json=strict, headers=narrow.headers), 403, "auth.key_confined")
        assert (await bench.http.put(settings, json=strict, headers=wide.headers)).status_code == 200
        await role("member")
        refused(await bench.http.put(settings, json=strict, headers=wide.headers), 403, "auth.key_confined")
        assert (await bench.get(settings, wide)).status_code == 200
        everything = await bench.post(f"/v1/networks/{network}/keys", {"name": "x", "scopes": ["members.change"]}, bob)
        refused(everything, 403, "members.not_allowed")


async def test_keys_end_when_revoked_expired_or_when_their_maker_leaves(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        network, ann, bob = await two_people(bench)
        path = f"/v1/networks/{network}/devices"
        first, revoked = await a_key(bench, network, bob, "read", name="first")
        _, short = await a_key(bench, network, bob, "read", name="short", expires_s=3600)
        _, left = await a_key(bench, network, bob, "read", name="left")
        assert (await bench.delete(f"/v1/networks/{network}/keys/{first}", ann)).status_code == 200  # an admin may
        refused(await bench.get(path, revoked), 401, "auth.not_signed_in")
        assert (await bench.get(path, short)).status_code == 200
        bench.clock.forward(3600)
        refused(await bench.get(path, short), 401, "auth.not_signed_in")
        listed = (await bench.get(f"/v1/networks/{network}/keys", bob)).json()["keys"]
        assert [(one["name"], one["state"]) for one in listed] == [("left", "open"), ("short", "expired")]
        assert listed[1]["used_ms"] is not None and listed[0]["used_ms"] is None
        assert (await bench.delete(f"/v1/networks/{network}/members/{bob.member}", ann)).status_code == 200
        refused(await bench.get(path, left), 401, "auth.not_signed_in")


async def test_members_see_and_revoke_their_own_keys_only(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        network, ann, bob = await two_people(bench)
        hers, _ = await a_key(bench, network, ann, "read", name="hers")
        his, _ = await a_key(bench, network, bob, "read", name="his")
        path = f"/v1/networks/{network}/keys"
        assert [one["key_id"] for one in (await bench.get(path, bob)).json()["keys"]] == [his]
        assert [one["key_id"] for one in (await bench.get(path, ann)).json()["keys"]] == [his, hers]
        refused(await bench.delete(f"{path}/{hers}", bob), 403, "members.not_allowed")
        refused(await bench.delete(f"{path}/01ARZ3NDEKTSV4RRFFQ69G5FAV", bob), 404, "api_key.unknown")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "x", "scopes": []}, 400, "request.invalid"),
        ({"name": "x", "scopes": ["everything"]}, 400, "api_key.bad_scope"),
        ({"name": "x", "scopes": ["keys.own"]}, 400, "api_key.bad_scope"),
        ({"name": "x", "scopes": ["read"], "expires_s": 1}, 400, "api_key.bad_terms"),
        ({"name": "x", "scopes": ["read"], "expires_s": 1e12}, 400, "api_key.bad_terms"),
        ({"name": "\u202eevil", "scopes": ["read"]}, 400, "name.invalid"),
    ],
)
async def test_a_key_that_cannot_be_is_refused(tmp_path, body, status, code):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        refused(await bench.post(f"/v1/networks/{network}/keys", body, ann), status, code)


async def test_a_keys_secret_is_nowhere_in_the_database(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        headers = {**ann.headers, "idempotency-key": "once"}
        body = {"name": "x", "scopes": ["read"]}
        made = [
            (await bench.http.post(f"/v1/networks/{network}/keys", json=body, headers=headers)).json() for _ in range(2)
        ]
        assert made[0] == made[1], "the same request again makes no second key"
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("coordinator.db*"))
    assert made[0]["key"].encode() not in kept and made[0]["key_id"].encode() in kept


async def test_sessions_are_listed_and_ended_by_whom_they_belong_to(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        network, ann, bob = await two_people(bench)
        mine = (await bench.get("/v1/sessions", ann)).json()["sessions"]
        assert [(one["current"], one["label"]) for one in mine] == [(True, None)]
        refused(await bench.delete(f"/v1/sessions/{mine[0]['session']}", bob), 404, "auth.session_unknown")
        assert (await bench.get(f"/v1/networks/{network}/devices", ann)).status_code == 200
        assert (await bench.delete(f"/v1/sessions/{mine[0]['session']}", ann)).status_code == 200
        refused(await bench.get(f"/v1/networks/{network}/devices", ann), 401, "auth.not_signed_in")


async def test_a_link_signs_its_maker_in_elsewhere_once(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        network, ann, bob = await two_people(bench)

        async def a_link(person):
            answer = await bench.post("/v1/sessions/link", {}, person)
            assert answer.status_code == 200, answer.text
            return links.parse(answer.json()["link"])

        made = await a_link(bob)
        answers = await asyncio.gather(
            *(bench.post("/v1/claim", {"secret": made.secret, "label": f"m{at}"}) for at in range(16))
        )
        worked = [answer.json() for answer in answers if answer.status_code == 200]
        assert [(one["member"], one["name"]) for one in worked] == [(bob.member, "Bob")]
        assert {answer.json()["error"]["code"] for answer in answers if answer.status_code != 200} == {"token.used"}
        again = Person("Bob", worked[0]["token"], bob.member)
        assert len((await bench.get("/v1/sessions", again)).json()["sessions"]) == 2
        late = await a_link(ann)
        bench.clock.forward(600)
        refused(await bench.post("/v1/claim", {"secret": late.secret}), 410, "token.expired")
        gone = await a_link(bob)
        await bench.delete(f"/v1/networks/{network}/members/{bob.member}", ann)
        assert (await bench.post("/v1/claim", {"secret": gone.secret})).status_code == 200, "he is still a person here"
        assert (await bench.get("/v1/networks", again)).json()["networks"] == []


async def test_nobody_floods_the_coordinator_with_links(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        for _ in range(10):
            assert (await bench.post("/v1/sessions/link", {}, ann)).status_code == 200
        refused(await bench.post("/v1/sessions/link", {}, ann), 429, "auth.too_many_links")
