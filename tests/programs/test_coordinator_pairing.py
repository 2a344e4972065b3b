"""Joining by a code at the coordinator: who may ask, who may say yes, and everything that ends a code."""

import asyncio
import secrets
from collections import Counter

import msgspec
import pytest

from coordinators import a_coordinator
from mesh.networks import codes
from mesh.networks import pairing as rules
from mesh.networks.pairing import Sides
from mesh.protocol import links, signed
from mesh.protocol.links import JoinLink
from mesh.protocol.papers import JoinProof

pytestmark = pytest.mark.anyio


def refused(answer, status, code):
    """The answer is this refusal, with a message for people."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    return answer.json()["error"]


class Machine:
    """A machine without a link, as it asks, shows a code and waits."""

    def __init__(self, bench, name="attic", **seen):
        self.bench, self.name, self.seed = bench, name, secrets.token_bytes(32)
        self.key = signed.public_key(self.seed)
        self.coordinator = bench.coordinator.parts.keys.public
        self.secret, self.nonce = links.new_secret(secrets.token_bytes(32)), secrets.token_hex(32)
        self.seen = {"binding": bench.coordinator.parts.site.binding, **seen}

    async def ask(self, **changes):
        """POST /v1/pairings; ``changes`` replace fields of the body after it was signed."""
        hashed = links.secret_hash(self.secret)
        times = {"time_ms": self.bench.clock.now_ms, "secret_sha256": hashed, "name": self.name}
        proof = JoinProof(network="", key=self.key, coordinator=self.coordinator, **times)
        body = {
            "name": self.name,
            "key": self.key,
            "machine": "linux x86_64, 8 cores",
            "secret_sha256": hashed,
            "commitment": codes.commitment(self.key, self.nonce),
            "proof": signed.sign(proof, self.seed),
        }
        self.asked = await self.bench.post("/v1/pairings", {**body, **changes})
        self.bench.clock.forward(0.001)
        return self.asked

    async def state(self, nonce=None):
        said = self.asked.json()
        return await self.bench.post(f"/v1/pairings/{said['pairing']}/state", {"nonce": nonce or self.nonce})

    async def show(self):
        """Ask, show the random number, and return the code."""
        answer = await self.ask()
        assert answer.status_code == 200, answer.text
        assert (await self.state()).json()["state"] == "waiting"
        return self.code()

    def code(self):
        said = self.asked.json()
        sides = Sides(self.key, self.coordinator, self.seen["binding"], self.name, links.secret_hash(self.secret))
        check = rules.check(sides, handle=said["handle"], coordinator_nonce=said["nonce"], nonce=self.nonce)
        return rules.shown_code(said["handle"], check)

    async def join(self):
        """Use the yes."""
        state = (await self.state()).json()
        invite = JoinLink("http://mesh.test", self.secret, self.coordinator, None, state["network_key"])
        return (await self.bench.ask_to_join(invite, self.name, self.seed))[1]


async def confirm(bench, network, person, code, key, **more):
    return await bench.post(f"/v1/networks/{network}/pairings/confirm", {"code": code, "key": key, **more}, person)


async def look(bench, network, person, code):
    return await bench.post(f"/v1/networks/{network}/pairings/look", {"code": code}, person)


async def a_home(bench):
    ann = await bench.claim()
    return ann, await bench.network(ann)


async def devices_of(bench, network, person):
    listed = (await bench.get(f"/v1/networks/{network}/devices", person)).json()["devices"]
    return [(one["name"], one["owner"], one["state"]) for one in listed]


async def test_a_member_looks_says_yes_and_the_machine_is_their_device(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        machine = Machine(bench)
        code = await machine.show()
        shown = (await look(bench, network, ann, code.lower())).json()
        assert (shown["name"], shown["machine"], shown["key"]) == ("attic", "linux x86_64, 8 cores", machine.key)
        assert shown["fingerprint"] == rules.fingerprint(machine.key) and shown["state"] == "ready"
        assert await devices_of(bench, network, ann) == [], "looking changes nothing"
        said = await confirm(bench, network, ann, code, machine.key, tags=["gpu"], ephemeral=True)
        assert said.status_code == 200, said.text
        state = (await machine.state()).json()
        assert (state["state"], state["network"], state["by"]) == ("confirmed", network, "Ann")
        joined = await machine.join()
        assert joined.status_code == 200 and joined.json()["certificate"]
        [device] = (await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"]
        assert (device["owner"], device["tags"], device["ephemeral"]) == (ann.member, ["gpu"], True)


async def test_a_code_lets_in_one_machine_once(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        machine = Machine(bench)
        code = await machine.show()
        answers = await asyncio.gather(*(confirm(bench, network, ann, code, machine.key) for _ in range(64)))
        codes = Counter(answer.json()["error"]["code"] for answer in answers if answer.status_code != 200)
        assert codes.total() == 63 and set(codes) == {"pairing.used", "pairing.too_many_wrong"}, "five tries at once"
        refused(await look(bench, network, ann, code), 410, "pairing.used")
        assert (await machine.join()).status_code == 200
        thief = Machine(bench)
        thief.secret = machine.secret
        _, answer = await bench.ask_to_join(
            JoinLink("http://mesh.test", machine.secret, machine.coordinator, None), "attic-2", thief.seed
        )
        refused(answer, 410, "token.used")


async def test_a_yes_is_for_the_machine_and_the_name_that_were_shown(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        machine, other = Machine(bench), Machine(bench, "other")
        code = await machine.show()
        refused(await confirm(bench, network, ann, code, other.key), 403, "pairing.other_machine")
        assert (await confirm(bench, network, ann, code, machine.key)).status_code == 200
        invite = JoinLink("http://mesh.test", machine.secret, machine.coordinator, None)
        _, answer = await bench.ask_to_join(invite, "attic", other.seed)
        refused(answer, 403, "pairing.other_machine")
        _, answer = await bench.ask_to_join(invite, "cellar", machine.seed)
        refused(answer, 403, "pairing.other_machine")
        assert (await machine.join()).status_code == 200, "what others tried cost it nothing"


@pytest.mark.parametrize("seen", ["key", "certificate"])
async def test_who_sits_in_between_makes_another_code(tmp_path, seen):
    """The machine met a neighbour's key or certificate; the member types its code at the real coordinator."""
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        machine = Machine(bench)
        await machine.show()
        if seen == "key":
            machine.coordinator = signed.public_key(secrets.token_bytes(32))
        else:
            machine.seen["binding"] = "aa" * 32
        refused(await look(bench, network, ann, machine.code()), 404, "pairing.wrong_code")
        assert await devices_of(bench, network, ann) == []


async def test_five_wrong_halves_close_a_code_and_the_member_waits(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        bob = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Bob")
        machine = Machine(bench)
        code = await machine.show()
        wrong = code[:5] + ("0000" if code[5:] != "0000" else "1111")
        for _ in range(5):
            refused(await look(bench, network, ann, wrong), 404, "pairing.wrong_code")
        refused(await look(bench, network, ann, code), 429, "pairing.too_many_wrong")
        refused(await confirm(bench, network, ann, code, machine.key), 429, "pairing.too_many_wrong")
        refused(await machine.state(), 410, "pairing.closed")
        refused(await look(bench, network, bob, code), 410, "pairing.closed")
        bench.clock.forward(codes.LIFE_S + 1)
        again = await Machine(bench, "cellar").show()
        assert (await look(bench, network, ann, again)).status_code == 200, "the wait is over"


async def test_a_right_code_costs_no_try_and_nonsense_none_either(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        code = await Machine(bench).show()
        for _ in range(10):
            assert (await look(bench, network, ann, code)).status_code == 200
            refused(await look(bench, network, ann, "nonsense!"), 400, "pairing.bad_code")


async def test_a_code_ends_after_ten_minutes_and_a_yes_after_two(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        machine = Machine(bench)
        code = await machine.show()
        bench.clock.forward(codes.LIFE_S)
        refused(await confirm(bench, network, ann, code, machine.key), 410, "pairing.expired")
        refused(await machine.state(), 410, "pairing.expired")
        late = Machine(bench, "late")
        await confirm(bench, network, ann, await late.show(), late.key)
        bench.clock.forward(rules.JOIN_S)
        refused(await late.join(), 410, "token.expired")
        assert await devices_of(bench, network, ann) == []


async def test_a_no_and_a_withdrawal_end_it_and_each_side_is_told(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        refused_one, left = Machine(bench), Machine(bench, "left")
        code, other = await refused_one.show(), await left.show()
        assert (await bench.post(f"/v1/networks/{network}/pairings/refuse", {"code": code}, ann)).status_code == 200
        refused(await refused_one.state(), 403, "pairing.refused")
        refused(await confirm(bench, network, ann, code, refused_one.key), 403, "pairing.refused")
        path = f"/v1/pairings/{left.asked.json()['pairing']}/withdraw"
        refused(await bench.post(path, {"nonce": "ab" * 32}), 404, "pairing.unknown")
        assert (await bench.post(path, {"nonce": left.nonce})).status_code == 200
        refused(await confirm(bench, network, ann, other, left.key), 410, "pairing.withdrawn")


async def test_only_the_machine_that_asked_learns_what_became_of_it(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        machine = Machine(bench)
        await machine.ask()
        refused(await machine.state("00" * 32), 404, "pairing.unknown")
        refused(await look(bench, network, ann, machine.code()), 404, "pairing.wrong_code")
        assert (await machine.state()).status_code == 200
        assert (await look(bench, network, ann, machine.code())).status_code == 200, "only now its code counts"


async def test_another_public_address_needs_a_second_yes(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        machine = Machine(bench)
        code = await machine.show()
        # the one difference that a test without sockets can make: where the machine was seen
        await bench.coordinator.parts.database.write(_moved, "1.1.1.1")
        shown = (await look(bench, network, ann, code)).json()
        assert shown["elsewhere"] and shown["address"] == "1.1.1.1"
        refused(await confirm(bench, network, ann, code, machine.key), 409, "pairing.elsewhere")
        assert (await confirm(bench, network, ann, code, machine.key, elsewhere=True)).status_code == 200


def _moved(store, address):
    from sqlalchemy import update

    from mesh.coordinator.store.schema.pairings import pairings

    store.run(update(pairings).values(address=address))


async def test_a_members_yes_waits_for_an_admin_and_a_guest_says_none(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        bob = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Bob")
        gus = await bench.sign_in(await bench.invite(network, ann, "member", role="guest"), "Gus")
        machine = Machine(bench)
        code = await machine.show()
        assert (await look(bench, network, bob, code)).json()["state"] == "pending"
        assert (await confirm(bench, network, bob, code, machine.key)).json()["state"] == "pending"
        joined = (await machine.join()).json()
        assert joined["state"] == "pending" and joined["certificate"] is None
        assert await devices_of(bench, network, ann) == [("attic", bob.member, "pending")]
        theirs = Machine(bench, "theirs")
        said = await confirm(bench, network, gus, await theirs.show(), theirs.key)
        assert said.json()["state"] == "pending", "a guest's machine does not come in by a guest's word either"


async def test_strangers_fill_neither_the_disk_nor_the_place_of_others(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        await a_home(bench)
        for number in range(codes.OPEN_OF_ADDRESS_MAX):
            assert (await Machine(bench, f"m{number}").ask()).status_code == 200
        refused(await Machine(bench, "one-more").ask(), 429, "pairing.too_many_wait")
        bench.clock.forward(codes.LIFE_S)
        assert (await Machine(bench, "later").ask()).status_code == 200


async def test_what_does_not_fit_together_is_refused(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        await a_home(bench)
        machine = Machine(bench)
        refused(await machine.ask(name="other"), 400, "pairing.bad_request")
        refused(await machine.ask(secret_sha256="ab" * 32), 400, "pairing.bad_request")
        foreign = Machine(bench)
        foreign.coordinator = signed.public_key(secrets.token_bytes(32))
        refused(await foreign.ask(), 400, "pairing.bad_request")
        small = await machine.ask(key="00" * 32)
        assert small.status_code == 400 and small.json()["error"]["code"] == "key.invalid"
        assert (await machine.ask(machine="\x1b]0;x\x07")).status_code == 400
        assert (await machine.ask()).status_code == 200
        again = Machine(bench, "again")
        again.secret = machine.secret
        refused(await again.ask(), 400, "pairing.bad_request")


async def test_a_restart_forgets_no_machine_that_waits(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        machine = Machine(bench)
        code = await machine.show()
        wrong = code[:5] + ("0000" if code[5:] != "0000" else "1111")
        for _ in range(4):
            await look(bench, network, ann, wrong)
    async with a_coordinator(tmp_path, bench.clock) as bench:
        machine.bench = bench
        assert (await machine.state()).json()["state"] == "waiting"
        refused(await look(bench, network, ann, wrong), 404, "pairing.wrong_code")
        refused(await machine.state(), 410, "pairing.closed")
        other = Machine(bench, "cellar")
        assert (await confirm(bench, network, ann, await other.show(), other.key)).status_code == 200


async def test_no_secret_of_a_machine_is_kept(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network = await a_home(bench)
        machine = Machine(bench)
        await confirm(bench, network, ann, await machine.show(), machine.key)
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("coordinator.db*"))
        assert machine.secret.encode() not in kept
        assert links.secret_hash(machine.secret).encode() in kept
        assert msgspec.json.encode(machine.code())[1:-1] not in kept
