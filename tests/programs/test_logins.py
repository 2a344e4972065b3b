"""Signing a command line in by a code, who may ask, who says yes, what a yes grants and what not."""

import asyncio
import hashlib
import secrets

import pytest

from coordinators import Person, a_coordinator
from mesh.networks import codes
from mesh.networks import logins as rules
from mesh.networks.logins import Sides

pytestmark = pytest.mark.anyio


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


class CommandLine:
    """One that asks, shows a code and waits."""

    def __init__(self, bench, label="attic", admin=False, binding=None):
        self.bench, self.label, self.admin = bench, label, admin
        self.token, self.nonce = "mesh_" + secrets.token_urlsafe(32), secrets.token_hex(32)
        self.hashed = hashlib.sha256(self.token.encode()).hexdigest()
        self.binding = binding or bench.coordinator.parts.site.binding

    async def ask(self, **changes):
        commitment = codes.commitment(self.hashed, self.nonce)
        body = {"label": self.label, "secret_sha256": self.hashed, "commitment": commitment, "admin": self.admin}
        self.asked = await self.bench.post("/v1/logins", {**body, **changes})
        return self.asked

    async def state(self, nonce=None, after_s=rules.POLL_S):
        self.bench.clock.forward(after_s)
        login = self.asked.json()["login"]
        return await self.bench.post(f"/v1/logins/{login}/state", {"nonce": nonce or self.nonce})

    async def show(self):
        answer = await self.ask()
        assert answer.status_code == 200, answer.text
        assert (await self.state()).json()["state"] == "waiting"
        return self.code()

    def code(self):
        said, key = self.asked.json(), self.bench.coordinator.parts.keys.public
        sides = Sides(key, self.binding, self.label, self.admin, self.hashed)
        check = rules.check(sides, handle=said["handle"], coordinator_nonce=said["nonce"], nonce=self.nonce)
        return rules.shown_code(said["handle"], check)

    def person(self):
        return Person("?", self.token, "?")


async def look(bench, person, code):
    return await bench.post("/v1/logins/look", {"code": code}, person)


async def confirm(bench, person, line, code, **more):
    return await bench.post("/v1/logins/confirm", {"code": code, "secret_sha256": line.hashed, **more}, person)


async def test_a_person_looks_says_yes_and_the_command_line_is_signed_in_as_them_once(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        line = CommandLine(bench)
        code = await line.show()
        refused(await bench.get("/v1/networks", line.person()), 401, "auth.not_signed_in")
        shown = (await look(bench, ann, code.lower().replace("-", " "))).json()
        assert (shown["label"], shown["admin"], shown["elsewhere"], shown["name"]) == ("attic", False, False, "Ann")
        answers = await asyncio.gather(*(confirm(bench, ann, line, code) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410, 410]
        state = (await line.state()).json()
        assert (state["state"], state["member"], state["name"]) == ("confirmed", ann.member, "Ann")
        assert (await bench.get("/v1/networks", line.person())).status_code == 200
        listed = (await bench.get("/v1/sessions", ann)).json()["sessions"]
        assert [(one["label"], one["by_code"]) for one in listed] == [("attic", True), (None, False)]
        refused(await look(bench, ann, code), 410, "login.used")


async def test_a_session_by_a_code_does_no_admins_act_and_opens_no_way_in(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        line = CommandLine(bench)
        await confirm(bench, ann, line, await line.show())
        cli = line.person()
        assert (await bench.get(f"/v1/networks/{network}/devices", cli)).status_code == 200
        invited = {"purpose": "member", "role": "admin", "name": "Eve"}
        for path, body in (
            (f"/v1/networks/{network}/tokens", invited),
            (f"/v1/networks/{network}/rotate-key", {}),
            (f"/v1/networks/{network}/keys", {"name": "k", "scopes": ["members.invite"]}),
            ("/v1/networks", {"name": "other"}),
            ("/v1/rotate-key", {}),
            ("/v1/sessions/link", {}),
            ("/v1/logins/look", {"code": "AAA-AAA-AAA"}),
        ):
            refused(await bench.post(path, body, cli), 403, "auth.not_fresh")
        invite = await bench.invite(network, cli)
        joined = await bench.join(invite, "lumen")
        assert joined.answer["certificate"] is None, "a device of an admin's link still waits for an admin in person"


async def test_a_yes_with_an_admins_rights_needs_a_fresh_sign_in_and_lasts_ten_minutes(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        line = CommandLine(bench, admin=True)
        code = await line.show()
        assert (await look(bench, ann, code)).json()["admin"] is True
        bench.clock.forward(rules.FRESH_S)
        late = CommandLine(bench, admin=True)
        refused(await confirm(bench, ann, late, await late.show()), 403, "auth.sign_in_again")
        link = (await bench.post("/v1/sessions/link", {}, ann)).json()["link"]
        from mesh.protocol import links

        fresh = await bench.sign_in(links.parse(link), "")
        line = CommandLine(bench, admin=True)
        assert (await confirm(bench, fresh, line, await line.show())).status_code == 200
        settings = f"/v1/networks/{network}/settings"
        cli = line.person()
        changed = await bench.http.put(settings, json={"credit_line": "strict"}, headers=cli.headers)
        assert changed.status_code == 200
        bench.clock.forward(rules.FRESH_S)
        refused(
            await bench.http.put(settings, json={"credit_line": "friends"}, headers=cli.headers), 403, "auth.not_fresh"
        )


async def test_who_sits_in_between_makes_another_code_and_wrong_codes_end(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        between = CommandLine(bench, binding="f" * 64)
        code = await between.show()
        for _ in range(codes.WRONG_MAX):
            refused(await look(bench, ann, code), 404, "login.wrong_code")
        refused(await look(bench, ann, code), 429, "login.too_many_wrong")
        refused(await between.state(), 410, "login.closed")
        bench.clock.forward(codes.LIFE_S)
        refused(await look(bench, ann, "KXPT-9R4M"), 400, "login.bad_code")
        line = CommandLine(bench)
        refused(await confirm(bench, ann, between, await line.show()), 403, "login.other")
        assert (await confirm(bench, ann, line, line.code())).status_code == 200


async def test_asking_too_often_makes_the_wait_longer_and_another_cannot_ask(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        line = CommandLine(bench)
        await line.show()
        refused(await line.state(nonce="0" * 64), 404, "login.unknown")
        assert (await line.state(after_s=0.5)).json()["state"] == "waiting", "the other's question cost it nothing"
        soon = (await line.state(after_s=1)).json()
        assert (soon["state"], soon["poll_s"]) == ("slow_down", rules.POLL_S + rules.SLOWER_S)
        await confirm(bench, ann, line, line.code())
        assert (await line.state(after_s=rules.POLL_S)).json()["state"] == "slow_down"
        assert (await line.state(after_s=rules.POLL_S + 2 * rules.SLOWER_S)).json()["state"] == "confirmed"


async def test_a_code_ends_by_time_by_a_no_and_when_nobody_waits(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        line = CommandLine(bench)
        code = await line.show()
        assert (await bench.post("/v1/logins/refuse", {"code": code}, ann)).status_code == 200
        refused(await line.state(), 403, "login.refused")
        refused(await confirm(bench, ann, line, code), 403, "login.refused")
        line = CommandLine(bench)
        code = await line.show()
        bench.clock.forward(codes.LIFE_S)
        refused(await confirm(bench, ann, line, code), 410, "login.expired")
        refused(await line.state(), 410, "login.expired")
        line = CommandLine(bench)
        code = await line.show()
        path = f"/v1/logins/{line.asked.json()['login']}/withdraw"
        assert (await bench.post(path, {"nonce": line.nonce})).status_code == 200
        refused(await look(bench, ann, code), 404, "login.wrong_code")


async def test_few_may_wait_and_a_known_token_is_no_new_one(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        mine = hashlib.sha256(ann.token.encode()).hexdigest()
        refused(await CommandLine(bench).ask(secret_sha256=mine), 400, "login.bad_request")
        refused(await CommandLine(bench, label="a\u202eb").ask(), 400, "name.invalid")
        lines = [CommandLine(bench) for _ in range(9)]
        for line in lines[:8]:
            assert (await line.ask()).status_code == 200
        refused(await lines[8].ask(), 429, "login.too_many_wait")
        bench.clock.forward(codes.LIFE_S)
        assert (await lines[8].ask()).status_code == 200


async def test_a_session_by_a_device_or_nobody_confirms_nothing(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        line = CommandLine(bench)
        code = await line.show()
        nobody = Person("Eve", "mesh_wrong", "?")
        refused(await confirm(bench, nobody, line, code), 401, "auth.not_signed_in")
        assert (await line.state()).json()["state"] == "waiting"
        assert (await confirm(bench, ann, line, code, secret_sha256="0" * 64)).status_code == 403
