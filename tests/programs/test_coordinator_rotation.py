"""Keys that follow one another at the coordinator, with a clock that tests move: graces, refusals, who hears what."""

import secrets

import pytest

from coordinators import a_coordinator
from mesh.coordinator.acts import rotation as acts
from mesh.networks.rotation import GRACE_S, IN_GRACE_MAX
from mesh.protocol import link, signed
from mesh.protocol.papers import CERTIFICATE_LIFE_S, Certificate, State
from mesh.protocol.succession import KeyOf, follow, read, statement
from waiting import until

pytestmark = pytest.mark.anyio


class Turner:
    """A device that replaces its key by hand."""

    def __init__(self, bench, network, device) -> None:
        self.bench, self.network, self.device = bench, network, device
        self.number = 0
        self.seeds = [device.seed]

    def next_statement(self, **changes) -> str:
        new = changes.pop("new_seed", None) or secrets.token_bytes(32)
        self.offered = new
        whose = changes.pop("whose", KeyOf("device", self.device.id, self.network))
        values = {"old_seed": self.seeds[-1], "new_seed": new, "from_ms": self.bench.clock.now_ms, **changes}
        return statement(whose, values.pop("number", self.number + 1), **values)

    async def turn(self, wire) -> link.KeyTaken:
        said = self.next_statement()
        wire.say(link.NewKey(said))
        taken = await wire.hear_a(link.KeyTaken)
        self.number += 1
        self.seeds.append(self.offered)
        self.device.seed = self.offered
        self.said = said
        return taken


async def home(bench):
    ann = await bench.claim()
    network = await bench.network(ann)
    return ann, network, await bench.device(network, ann, "laptop"), await bench.device(network, ann, "server")


async def state(bench, network) -> State:
    return signed.peek(await bench.coordinator.news.state(network), State)


def admitted(told, key):
    """Whether a relay that heard all this admits a key."""
    now = None
    for news in told:
        for one in news.admissions:
            if one.key == key:
                now = bool(one.networks)
    return now


async def test_everybody_hears_of_a_new_key_and_the_old_one_is_refused_after_its_day(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network, laptop, server = await home(bench)
        told = []
        bench.coordinator.admissions.join(told.append)
        other, wire = await bench.linked(server), await bench.linked(laptop)
        old, turner = laptop.key, Turner(bench, network, laptop)
        taken = await turner.turn(wire)
        root = bench.coordinator.parts.snapshot.networks[network].key
        own = signed.verify(taken.certificate, Certificate, root, network)
        assert (own.key, own.key_number, [one.key for one in own.former]) == (laptop.key, 1, [old])
        news = await other.hear_a(link.Peers)
        while not (news.certificates and signed.peek(news.certificates[0].certificate, Certificate).key == laptop.key):
            news = await other.hear_a(link.Peers)
        assert admitted(told, old) and admitted(told, laptop.key)
        assert old not in (await state(bench, network)).revoked

        # Its own old key opens no link any more, and says why.
        refused = bench.connect()
        refused.say(bench.prove(await refused.hear_a(link.Challenge), laptop.id, turner.seeds[0]))
        assert (await refused.hear_a(link.Problem)).error["code"] == "link.key_replaced"

        bench.clock.forward(GRACE_S - 1)
        await bench.coordinator.upkeep.once()
        assert admitted(told, old) and old not in (await state(bench, network)).revoked
        bench.clock.forward(2)
        await bench.coordinator.upkeep.once()
        after = await state(bench, network)
        assert not admitted(told, old) and admitted(told, laptop.key)
        assert old in after.revoked and laptop.key not in after.revoked
        assert old not in [one.key for one in bench.coordinator.parts.snapshot.device(laptop.id).kept.former]

        # The old statement, copied and shown again, opens nothing and changes nothing.
        again = bench.connect()
        proof = bench.prove(await again.hear_a(link.Challenge), laptop.id, turner.seeds[0])
        again.say(link.Prove(proof.device, proof.nonce, proof.proof, succession=turner.said))
        assert (await again.hear_a(link.Problem)).error["code"] == "link.proof_refused"
        # Nor does the old key come back by a link of its own: it waits for an admin.
        _, answer = await bench.ask_to_join(await bench.invite(network, ann), "laptop-2", turner.seeds[0])
        assert answer.status_code == 409 or answer.json()["state"] == "pending"
        bench.clock.forward(CERTIFICATE_LIFE_S + 2 * 86400)
        await bench.coordinator.news.network_changed(bench.coordinator.parts.snapshot.networks[network])
        bench.coordinator.news._states.clear()
        assert old not in (await state(bench, network)).revoked  # no certificate for it can be about any more


async def test_what_is_not_the_next_statement_of_this_device_is_refused(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, network, laptop, server = await home(bench)
        wire, turner = await bench.linked(laptop), Turner(bench, network, laptop)
        stranger = secrets.token_bytes(32)
        cases = [
            (turner.next_statement(number=2), "rotation.not_next"),
            (turner.next_statement(old_seed=stranger), "rotation.not_next"),
            (turner.next_statement(new_seed=server.seed), "rotation.key_in_use"),
            (turner.next_statement(whose=KeyOf("device", server.id, network)), "key.chain_broken"),
            (turner.next_statement(whose=KeyOf("device", laptop.id, "another")), "key.chain_broken"),
            (turner.next_statement(whose=KeyOf("network", network, network)), "key.chain_broken"),
            ("a.b.c.d", "key.chain_broken"),
        ]
        for said, code in cases:
            wire.say(link.NewKey(said))
            assert (await wire.hear_a(link.Problem)).error["code"] == code
        assert bench.coordinator.parts.snapshot.device(laptop.id).kept.key == laptop.key
        first = await turner.turn(wire)
        wire.say(link.NewKey(turner.said))
        assert await wire.hear_a(link.KeyTaken) == first  # repeated: answered as before
        for _ in range(IN_GRACE_MAX - 1):
            await turner.turn(wire)
        wire.say(link.NewKey(turner.next_statement()))
        assert (await wire.hear_a(link.Problem)).error["code"] == "rotation.too_often"
        bench.clock.forward(GRACE_S + 1)
        await bench.coordinator.upkeep.once()
        back = await bench.linked(laptop)
        await turner.turn(back)


async def test_a_device_that_was_not_answered_opens_its_link_with_the_statement(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, network, laptop, _ = await home(bench)
        turner = Turner(bench, network, laptop)
        said = turner.next_statement()

        async def prove(seed, shown):
            wire = bench.connect()
            proof = bench.prove(await wire.hear_a(link.Challenge), laptop.id, seed)
            wire.say(link.Prove(proof.device, proof.nonce, proof.proof, succession=shown))
            return await wire.hear_a(link.Welcome, link.Problem)

        stranger = secrets.token_bytes(32)
        for seed in (laptop.seed, stranger):  # whoever shows it must prove the new key
            assert (await prove(seed, said)).error["code"] == "link.proof_refused"
        forged = turner.next_statement(old_seed=stranger, new_seed=stranger[::-1])
        assert (await prove(stranger[::-1], forged)).error["code"] == "link.proof_refused"
        turner.next_statement()
        new = secrets.token_bytes(32)
        said = turner.next_statement(new_seed=new)
        for _ in range(2):  # taken the first time, known the second
            welcome = await prove(new, said)
            assert signed.peek(welcome.certificate, Certificate).key == signed.public_key(new)
        bench.clock.forward(30 * 86400.0)  # also long after its grace
        assert isinstance(await prove(new, said), link.Welcome)


async def test_a_change_whose_link_ends_at_once_is_made_known_all_the_same(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, network, laptop, _ = await home(bench)
        told = []
        bench.coordinator.admissions.join(told.append)
        wire, turner = await bench.linked(laptop), Turner(bench, network, laptop)
        wire.say(link.NewKey(turner.next_statement()))
        wire.hang_up()
        new = signed.public_key(turner.offered)
        await until(lambda: admitted(told, new))
        assert bench.coordinator.parts.snapshot.device(laptop.id).kept.key == new


async def test_a_change_that_was_written_and_not_told_is_told_to_who_shows_it_again(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        _, network, laptop, _ = await home(bench)
        told, parts = [], bench.coordinator.parts
        bench.coordinator.admissions.join(told.append)
        said = (turner := Turner(bench, network, laptop)).next_statement()
        await parts.database.write(acts.turn_device, laptop.id, said, parts.issuer(network), parts.moment())
        wire = bench.connect()
        proof = bench.prove(await wire.hear_a(link.Challenge), laptop.id, turner.offered)
        wire.say(link.Prove(proof.device, proof.nonce, proof.proof, succession=said))
        welcome = await wire.hear_a(link.Welcome)
        new = signed.public_key(turner.offered)
        assert signed.peek(welcome.certificate, Certificate).key == new and admitted(told, new)


async def test_a_held_device_s_keys_are_all_out_and_its_approval_brings_back_only_what_is_good(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network, laptop, _ = await home(bench)
        wire, turner = await bench.linked(laptop), Turner(bench, network, laptop)
        old = laptop.key
        await turner.turn(wire)
        wire.say(link.Hello("test", 0, start="a copy"))
        assert (await wire.hear_a(link.Problem)).error["code"] == "device.copied"
        assert {old, laptop.key} <= set((await state(bench, network)).revoked)
        bench.clock.forward(GRACE_S + 1)
        await bench.coordinator.upkeep.once()
        answer = await bench.post(f"/v1/networks/{network}/devices/{laptop.id}/approve", {}, ann)
        assert answer.status_code == 200
        assert old in (await state(bench, network)).revoked
        assert laptop.key not in (await state(bench, network)).revoked


async def test_a_network_s_key_is_its_admins_to_replace_and_the_coordinator_s_its_operator_s(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        ben = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Ben")
        for path in (f"/v1/networks/{network}/rotate-key", "/v1/rotate-key"):
            assert (await bench.post(path, {}, ben)).status_code == 403
            assert (await bench.post(path, {})).status_code == 401
        assert not bench.coordinator.parts.snapshot.histories[network].changes


async def test_the_state_names_both_keys_for_a_day_and_certificates_are_issued_anew(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network, laptop, _ = await home(bench)
        before = await state(bench, network)
        wire = await bench.linked(laptop)
        bench.clock.forward(10)
        asked = {"idempotency-key": "once"}
        answer = (await bench.post(f"/v1/networks/{network}/rotate-key", {}, ann, **asked)).json()
        after = signed.peek((await wire.hear_a(link.StateUpdate)).state, State)
        assert after.epoch > before.epoch
        assert [one.key for one in after.network_keys] == [answer["old"], answer["key"]]
        assert answer["old"] == before.network_keys[0].key
        steps = follow(answer["old"], after.successions, KeyOf("network", network, network), to=answer["key"])
        assert [one.number for one in steps] == [1]
        again = (await bench.post(f"/v1/networks/{network}/rotate-key", {}, ann, **asked)).json()
        assert again == answer and answer["number"] == 1  # repeated, not done twice
        assert bench.coordinator.parts.snapshot.networks[network].key == answer["key"]
        assert not list((tmp_path / "keys").glob("*.next"))
        await bench.coordinator.upkeep.once()
        renewed = (await wire.hear_a(link.CertificateUpdate)).certificate
        assert signed.verify(renewed, Certificate, answer["key"], network).key == laptop.key
        bench.clock.forward(GRACE_S + 1)
        bench.coordinator.news._states.clear()
        assert [one.key for one in (await state(bench, network)).network_keys] == [answer["key"]]
    async with a_coordinator(tmp_path, bench.clock) as bench:  # and after a restart
        assert (await state(bench, network)).network_keys[-1].key == answer["key"]
        assert bench.coordinator.parts.snapshot.histories[network].chain == after.successions


@pytest.mark.parametrize("committed", [False, True])
async def test_a_coordinator_killed_around_the_change_starts_with_the_key_that_its_database_names(tmp_path, committed):
    async with a_coordinator(tmp_path) as bench:
        ann, network, _, _ = await home(bench)
        parts = bench.coordinator.parts
        keys, real = parts.keys, parts.keys.settle
        own, root = keys.public, parts.snapshot.networks[network].key

        class Killed(Exception):
            pass

        def killed(*_, **__):
            raise Killed

        def killed_after_the_commit(subject, key):
            known = signed.public_key(keys.network(subject)) if subject else keys.public
            if known != key:
                raise Killed

        if committed:
            keys.settle = killed_after_the_commit
        else:
            parts.database.write = killed
        for path in (f"/v1/networks/{network}/rotate-key", "/v1/rotate-key"):
            with pytest.raises(Killed):
                await bench.post(path, {}, ann)
        keys.settle = real
        if not committed:
            del parts.database.write
        assert len(list((tmp_path / "keys").glob("*.next"))) == 2
    async with a_coordinator(tmp_path, bench.clock) as bench:
        parts = bench.coordinator.parts
        same = (parts.keys.public, signed.public_key(parts.keys.network(network)))
        assert (same == (own, root)) is not committed
        assert parts.snapshot.networks[network].key == same[1]
        assert not list((tmp_path / "keys").glob("network-*.next"))
        token = await bench.coordinator.news.state(network)
        assert signed.verify(token, State, same[1], network).coordinator_keys[-1].key == same[0]


async def test_a_change_that_was_cut_short_is_completed_and_not_written_over_by_the_next(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network, _, _ = await home(bench)
        keys = bench.coordinator.parts.keys
        real, keys.settle = keys.settle, lambda network, key: real(network, key) if cut else None
        for path in (f"/v1/networks/{network}/rotate-key", "/v1/rotate-key"):
            cut = False
            await bench.post(path, {}, ann)  # the new key is committed, and the files stay as they were
            cut = True
            await bench.post(path, {}, ann)
        names = (keys.public, signed.public_key(keys.network(network)))
        assert names == (
            bench.coordinator.parts.snapshot.histories[""].changes[-1].new,
            bench.coordinator.parts.snapshot.networks[network].key,
        )
    async with a_coordinator(tmp_path, bench.clock) as bench:
        assert (bench.coordinator.parts.keys.public, bench.coordinator.parts.snapshot.networks[network].key) == names


async def test_every_kept_statement_reads_and_no_seed_is_in_the_database(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network, laptop, _ = await home(bench)
        wire, turner = await bench.linked(laptop), Turner(bench, network, laptop)
        await turner.turn(wire)
        await bench.post(f"/v1/networks/{network}/rotate-key", {}, ann)
        seeds = [*turner.seeds, bench.coordinator.parts.keys.network(network), bench.coordinator.parts.keys.seed]
        assert read(turner.said, KeyOf("device", laptop.id, network)).number == 1
    content = b"".join(path.read_bytes() for path in tmp_path.glob("coordinator.db*"))
    assert turner.said.encode() in content
    assert not [seed for seed in seeds if seed in content or seed.hex().encode() in content]
