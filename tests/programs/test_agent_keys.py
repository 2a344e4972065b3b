"""A device's key files through every crash, and its ends: one per key, each with its own connections."""

import asyncio

import pytest

from mesh.agent.identity import Keychain, KeyExposed, KeyUnreadable, Next, fresh, load_or_make
from mesh.agent.membership import Membership, PeerRefused
from mesh.agent.peers.ends import Ends
from mesh.networks.rotation import GRACE_MS
from mesh.protocol import link, signed
from mesh.protocol.papers import Certificate, NetworkKey, PeerCertificate, State
from mesh.protocol.signed import BadToken
from mesh.protocol.succession import ChainBroken, KeyOf, statement
from mesh.sdk import home as homes
from mesh.sdk.home import DeviceRecord, Home
from mesh.transport.clock import CoordinatorClock
from mesh.transport.interface import Address, TransportError
from mesh.transport.memory import Switchboard

NOW = 1_800_000_000_000


class Crash(Exception):
    pass


def prepared(folder) -> tuple[Home, Keychain, Next]:
    home = Home(folder)
    load_or_make(home)
    keys = Keychain(home)
    following = Next(fresh(), "s.s.s.t")
    keys.prepare(following)
    return home, keys, following


def test_a_turn_keeps_the_old_key_for_its_time_and_no_longer(tmp_path):
    home, keys, following = prepared(tmp_path)
    old = keys.newest
    assert keys.seed() == old.seed and Keychain(home).following == following
    keys.turn(NOW + GRACE_MS)
    for now in (keys, Keychain(home)):
        assert (now.newest, now.former, now.following) == (following.identity, (old,), None)
        assert (now.seed(), now.seed(following.key), now.seed(old.key)) == (following.identity.seed,) * 2 + (old.seed,)
        assert now.seed(fresh().key) == following.identity.seed
        assert now.ends_ms == NOW + GRACE_MS
    assert keys.end(NOW) == []
    assert keys.end(NOW + GRACE_MS) == [old.key]
    assert Keychain(home).former == () and old.seed.hex() not in home.former_keys.read_text()
    assert old.seed.hex() not in repr(old) and following.identity.seed.hex() not in repr(following)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_crash_at_any_step_of_the_turn_leaves_one_key_that_counts_and_the_turn_can_be_made_again(
    tmp_path, monkeypatch, step
):
    home, keys, following = prepared(tmp_path)
    old, steps, real = keys.newest, iter(range(3)), homes.write_secret

    def crashing(path, content):
        if next(steps) == step:
            raise Crash
        real(path, content)

    def crash():
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr("mesh.agent.identity.write_secret", crashing)
        patch.setattr(keys, "drop", crash)  # the third step
        keys.turn(NOW)
    again = Keychain(home)
    if step < 2:  # the old one counts still, and the next is at hand
        assert (again.newest, again.following, again.former) == (old, following, ())
        again.turn(NOW)
        again = Keychain(home)
    assert (again.newest, again.following, again.former) == (following.identity, None, (old,))
    assert not home.next_key.exists()


@pytest.mark.parametrize("name", ["next_key", "former_keys"])
def test_key_files_that_are_damaged_or_exposed_are_refused(tmp_path, name):
    home, keys, _ = prepared(tmp_path)
    path = getattr(home, name)
    if name == "former_keys":
        keys.turn(NOW)
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o640)
    with pytest.raises(KeyExposed):
        Keychain(home)
    path.chmod(0o600)
    for content in (b"{", b"[1]", b'{"seed":"zz","succession":""}', b'[{"seed":"00","until_ms":1}]', b"\xff"):
        path.write_bytes(content)
        with pytest.raises(KeyUnreadable):
            Keychain(home)


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_device_is_called_under_both_keys_and_calls_under_the_newest():
    board, old, new, other = Switchboard(), fresh().key, fresh().key, fresh().key
    ends, peer = Ends(board.transport(old)), board.transport(other)
    accepting = asyncio.create_task(ends.accept())
    first = await peer.dial(Address(old), 1)
    assert ends.key_of(await accepting) == old
    await ends.add(board.transport(new), newest=True)
    assert (ends.key, ends.keys) == (new, (new, old))
    for called in (new, old):
        await peer.dial(Address(called), 1)
        assert ends.key_of(await ends.accept()) == called
    called = await ends.dial(Address(other), 1)
    assert (await peer.accept()).peer == new and ends.key_of(called) == new
    await ends.dial(Address(other), 1, old)
    assert (await peer.accept()).peer == old
    assert not first.closed
    await ends.retire(new)  # the newest is no end's to retire
    await ends.retire(old)
    assert ends.keys == (new,) and first.closed
    await peer.dial(Address(new), 1)
    assert ends.key_of(await ends.accept()) == new
    await ends.close()
    with pytest.raises(TransportError):
        await ends.accept()


# --- what a peer believes ---------------------------------------------------------------------------------------------

ROOT, OWN, OLD, NEW, THIEF = (bytes([number]) * 32 for number in range(1, 6))


def key(seed):
    return signed.public_key(seed)


def a_certificate(seed, *, number=0, former=(), issued_ms=0, root=ROOT):
    paper = Certificate(
        network="N", device="D2", name="box", key=key(seed), owner="M1", serial=1, epoch=1, issued_ms=issued_ms,
        expires_ms=2**53 - 1, key_number=number, former=tuple(NetworkKey(key(one), 0, until) for one, until in former),
    )  # fmt: skip
    return signed.sign(paper, root)


def a_state(epoch, *, roots=(ROOT,), signer=None, successions=(), revoked=()):
    paper = State(
        network="N", epoch=epoch, name="n", time_ms=0,
        network_keys=tuple(NetworkKey(key(one), 0, 2**53 - 1) for one in roots),
        coordinator_keys=(NetworkKey(key(ROOT), 0, 2**53 - 1),), successions=tuple(successions), revoked=revoked,
    )  # fmt: skip
    return signed.sign(paper, signer or roots[-1])


def a_membership():
    membership = Membership(DeviceRecord("D1", "own", "N", "M1"), key(OWN), CoordinatorClock())
    membership.adopt_state(a_state(5), trusted=True)
    return membership


def turn_of_root(number, old, new):
    return statement(KeyOf("network", "N", "N"), number, old_seed=old, new_seed=new, from_ms=number)


def test_a_replaced_key_is_known_for_its_day_and_its_certificate_is_worth_nothing_afterwards():
    membership = a_membership()
    now_ms = membership.clock.now_ms()
    old, fresh_one = a_certificate(OLD), a_certificate(NEW, number=1, former=[(OLD, now_ms + GRACE_MS)])
    ended = a_certificate(NEW, number=1, former=[(OLD, now_ms - 3_600_000)])
    membership.take_peers(link.Peers((PeerCertificate(old),), full=True))
    cut = []
    membership.on_revoked = cut.append
    for full in (False, True):
        membership.take_peers(link.Peers((PeerCertificate(fresh_one),), full=full))
        assert membership.known(key(OLD)) and membership.known(key(NEW))
        assert membership.check_certificate(old, key(OLD)).device == "D2"
        assert membership.device("D2").certificate.key == key(NEW)
        assert membership.keys_of("D2") == [key(NEW), key(OLD)]
    assert not cut  # sessions under the old key go on
    membership.take_peers(link.Peers((PeerCertificate(old),)))  # late news, or a copy: the newer one stays
    assert membership.device("D2").certificate.key == key(NEW)
    membership.take_peers(link.Peers((PeerCertificate(ended),), full=True))
    assert not membership.known(key(OLD))
    with pytest.raises(PeerRefused) as refused:
        membership.check_certificate(old, key(OLD))
    assert refused.value.facts["reason"] == "former"


def test_the_day_never_holds_for_a_revoked_key():
    membership = a_membership()
    until = membership.clock.now_ms() + GRACE_MS
    old, fresh_one = a_certificate(OLD), a_certificate(NEW, number=1, former=[(OLD, until)])
    membership.take_peers(link.Peers((PeerCertificate(fresh_one),), full=True))
    membership.adopt_state(a_state(6, revoked=(key(OLD),)), trusted=False)
    assert membership.known(key(NEW)) and not membership.known(key(OLD))
    assert not membership.speaks_for(key(OLD), "D2")
    with pytest.raises(PeerRefused):
        membership.check_certificate(old, key(OLD))


def test_a_state_under_a_new_network_key_is_taken_where_statements_lead_to_it_and_from_there_on_no_earlier_key_signs():
    chain = [turn_of_root(1, ROOT, OLD), turn_of_root(2, OLD, NEW)]
    membership = a_membership()
    for bad in (
        a_state(6, roots=(ROOT, NEW)),
        a_state(6, roots=(ROOT, NEW), successions=chain[1:]),
        a_state(6, roots=(ROOT, NEW), successions=chain[::-1]),
        a_state(6, roots=(ROOT, NEW), successions=[turn_of_root(1, THIEF, NEW)]),
        a_state(6, roots=(THIEF,), successions=chain),
        a_state(6, roots=(ROOT, NEW), signer=ROOT, successions=chain),
    ):
        with pytest.raises(BadToken):
            membership.adopt_state(bad, trusted=True)
    assert membership.adopt_state(a_state(6, roots=(ROOT, OLD, NEW), successions=chain), trusted=False)
    # Whoever holds an earlier key signs nothing that is taken; what peers kept from before is passed over.
    for signer in (ROOT, OLD):
        assert not membership.adopt_state(a_state(5, roots=(signer,)), trusted=False)
        with pytest.raises(BadToken):
            membership.adopt_state(a_state(9, roots=(signer,)), trusted=True)
    fork = turn_of_root(2, OLD, THIEF)
    with pytest.raises(ChainBroken):
        membership.adopt_state(a_state(9, roots=(OLD, THIEF), successions=[chain[0], fork]), trusted=True)
    with pytest.raises(BadToken):
        membership.adopt_state(a_state(4, roots=(THIEF,)), trusted=True)
    assert membership.epoch == 6
    # Certificates by any of the keys that State names are good.
    membership.take_peers(link.Peers((PeerCertificate(a_certificate(OLD, root=ROOT)),), full=True))


def test_longer_absences_are_bridged_by_the_coordinator_s_chain():
    seeds = [ROOT, *(bytes([number]) * 32 for number in range(20, 30))]
    chain = [turn_of_root(place, seeds[place - 1], seeds[place]) for place in range(1, 11)]
    newest = a_state(20, roots=(seeds[-1],), successions=chain[-4:])
    membership = a_membership()
    with pytest.raises(ChainBroken):
        membership.adopt_state(newest, trusted=True)
    assert membership.adopt_state(newest, trusted=True, chain=chain)
