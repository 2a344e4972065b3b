"""Which key may follow which, how long the one before is good, and which chains of statements lead anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.networks.rotation import (
    GRACE_MS,
    IN_GRACE_MAX,
    Change,
    Former,
    KeyInUse,
    NotNext,
    TooOften,
    check_next,
    former,
)
from mesh.protocol import signed
from mesh.protocol.succession import CHAIN_MAX, STATEMENT_BYTES_MAX, ChainBroken, KeyOf, follow, read, statement

NETWORK = KeyOf("network", "N1", "N1")
NOW = 1_800_000_000_000


def seed(number: int) -> bytes:
    return number.to_bytes(32, "big")


def key(number: int) -> DeviceKey:
    return signed.public_key(seed(number))


def step(number: int, whose: KeyOf = NETWORK, *, old: int | None = None, new: int | None = None) -> str:
    """The ``number``-th change: from key number - 1 to key number, unless others are named."""
    old_seed, new_seed = seed(100 + (number - 1 if old is None else old)), seed(100 + (number if new is None else new))
    return statement(whose, number, old_seed=old_seed, new_seed=new_seed, from_ms=NOW + number)


def at(number: int) -> DeviceKey:
    return key(100 + number)


CHAIN = [step(number) for number in range(1, 9)]


@given(st.integers(0, 8), st.integers(0, 7))
def test_from_any_key_once_known_a_whole_chain_leads_to_the_newest(known, start):
    chain = CHAIN[start:]
    if known < start:
        with pytest.raises(ChainBroken):
            follow(at(known), chain, NETWORK, to=at(8))
        return
    steps = follow(at(known), chain, NETWORK, to=at(8))
    assert [one.number for one in steps] == list(range(known + 1, 9))
    assert not steps or (steps[0].old, steps[-1].new) == (at(known), at(8))


@given(st.permutations(range(8)), st.integers(0, 7), st.data())
def test_a_chain_that_is_cut_reordered_or_repeated_leads_nowhere(order, known, data):
    kept = order[: data.draw(st.integers(0, 8))]
    chain = [CHAIN[place] for place in kept]
    whole = kept == list(range(kept[0], 8)) and kept[0] <= known if kept else False
    if whole:
        assert follow(at(known), chain, NETWORK, to=at(8))
        return
    with pytest.raises(ChainBroken):
        follow(at(known), chain, NETWORK, to=at(8))
    if chain:
        with pytest.raises(ChainBroken):
            follow(at(known), [*chain, data.draw(st.sampled_from(chain))], NETWORK, to=at(8))


@given(st.integers(0, 7))
def test_a_foreign_statement_in_the_chain_spoils_it(place):
    for other in (
        KeyOf("network", "N2", "N1"),
        KeyOf("network", "N1", "N2"),
        KeyOf("device", "N1", "N1"),
        KeyOf("coordinator"),
    ):
        chain = [*CHAIN[:place], step(place + 1, other), *CHAIN[place + 1 :]]
        with pytest.raises(ChainBroken):
            follow(at(0), chain, NETWORK, to=at(8))


def test_a_fork_leads_away_from_the_newest_key_only_for_who_does_not_know_it():
    fork = [*CHAIN[:3], step(4, new=50)]
    assert follow(at(2), fork, NETWORK, to=key(150))  # a thief of key 3: who knows no newer key cannot tell
    for known in (4, 8):
        with pytest.raises(ChainBroken):
            follow(at(known), fork, NETWORK, to=key(150))
    with pytest.raises(ChainBroken):
        follow(at(0), fork, NETWORK, to=at(8))


def test_a_loop_and_an_endless_chain_are_refused():
    loop = [step(1), step(2), step(3, new=0), step(4, old=0, new=9)]
    with pytest.raises(ChainBroken):
        follow(at(1), loop, NETWORK, to=at(9))
    with pytest.raises(ChainBroken):
        read(step(1, new=0), NETWORK)
    long = [step(number) for number in range(1, CHAIN_MAX + 2)]
    with pytest.raises(ChainBroken):
        follow(at(1), long, NETWORK, to=at(CHAIN_MAX + 1))
    assert follow(at(1), long[1:], NETWORK, to=at(CHAIN_MAX + 1))
    assert max(map(len, long)) < STATEMENT_BYTES_MAX


@given(st.integers(0, 700), st.integers(1, 255))
def test_an_altered_statement_is_refused(place, by):
    raw = bytearray(CHAIN[2].encode())
    place %= len(raw)
    raw[place] = (raw[place] + by) % 256
    with pytest.raises((ChainBroken, UnicodeDecodeError)):
        read(raw.decode("ascii"), NETWORK)


def test_both_keys_must_have_signed():
    token, _, taken = CHAIN[0].rpartition(".")
    other_token, _, other_taken = step(1, new=7).rpartition(".")
    for text in (token, f"{token}.", f"{token}.{other_taken}", f"{other_token}.{taken}", "", ".", "a.b.c.d"):
        with pytest.raises(ChainBroken):
            read(text, NETWORK)


def changes(*moments: int) -> list[Change]:
    return [Change(place, at(place - 1), at(place), moment) for place, moment in enumerate(moments, start=1)]


def test_only_the_next_change_of_the_current_key_is_taken():
    known = changes(NOW - 3 * GRACE_MS, NOW - 2 * GRACE_MS)
    check_next(known, at(2), Change(3, at(2), at(3), NOW))
    for number, old in ((2, 2), (4, 2), (3, 1), (3, 0), (3, 7)):
        with pytest.raises(NotNext):
            check_next(known, at(2), Change(number, at(old), at(3), NOW))
    for again in (0, 1, 2):
        with pytest.raises(KeyInUse):
            check_next(known, at(2), Change(3, at(2), at(again), NOW))


@given(st.lists(st.integers(0, 3 * GRACE_MS), max_size=8), st.integers(0, 4 * GRACE_MS))
def test_a_key_is_good_for_a_day_after_the_change_and_few_are_at_once(moments, now):
    """Against a list of what was allowed, taken change by change."""
    taken: list[Change] = []
    for moment in sorted(moments):
        asked = Change(len(taken) + 1, at(len(taken)), at(len(taken) + 1), moment)
        try:
            check_next(taken, at(len(taken)), asked)
        except TooOften:
            assert sum(moment - one.at_ms < GRACE_MS for one in taken) == IN_GRACE_MAX
            continue
        taken.append(asked)
    good = former(taken, now, began_ms=0)
    assert [one.key for one in good] == [one.old for one in taken if now < one.at_ms + GRACE_MS]
    assert all(one.from_ms <= one.until_ms for one in good)
    latest = max((one.at_ms for one in taken), default=0)
    assert len(former(taken, latest, began_ms=0)) <= IN_GRACE_MAX


def test_former_keys_say_since_when_and_until_when():
    known = changes(NOW, NOW + 5)
    assert former(known, NOW + 10, began_ms=NOW - 100) == (
        Former(at(0), NOW - 100, NOW + GRACE_MS),
        Former(at(1), NOW, NOW + 5 + GRACE_MS),
    )
    assert former(known, NOW + GRACE_MS, began_ms=0) == (Former(at(1), NOW, NOW + 5 + GRACE_MS),)
    assert former(known, NOW + 5 + GRACE_MS, began_ms=0) == ()


def test_every_refusal_says_what_to_do():
    for error in (ChainBroken(), NotNext(), KeyInUse(), TooOften()):
        assert isinstance(error, MeshError) and len(error.message.split()) > 8
