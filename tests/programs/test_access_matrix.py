"""Every route × every caller does what docs/http.md says; no object of one network is touched through another."""

import re
import secrets
from typing import NamedTuple

import pytest
from sqlalchemy import select

from coordinators import Person, a_coordinator, an_id
from mesh.coordinator.store.schema.columns import METADATA
from mesh.networks.membership import PERMISSIONS
from mesh.protocol import link, signed
from mesh.protocol.papers import SignInProof
from programs.test_logins import CommandLine, confirm
from shape.route_table import PAGE, routes

pytestmark = pytest.mark.anyio
ROW = re.compile(r"^\| (?P<method>[A-Z]+) \| `(?P<path>[^`]+)` \| (?P<who>.+?) \| (?P<what>.+) \|$", re.MULTILINE)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"}
NOBODY = "auth.not_signed_in"
REFUSALS = {
    "auth.not_signed_in",
    "auth.read_only",
    "auth.not_operator",
    "auth.key_confined",
    "auth.not_from_page",
    "auth.not_fresh",
    "members.not_allowed",
    "members.not_member",
    "members.waits",
}
NARROWER = {
    ("DELETE", "/v1/networks/{network}/members/{member}"): "members.change",
    ("DELETE", "/v1/networks/{network}/tokens/{token}"): "members.invite",
}
"""What a handler demands beyond its declaration where the object is somebody else's, as it is in these requests."""
LAST = "/v1/page/sign-out"
KEYS = frozenset(PERMISSIONS["admin"]) - {"keys.own", "keys.revoke_any"}
"""What a key's scopes may name."""
NOTED = ("idempotency", "alembic_version")
"""Tables that say nothing of what a network is."""

MOVING = ("seen_ms", "used_ms", "installation", "start")
"""Columns that change by themselves: when a device or a key was last seen, and what its link says of it."""


class Row(NamedTuple):
    """A route as the documentation has it."""

    method: str
    path: str
    who: str

    @property
    def permission(self) -> str | None:
        found = re.match(r"`([a-z_.]+)`", self.who)
        return found[1] if found and "." in found[1] else None

    @property
    def roles(self) -> set[str]:
        return set(self.who.partition(": ")[2].split(", "))


def documented() -> list[Row]:
    rows = [Row(one["method"], one["path"], one["who"]) for one in ROW.finditer(PAGE.read_text(encoding="utf-8"))]
    return sorted(rows, key=lambda row: row.path == LAST)


class Caller(NamedTuple):
    """Somebody who calls: their role in the network of the path, or None; what their credential is."""

    who: str
    person: Person | None
    role: str | None = None
    kind: str = "session"
    operator: bool = False
    scopes: frozenset[str] = frozenset()

    def refusal(self, row: Row) -> set[str | None]:
        """The refusals that the documentation promises this caller; {None}: let through."""
        if row.who.startswith("public"):
            return {None}
        if self.person is None or self.kind == "wrong":
            return {NOBODY}
        if self.kind == "device" and (row.method != "GET" or "not by a code" in row.who):
            return {"auth.read_only"}
        if self.kind == "code" and (row.who.startswith("operator") or "not by a code" in row.who):
            return {"auth.not_fresh"}
        if row.who.startswith("operator"):
            return {None} if self.operator else {"auth.not_operator"}
        if row.permission is None:
            confined = self.kind == "key" and "API key" not in row.who
            return {"auth.key_confined"} if confined else {None}
        if self.kind == "waiting":
            return {"members.waits"}
        if self.role is None:
            return {"members.not_member", "auth.key_confined"}
        narrower = NARROWER.get((row.method, row.path), row.permission)
        let_through = {None, "members.not_member"} if "{member}" in row.path else {None}  # nobody has that id
        if self.kind == "key":
            return let_through if {row.permission, narrower} <= self.scopes else {"auth.key_confined"}
        if self.kind == "code" and not {row.permission, narrower} <= PERMISSIONS["member"]:
            return {"auth.not_fresh"}
        allowed = self.role in row.roles and narrower in PERMISSIONS[self.role]
        return let_through if allowed else {"members.not_allowed"}


async def a_key(bench, network, person, scopes):
    body = {"name": "a key", "scopes": sorted(scopes)}
    made = await bench.post(f"/v1/networks/{network}/keys", body, person)
    assert made.status_code == 200, made.text
    return Person("a key", made.json()["key"], person.member)


async def town(bench):
    """A network with one of every kind of person, and another with its own admin."""
    owner = await bench.claim("Owner")
    home, other = await bench.network(owner, "home"), await bench.network(owner, "other")
    people = {"owner": owner}
    for network, name, role in (
        (home, "admin", "admin"),
        (home, "member", "member"),
        (home, "guest", "guest"),
        (home, "gone", "member"),
        (other, "foreigner", "admin"),
    ):
        invite = await bench.invite(network, owner, "member", role=role)
        people[name] = await bench.sign_in(invite, name.title())
    assert (await bench.delete(f"/v1/networks/{home}/members/{people['gone'].member}", owner)).status_code == 200
    for name, role in (("waiting", "admin"), ("refused", "member")):
        people[name] = await bench.sign_in(await bench.invite(home, owner, "member", role=role, approve=True), name)
    refusal = f"/v1/networks/{home}/applicants/{people['refused'].member}/refuse"
    assert (await bench.post(refusal, {}, owner)).status_code == 200
    return people, home, other


async def a_reading_session(bench, network, person):
    device = await bench.device(network, person, "laptop")
    proof = SignInProof(
        network=network,
        device=device.id,
        coordinator=bench.claim_link.coordinator,
        nonce=secrets.token_hex(16),
        time_ms=bench.clock.now_ms,
    )
    made = await bench.post("/v1/sessions/device", {"proof": signed.sign(proof, device.seed)})
    assert made.status_code == 200, made.text
    return Person("laptop", made.json()["token"], person.member)


async def a_session_by_a_code(bench, person):
    line = CommandLine(bench)
    assert (await confirm(bench, person, line, await line.show())).status_code == 200
    return Person("by a code", line.token, person.member)


def address(path: str, **names: str) -> str:
    """A route's address; what is not named is an id of nothing."""
    return re.sub(r"{(\w+)(:path)?}", lambda found: names.get(found[1], "0" * 26), path)


def kept(bench) -> set[str]:
    """Every row of the database, as text; without when something was last seen or used."""

    def rows(store):
        found = set()
        for table in METADATA.tables.values():
            columns = [column for column in table.columns if column.name not in MOVING]
            found |= {f"{table.name} {tuple(row)}" for row in store.rows(select(*columns))}
        return {row for row in found if not row.startswith(NOTED)}

    return bench.coordinator.parts.database.read_and_wait(rows)


def refusal_in(answer):
    """The code, if the answer says that the caller may not."""
    if answer.headers.get("content-type") != "application/json" or "error" not in (told := answer.json()):
        return None
    return told["error"]["code"] if told["error"]["code"] in REFUSALS else None


async def test_every_route_lets_in_whom_the_documentation_names_and_nobody_else(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        people, home, other = await town(bench)
        admin, member, foreigner = people["admin"], people["member"], people["foreigner"]
        foreign_key = await a_key(bench, other, foreigner, {"read"})
        with_it = {scope: await a_key(bench, home, admin, {scope}) for scope in KEYS}
        without = {scope: await a_key(bench, home, admin, KEYS - {scope}) for scope in KEYS}
        callers = [
            Caller("nobody", None),
            Caller("a wrong token", Person("", "mesh_" + "x" * 43, ""), kind="wrong"),
            Caller("foreigner", foreigner),
            Caller("a key of another network", foreign_key, kind="key"),
            Caller("gone", people["gone"]),
            Caller("waiting", people["waiting"], kind="waiting"),
            Caller("refused", people["refused"]),
            Caller("guest", people["guest"], "guest"),
            Caller("member", member, "member"),
            Caller("a device", await a_reading_session(bench, home, member), "member", kind="device"),
            Caller("an admin by a code", await a_session_by_a_code(bench, admin), "admin", kind="code"),
            Caller("admin", admin, "admin"),
            Caller("owner", people["owner"], "admin", operator=True),
        ]
        tried, wrong = set(), []
        for row in documented():
            keys = []
            if row.permission in KEYS:
                others, scope = KEYS - {row.permission}, frozenset({row.permission})
                keys = [
                    Caller("a key without the scope", without[row.permission], "admin", "key", scopes=others),
                    Caller("a key of it alone", with_it[row.permission], "admin", "key", scopes=scope),
                ]
            for caller in (*callers, *keys):
                headers = caller.person.headers if caller.person else {}
                body = {} if row.method in ("POST", "PUT") else None
                path = address(row.path, network=home)
                answer = await bench.http.request(row.method, path, headers=headers, json=body)
                if refusal_in(answer) not in caller.refusal(row) or answer.status_code == 500:
                    wrong.append((row, caller.who, answer.status_code, answer.text[:200]))
            tried.add((row.method, row.path))
        assert not wrong, "\n".join(map(str, wrong))
        assert tried == {(method, route.path) for route in routes() for method in route.methods}


async def test_an_address_answers_no_method_that_it_does_not_declare(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        owner = await bench.claim()
        network = await bench.network(owner)
        declared = {}
        for route in routes():
            declared.setdefault(route.path, set()).update(route.methods)
        for path, methods in declared.items():
            for method in METHODS - methods:
                answer = await bench.http.request(method, address(path, network=network), headers=owner.headers)
                assert answer.status_code == 404, (method, path, answer.status_code)


async def test_a_cookie_acts_on_no_route_from_another_origin(tmp_path):
    """Cross-site requests: every act, with the cookie that a browser would send along."""
    async with a_coordinator(tmp_path) as bench:
        owner = await bench.claim()
        network = await bench.network(owner)
        cookie = {"cookie": f"mesh={owner.token}"}
        forged = ({}, {"origin": "http://evil.test", "x-mesh-page": "1"}, {"origin": "http://mesh.test"})
        before = kept(bench)
        for row in documented():
            if row.method == "GET" or row.who.startswith("public"):
                continue  # what is public needs no cookie: there is nothing to borrow
            for headers in forged:
                for how in ({"json": {}}, {"data": {"name": "x"}}):  # a script, and a form
                    path = address(row.path, network=network)
                    answer = await bench.http.request(row.method, path, headers={**cookie, **headers}, **how)
                    assert refusal_in(answer) == "auth.not_from_page", (row, headers, how, answer.text)
        assert kept(bench) == before


async def test_no_object_of_a_network_is_read_or_changed_through_another_one(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        people, home, other = await town(bench)
        admin, foreigner = people["admin"], people["foreigner"]
        waiting = people["waiting"].member
        device = await bench.device(home, admin, "lumen")
        token = (await bench.post(f"/v1/networks/{home}/tokens", {"purpose": "device"}, admin)).json()["token_id"]
        key = (await bench.post(f"/v1/networks/{home}/keys", {"name": "k", "scopes": ["read"]}, admin)).json()["key_id"]
        wire = await bench.linked(device)
        job = an_id()
        wire.say(link.Started(job, 1, device.id, "embeddings", "minilm", "private", 300))
        await bench.beat(wire)
        names = {"device": device.id, "token": token, "key": key, "job": job, "member": admin.member}
        names["applicant"] = waiting
        bodies = [
            {},
            {"role": "guest"},
            {"state": "paused"},
            {"name": "renamed"},
            {"day_limit": 5, "floor": 5},
            {"day_limit": 5},
            {"member": admin.member, "amount": 5, "reason": "mine"},
            {"requester": device.id, "job": job, "attempt": 1},
            {"device": device.id},
        ]
        before = kept(bench)
        for row in documented():
            if "{network}" not in row.path or row.permission is None:
                continue
            path = address(row.path, network=other, **names)
            for body in bodies if row.method in ("POST", "PUT") else [None]:
                answer = await bench.http.request(row.method, path, headers=foreigner.headers, json=body)
                assert answer.status_code < 500, (row, body, answer.text)
                told = answer.text
                assert not any(one in told for one in (device.key, "lumen", job)), (row, body, told)
                if path != address(row.path, network=other):
                    assert answer.is_client_error, (row, body, told)
        after = kept(bench)
        assert [row for row in before - after if other not in row] == [], "rows of another network changed"
        mine = (home, *names.values())
        assert [row for row in after - before if any(one in row for one in mine)] == [], "rows about another network"
