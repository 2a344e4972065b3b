"""The coordinator's HTTP: claim, network, invite, join; and every way in that must stay shut."""

import asyncio
import secrets

import pytest

from coordinators import LAPTOP, START_MS, Clock, a_coordinator
from mesh.protocol import links, signed
from mesh.protocol.papers import Certificate, SignInProof

pytestmark = pytest.mark.anyio


def refused(answer, status, code):
    """The answer is this refusal, with a message for people."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert answer.json()["error"]["message"].endswith(".")
    return answer.json()["error"]


async def test_from_a_claim_link_to_a_device_of_another_person(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Bob")
        laptop = await bench.device(network, ann, "laptop")
        server = await bench.device(network, bob, "server")
        devices = (await bench.get(f"/v1/networks/{network}/devices", bob)).json()["devices"]
        assert [(device["name"], device["owner"], device["state"]) for device in devices] == [
            ("laptop", ann.member, "offline"),
            ("server", bob.member, "offline"),
        ]
        people = (await bench.get(f"/v1/networks/{network}/members", bob)).json()["members"]
        assert [(person["name"], person["role"]) for person in people] == [("Ann", "admin"), ("Bob", "member")]
        key = laptop.answer["network_key"]
        paper = signed.verify(server.answer["certificate"], Certificate, key, network)
        assert (paper.device, paper.owner, paper.key) == (server.id, bob.member, server.key)
        assert paper.expires_ms - paper.issued_ms == 7 * 86400 * 1000


async def test_a_second_claim_is_told_when_the_first_was(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        await bench.claim()
        bench.clock.forward(60)
        answer = await bench.post("/v1/claim", {"secret": bench.claim_link.secret, "name": "Eve"})
        assert refused(answer, 409, "installation.claimed")["facts"] == {"claimed_ms": START_MS}


async def test_a_claim_link_ends_after_a_quarter_of_an_hour_and_a_restart_makes_a_new_one(tmp_path):
    clock = Clock()
    async with a_coordinator(tmp_path, clock) as bench:
        old = bench.claim_link
        clock.forward(15 * 60)
        refused(await bench.post("/v1/claim", {"secret": old.secret, "name": "Ann"}), 410, "token.expired")
    async with a_coordinator(tmp_path, clock) as bench:
        refused(await bench.post("/v1/claim", {"secret": old.secret, "name": "Ann"}), 404, "token.unknown")
        used = bench.claim_link
        await bench.claim()
    async with a_coordinator(tmp_path, clock) as bench:
        assert bench.claim_link is None
        refused(await bench.post("/v1/claim", {"secret": used.secret, "name": "Eve"}), 409, "installation.claimed")


async def test_opening_a_link_in_a_browser_uses_nothing_up(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        for _ in range(100):
            page = await bench.get("/join")
            assert page.status_code == 200 and bench.claim_link.secret not in page.text
        await bench.claim()


async def test_wrong_expired_used_up_and_revoked_invites_each_say_so(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        invite = await bench.invite(network, ann, expires_s=60)
        _, answer = await bench.ask_to_join(invite._replace(secret=links.new_secret(bytes(32))), "d0")
        refused(answer, 404, "token.unknown")
        await bench.join(invite, "d1")
        _, answer = await bench.ask_to_join(invite, "d2")
        refused(answer, 410, "token.used")
        invite = await bench.invite(network, ann, expires_s=60)
        bench.clock.forward(60)
        _, answer = await bench.ask_to_join(invite, "d3")
        refused(answer, 410, "token.expired")
        made = await bench.post(f"/v1/networks/{network}/tokens", {"purpose": "device"}, ann)
        await bench.delete(f"/v1/networks/{network}/tokens/{made.json()['token_id']}", ann)
        _, answer = await bench.ask_to_join(links.parse(made.json()["link"]), "d4")
        refused(answer, 410, "token.revoked")
        bench.clock.forward(0.001)
        person = await bench.invite(network, ann, "member")
        _, answer = await bench.ask_to_join(person, "d5")
        refused(answer, 400, "token.wrong_purpose")
        _, answer = await bench.ask_to_join(bench.claim_link, "d6")
        refused(answer, 400, "token.wrong_purpose")
        listed = (await bench.get(f"/v1/networks/{network}/tokens", ann)).json()["tokens"]
        assert [token["state"] for token in listed] == ["open", "revoked", "expired", "used"]
        devices = (await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"]
        assert [device["name"] for device in devices] == ["d1"]


async def test_a_link_that_names_another_network_costs_no_use_and_admits_nobody(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network, other = await bench.network(ann), await bench.network(ann, "other")
        invite = await bench.invite(network, ann)
        wrong = {"network_key": (await bench.invite(other, ann)).network_key}
        seed, answer = await bench.ask_to_join(invite, "laptop", changes=wrong)
        refused(answer, 403, "network.wrong_key")
        path = f"/v1/networks/{network}"
        assert (await bench.get(f"{path}/tokens", ann)).json()["tokens"][0]["used"] == 0
        assert (await bench.get(f"{path}/devices", ann)).json()["devices"] == []
        _, answer = await bench.ask_to_join(invite, "laptop", seed, changes={"network_key": invite.network_key})
        assert answer.status_code == 200, answer.text


async def test_sixty_four_at_once_with_an_invite_for_one_let_one_in(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        invite = await bench.invite(network, ann)
        answers = await asyncio.gather(*(bench.ask_to_join(invite, f"d{number}") for number in range(64)))
        assert sorted(answer.status_code for _, answer in answers) == [200] + [410] * 63
        devices = (await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"]
        assert len(devices) == 1


async def test_sixty_four_at_once_claim_it_once(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        asked = {"secret": bench.claim_link.secret}
        answers = await asyncio.gather(*(bench.post("/v1/claim", {**asked, "name": f"P{n}"}) for n in range(64)))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 63


async def test_a_device_whose_answer_was_lost_joins_again_by_the_same_link(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        invite = await bench.invite(network, ann)
        seed, first = await bench.ask_to_join(invite, "laptop")
        _, second = await bench.ask_to_join(invite, "laptop", seed)
        assert first.json() == second.json() and second.status_code == 200
        _, other = await bench.ask_to_join(await bench.invite(network, ann), "laptop-2", seed)
        refused(other, 409, "device.already_joined")


@pytest.mark.parametrize("altered", ["name", "key", "proof", "secret"])
async def test_a_proof_for_something_else_joins_nothing(tmp_path, altered):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        invite, other = await bench.invite(network, ann), await bench.invite(network, ann)
        changes = {
            "name": "other",
            "key": signed.public_key(secrets.token_bytes(32)),
            "proof": "e30.e30.e30",
            "secret": other.secret,
        }
        _, answer = await bench.ask_to_join(invite, "laptop", changes={altered: changes[altered]})
        assert answer.status_code in (400, 403) and answer.json()["error"]["code"] in (
            "device.bad_join",
            "token.invalid",
        )
        await bench.join(invite, "laptop")  # the refusals cost no use


async def test_a_small_order_key_joins_nothing(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        invite = await bench.invite(await bench.network(ann), ann)
        _, answer = await bench.ask_to_join(invite, "laptop", changes={"key": "01" + "00" * 31})
        refused(answer, 400, "key.invalid")


async def test_a_device_waits_for_approval_where_its_invite_says_so(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        device = await bench.join(await bench.invite(network, ann, approve=True), "laptop")
        assert (device.answer["state"], device.answer["certificate"]) == ("pending", None)
        assert (await bench.post(f"/v1/networks/{network}/devices/{device.id}/approve", {}, ann)).status_code == 200
        devices = (await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"]
        assert devices[0]["state"] == "offline"


async def test_a_network_may_ask_for_an_admins_approval_of_every_device(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Bob")
        path, asks = f"/v1/networks/{network}/settings", {"approve_devices": True}
        before = await bench.device(network, bob, "before")
        by_bob = await bench.invite(network, bob, uses=2)
        refused(await bench.http.put(path, json=asks, headers=bob.headers), 403, "members.not_allowed")
        assert (await bench.http.put(path, json=asks, headers=ann.headers)).status_code == 200
        assert (await bench.get(path, bob)).json()["approve_devices"] is True
        waits = await bench.join(by_bob, "waits")
        assert (waits.answer["state"], waits.answer["certificate"]) == ("pending", None)
        assert (await bench.device(network, ann, "anns")).answer["state"] == "ready"
        assert bench.coordinator.parts.snapshot.device(before.id).kept.standing == "active", "who is in stays in"
    async with a_coordinator(tmp_path, bench.clock) as bench:
        assert (await bench.join(by_bob, "waits-too")).answer["state"] == "pending", "it outlives a restart"


async def test_a_removed_device_comes_back_only_by_approval(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        device = await bench.device(network, ann, "laptop")
        assert (await bench.delete(f"/v1/networks/{network}/devices/{device.id}", ann)).status_code == 200
        refused(await bench.delete(f"/v1/networks/{network}/devices/{device.id}", ann), 404, "device.not_found")
        _, again = await bench.ask_to_join(await bench.invite(network, ann), "laptop", device.seed)
        assert again.json()["state"] == "pending"


async def test_who_may_what(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        gil = await bench.sign_in(await bench.invite(network, ann, "member", role="guest"), "Gil")
        laptop = await bench.device(network, ann, "laptop")
        path = f"/v1/networks/{network}"
        refused(await bench.get(f"{path}/devices"), 401, "auth.not_signed_in")
        refused(await bench.get(f"{path}/devices", bob.__class__("Eve", "mesh_x", "")), 401, "auth.not_signed_in")
        refused(await bench.post("/v1/networks", {"name": "mine"}, bob), 403, "auth.not_operator")
        refused(await bench.post(f"{path}/tokens", {"purpose": "member"}, bob), 403, "members.not_allowed")
        refused(await bench.post(f"{path}/tokens", {"purpose": "relay"}, bob), 403, "auth.not_operator")
        refused(await bench.post(f"{path}/tokens", {"purpose": "member"}, gil), 403, "members.not_allowed")
        people = (await bench.get(f"{path}/members", gil)).json()["members"]
        assert [person["name"] for person in people] == ["Ann", "Gil"]
        refused(await bench.delete(f"{path}/devices/{laptop.id}", bob), 403, "members.not_allowed")
        refused(await bench.get("/v1/networks/01M00000000000000000000000/devices", ann), 404, "members.not_member")
        other = await bench.network(ann, "other")
        refused(await bench.get(f"/v1/networks/{other}/devices", bob), 404, "members.not_member")
        refused(await bench.delete(f"/v1/networks/{other}/devices/{laptop.id}", ann), 404, "device.not_found")


async def test_a_device_signs_in_with_its_key_once_per_proof_and_only_reads(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        laptop = await bench.device(network, ann, "laptop")
        proof = SignInProof(
            network=network,
            device=laptop.id,
            coordinator=bench.claim_link.coordinator,
            nonce=secrets.token_hex(16),
            time_ms=bench.clock.now_ms,
        )
        body = {"proof": signed.sign(proof, laptop.seed)}
        answer = await bench.post("/v1/sessions/device", body)
        reader = ann.__class__("laptop", answer.json()["token"], ann.member)
        assert (await bench.get(f"/v1/networks/{network}/devices", reader)).status_code == 200
        refused(
            await bench.post(f"/v1/networks/{network}/tokens", {"purpose": "device"}, reader), 403, "auth.read_only"
        )
        refused(await bench.post("/v1/sessions/device", body), 401, "auth.stale_proof")
        forged = {"proof": signed.sign(proof, secrets.token_bytes(32))}
        refused(await bench.post("/v1/sessions/device", forged), 403, "token.invalid")
        bench.clock.forward(3600)
        refused(await bench.get(f"/v1/networks/{network}/devices", reader), 401, "auth.not_signed_in")
        await bench.delete(f"/v1/networks/{network}/devices/{laptop.id}", ann)
        refused(await bench.post("/v1/sessions/device", body), 404, "device.not_found")


async def test_a_repeated_request_does_nothing_twice_and_answers_the_same(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        path, key = f"/v1/networks/{network}/tokens", {"idempotency-key": "k1"}
        first = await bench.post(path, {"purpose": "device"}, ann, **key)
        second = await bench.post(path, {"purpose": "device"}, ann, **key)
        assert first.json() == second.json()
        assert len((await bench.get(path, ann)).json()["tokens"]) == 1
        refused(await bench.post(path, {"purpose": "device", "uses": 2}, ann, **key), 422, "request.key_reused")
        assert first.json()["link"].encode() not in (tmp_path / "coordinator.db-wal").read_bytes()


async def test_no_secret_is_kept_in_the_database(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        invite = await bench.invite(await bench.network(ann), ann)
        await bench.join(invite, "laptop")
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("coordinator.db*"))
        for secret in (ann.token, invite.secret, bench.claim_link.secret, bench.coordinator.parts.keys.seed.hex()):
            assert secret.encode() not in kept
        assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "keys").iterdir())


async def test_odd_requests_get_errors_in_the_one_form(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        refused(await bench.get("/v1/nothing"), 404, "request.no_such_address")
        refused(await bench.get("/v1/claim"), 404, "request.no_such_address")
        error = refused(await bench.post("/v1/networks", {"nam": "SECRET"}, ann), 400, "request.invalid")
        assert "SECRET" not in str(error)
        refused(await bench.post("/v1/networks", {"name": "Not A Name"}, ann), 400, "name.invalid")
        await bench.network(ann)
        refused(await bench.post("/v1/networks", {"name": "home"}, ann), 409, "name.taken")
        large = await bench.http.post("/v1/claim", content=b"x" * 300_000, headers={"content-type": "application/json"})
        refused(large, 413, "request.too_large")
        answer = await bench.http.post("/v1/claim", content=b"{", headers={"content-type": "application/json"})
        refused(answer, 400, "request.invalid")


async def test_names_that_hide_something_are_refused(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        secret = bench.claim_link.secret
        for name in ("", "a\u202eb", "x" * 101, "a\nb", "\x1b[31m"):
            refused(await bench.post("/v1/claim", {"secret": secret, "name": name}), 400, "name.invalid")
        assert (await bench.post("/v1/claim", {"secret": secret, "name": "Žofie 李"})).status_code == 200


async def test_a_restart_forgets_no_member_no_device_and_no_session(tmp_path):
    clock = Clock()
    async with a_coordinator(tmp_path, clock) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        laptop = await bench.device(network, ann, "laptop")
        await bench.linked(laptop)
        await bench.coordinator.upkeep.write_seen()
    clock.forward(60)
    async with a_coordinator(tmp_path, clock) as bench:
        path = f"/v1/networks/{network}/devices"
        assert (await bench.get(path, ann)).json()["devices"][0]["state"] == "ready"  # its 30 s to come back
        clock.forward(31)
        assert (await bench.get(path, ann)).json()["devices"][0]["state"] == "offline"
        assert bench.coordinator.parts.snapshot.device(laptop.id).capability == LAPTOP
