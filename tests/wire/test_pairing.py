"""The pairing machine of the relay: each rule, with everything that was sent and that nothing more was."""

import random

import pytest

from mesh.protocol import relayed
from mesh.relay.pairing import Close, Effect, Pairing, Pause, Send
from mesh.units import MIB

A, B, C, STRANGER = (letter.encode() * 32 for letter in "abcx")
ECHO = b"12345678"
RATE = 1 * MIB


class Randomness:
    """Random bytes that can be told in advance: 1, 2, 3 … repeated."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, count: int) -> bytes:
        self.drawn += 1
        return bytes((self.drawn % 256,)) * count


def a_relay(networks: dict[bytes, tuple[int, ...]] | None = None) -> Pairing:
    """A relay that admits A and B in network 1, C in network 2."""
    pairing = Pairing(randomness=Randomness(), bytes_per_s=RATE)
    pairing.admissions((networks or {A: (1,), B: (1,), C: (2,)}).items(), full=True)
    return pairing


def a_relay_with(*connections: tuple[int, bytes], version: relayed.Version = 2) -> Pairing:
    """The same relay with connections (number, key)."""
    pairing = a_relay()
    for conn, key in connections:
        pairing.connected(conn, key, version, 0.0)
    return pairing


def wire(effects: object) -> list[tuple[int, bytes]]:
    """What is sent to whom, as whole frames; fails on any other effect."""
    assert isinstance(effects, list | tuple)
    assert all(isinstance(effect, Send) for effect in effects), effects
    return [(effect.conn, bytes(effect.head) + bytes(effect.body)) for effect in effects]


def to(key: bytes, content: bytes = b"packet") -> bytes:
    return relayed.send_datagrams(key, content)


def from_(key: bytes, content: bytes = b"packet") -> bytes:
    return relayed.forwarded_head(relayed.SEND_DATAGRAM, key) + b"\x00" + content


# --- forwarding -------------------------------------------------------------------------------------------------------


def test_a_datagram_goes_to_its_receiver_with_the_senders_key() -> None:
    pairing = a_relay_with((1, A), (2, B))
    assert wire(pairing.frame(1, to(B), 0.0)) == [(2, from_(A))]


def test_a_batch_keeps_its_segments() -> None:
    pairing = a_relay_with((1, A), (2, B))
    batch = relayed.send_datagrams(B, b"aabbc", segment=2, ecn=1)
    [(conn, frame)] = wire(pairing.frame(1, memoryview(batch), 0.0))
    assert conn == 2
    assert relayed.decode_from_relay(frame, 2) == relayed.Datagrams(A, 1, b"aabbc", 2)


def test_bytes_are_counted_by_network() -> None:
    pairing = a_relay_with((1, A), (2, B))
    pairing.frame(1, to(B), 0.0)
    pairing.frame(2, to(A), 0.0)
    assert pairing.counters.network_bytes == {1: 2 * len(to(B))}


@pytest.mark.parametrize(("who", "key"), [("absent", B), ("unknown", STRANGER), ("of another network", C)])
def test_whom_one_may_not_reach_is_as_silent_as_nobody(who: str, key: bytes) -> None:
    pairing = a_relay_with((1, A), (3, C))
    assert wire(pairing.frame(1, to(key), 0.0)) == []
    assert pairing.counters.dropped == {"no_route": 1}


def test_one_shared_network_of_several_is_enough() -> None:
    pairing = a_relay({A: (1, 7), C: (2, 7)})
    pairing.connected(1, A, 2, 0.0)
    pairing.connected(3, C, 2, 0.0)
    assert wire(pairing.frame(1, to(C), 0.0)) == [(3, from_(A))]
    assert pairing.counters.network_bytes == {7: len(to(C))}


def test_a_network_that_has_had_its_month_is_not_forwarded_for_but_others_are() -> None:
    pairing = a_relay({A: (1,), B: (1,), C: (1, 7)})
    for conn, key in enumerate((A, B, C), 1):
        pairing.connected(conn, key, 2, 0.0)
    assert wire(pairing.frame(1, to(B), 0.0)) == [(2, from_(A))]
    pairing.spend(frozenset({1}))
    assert wire(pairing.frame(1, to(B), 0.0)) == []
    assert pairing.counters.dropped == {"month": 1}
    pairing.admissions([(A, (1, 7))], full=False)
    assert wire(pairing.frame(1, to(C), 0.0)) == [(3, from_(A))]  # on the account of the network that is left
    pairing.spend(frozenset())
    assert wire(pairing.frame(1, to(B), 0.0)) == [(2, from_(A))]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x3f",
        b"\x06" + bytes(40),
        to(B, b""),
        relayed.ping(ECHO) + b"x",
        b"\x00" + bytes(16),
        b"\x01" + bytes(97),
    ],
)
def test_a_malformed_frame_ends_that_connection_and_no_other(frame: bytes) -> None:
    pairing = a_relay_with((1, A), (2, B))
    assert pairing.frame(1, frame, 0.0) == [Close(1, "malformed")]
    assert wire(pairing.frame(1, to(B), 0.0)) == []  # what was still in its buffer
    assert wire(pairing.frame(2, to(B), 0.0)) == [(2, from_(B))]
    assert pairing.counters.closed == {"malformed": 1}


# --- several connections of one key -----------------------------------------------------------------------------------


def test_the_newest_connection_of_a_key_hears_and_the_old_one_is_told() -> None:
    pairing = a_relay_with((1, A), (2, B))
    assert wire(pairing.connected(3, B, 2, 0.0)) == [(2, b"\x0d\x01")]
    assert wire(pairing.frame(1, to(B), 0.0)) == [(3, from_(A))]


def test_the_newest_spare_takes_over_when_the_active_one_ends() -> None:
    pairing = a_relay_with((1, A), (2, B), (3, B), (4, B))
    assert wire(pairing.closed(4)) == [(3, b"\x0d\x00")]
    assert wire(pairing.frame(1, to(B), 0.0)) == [(3, from_(A))]


def test_a_spare_that_ends_changes_nothing() -> None:
    pairing = a_relay_with((1, A), (2, B), (3, B))
    pairing.frame(3, to(A), 0.0)
    assert wire(pairing.closed(2)) == []
    assert wire(pairing.frame(1, to(B), 0.0)) == [(3, from_(A))]


def test_version_1_is_told_in_words() -> None:
    pairing = a_relay_with((1, B), version=1)
    [(conn, told)] = wire(pairing.connected(2, B, 1, 0.0))
    assert conn == 1
    message = relayed.decode_from_relay(told, 1)
    assert isinstance(message, relayed.Health)
    assert message.problem
    assert wire(pairing.closed(2)) == [(1, b"\x0b")]


def test_one_key_holds_four_connections_at_most() -> None:
    pairing = a_relay_with((1, A), (2, A), (3, A), (4, A))
    assert pairing.connected(5, A, 2, 0.0) == [Send(4, b"\x0d\x01"), Close(1, "too_many")]
    assert pairing.connections == 4


# --- departures -------------------------------------------------------------------------------------------------------


def test_those_who_heard_from_a_key_learn_that_it_has_gone() -> None:
    pairing = a_relay({A: (1,), B: (1,), C: (1,)})
    for conn, key in ((1, A), (2, B), (3, C)):
        pairing.connected(conn, key, 2, 0.0)
    pairing.frame(1, to(B), 0.0)
    pairing.frame(3, to(A), 0.0)
    assert wire(pairing.closed(1)) == [(2, relayed.endpoint_gone(A))]  # C sent to A but never heard from it


def test_a_key_has_gone_only_with_its_last_connection() -> None:
    pairing = a_relay_with((1, A), (2, A), (3, B))
    pairing.frame(1, to(B), 0.0)
    assert wire(pairing.closed(2)) == [(1, b"\x0d\x00")]
    assert wire(pairing.closed(1)) == [(3, relayed.endpoint_gone(A))]


def test_the_end_of_a_connection_is_news_once() -> None:
    pairing = a_relay_with((1, A), (2, B))
    pairing.frame(1, to(B), 0.0)
    assert len(pairing.closed(1)) == 1
    assert pairing.closed(1) == []
    assert pairing.closed(99) == []


def test_nobody_of_another_network_learns_of_a_departure() -> None:
    pairing = a_relay_with((1, A), (3, C))
    pairing.frame(1, to(C), 0.0)
    pairing.frame(3, to(A), 0.0)
    assert wire(pairing.closed(1)) == []


def test_who_comes_back_is_reached_again() -> None:
    pairing = a_relay_with((1, A), (2, B))
    pairing.frame(1, to(B), 0.0)
    pairing.closed(2)
    assert wire(pairing.frame(1, to(B), 0.0)) == []
    pairing.connected(4, B, 2, 0.0)
    assert wire(pairing.frame(1, to(B), 0.0)) == [(4, from_(A))]


# --- admissions -------------------------------------------------------------------------------------------------------


def test_a_removed_key_is_cut_at_once_and_those_it_spoke_to_are_told() -> None:
    pairing = a_relay_with((1, A), (2, A), (3, B))
    pairing.frame(2, to(B), 0.0)
    effects = pairing.admissions([(A, ())], full=False)
    assert effects == [Close(1, "removed"), Close(2, "removed"), Send(3, relayed.endpoint_gone(A))]
    assert not pairing.admits(A)
    assert wire(pairing.frame(2, to(B), 0.0)) == []
    assert wire(pairing.frame(3, to(A), 0.0)) == []
    assert pairing.closed(1) == pairing.closed(2) == []


def test_a_full_list_removes_whom_it_does_not_name() -> None:
    pairing = a_relay_with((1, A), (2, B))
    assert pairing.admissions([(B, (1,))], full=True) == [Close(1, "removed")]
    assert pairing.admits(B)


def test_a_change_leaves_the_others_alone() -> None:
    pairing = a_relay_with((1, A), (2, B))
    assert pairing.admissions([(STRANGER, (9,))], full=False) == []
    assert pairing.admits(STRANGER)
    assert wire(pairing.frame(1, to(B), 0.0)) == [(2, from_(A))]


def test_leaving_a_network_parts_two_devices_that_stay_connected() -> None:
    pairing = a_relay({A: (1, 2), B: (1,), C: (2,)})
    for conn, key in ((1, A), (2, B), (3, C)):
        pairing.connected(conn, key, 2, 0.0)
    pairing.frame(1, to(B), 0.0)
    pairing.frame(1, to(C), 0.0)
    pairing.frame(2, to(A), 0.0)
    parted = wire(pairing.admissions([(A, (2,))], full=False))
    assert sorted(parted) == [(1, relayed.endpoint_gone(B)), (2, relayed.endpoint_gone(A))]
    assert wire(pairing.frame(1, to(B), 0.0)) == []
    assert wire(pairing.frame(1, to(C), 0.0)) == [(3, from_(A))]
    assert wire(pairing.closed(1)) == [(3, relayed.endpoint_gone(A))]


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_ping_is_answered_at_once() -> None:
    pairing = a_relay_with((1, A))
    assert wire(pairing.frame(1, relayed.ping(ECHO), 0.0)) == [(1, relayed.pong(ECHO))]


def silence(pairing: Pairing, since: float) -> tuple[float, bytes]:
    """When, after ``since``, connection 1 is pinged, and with what."""
    for tenths in range(300):
        now = since + tenths / 10
        sent = wire(pairing.tick(now))
        if sent:
            [(conn, frame)] = sent
            assert conn == 1
            return now, frame
    raise AssertionError("no ping in 30 s")


def test_the_silent_are_pinged_after_16_to_20_seconds() -> None:
    pairing = a_relay_with((1, A))
    pairing.frame(1, relayed.ping(ECHO), 10.0)  # any frame counts as life
    asked_at, frame = silence(pairing, 10.0)
    assert 16.0 <= asked_at - 10.0 <= 20.1
    assert isinstance(relayed.decode_from_relay(frame, 2), relayed.Ping)


def test_the_right_pong_keeps_a_connection() -> None:
    pairing = a_relay_with((1, A))
    asked_at, frame = silence(pairing, 0.0)
    assert wire(pairing.frame(1, relayed.pong(frame[1:]), asked_at + 4.9)) == []
    assert wire(pairing.tick(asked_at + 5.1)) == []
    again, _ = silence(pairing, asked_at + 5.1)
    assert again > asked_at + 15.0


@pytest.mark.parametrize("answer", [None, relayed.pong(b"anything"), to(B)])
def test_no_matching_pong_in_5_seconds_ends_the_connection(answer: bytes | None) -> None:
    pairing = a_relay_with((1, A))
    asked_at, _ = silence(pairing, 0.0)
    if answer is not None:
        pairing.frame(1, answer, asked_at + 1.0)
    assert wire(pairing.tick(asked_at + 4.9)) == []
    assert pairing.tick(asked_at + 5.0) == [Close(1, "silent")]
    assert pairing.connections == 0


def test_when_it_stops_all_are_told() -> None:
    pairing = a_relay_with((1, A), (2, B))
    notice = relayed.restarting(0, 5000)
    assert wire(pairing.stopping(reconnect_in_ms=0, try_for_ms=5000)) == [(1, notice), (2, notice)]


# --- rate -------------------------------------------------------------------------------------------------------------


def flood(pairing: Pairing, now: float) -> list[Effect]:
    """Send 64 KiB frames at one moment until something else than forwarding happens; returns that."""
    for _ in range(100):
        effects = list(pairing.frame(1, to(B, bytes(60_000)), now))
        if len(effects) > 1:
            assert isinstance(effects[0], Send)
            assert effects[0].conn == 2  # forwarded all the same
            return effects[1:]
    raise AssertionError("never limited")


def test_who_is_ahead_of_its_rate_is_told_and_paused_and_told_again() -> None:
    pairing = a_relay_with((1, A), (2, B))
    told, pause = flood(pairing, 1.0)
    assert told == Send(1, b"\x0d\x02")
    assert isinstance(pause, Pause)
    assert pause.conn == 1
    assert 0.0 < pause.seconds < 0.2
    assert len(flood(pairing, 1.0)) == 1  # still ahead: paused, not told a second time
    assert wire(pairing.tick(1.1)) == []
    assert wire(pairing.tick(9.0)) == [(1, b"\x0d\x00")]
    assert wire(pairing.tick(9.5)) == []


def test_version_1_is_paused_without_a_word() -> None:
    pairing = a_relay_with((1, A), (2, B), version=1)
    [pause] = flood(pairing, 1.0)
    assert isinstance(pause, Pause)


def test_pauses_hold_a_client_to_its_rate() -> None:
    pairing = a_relay_with((1, A), (2, B))
    now, sent, frame = 0.0, 0, to(B, bytes(60_000))
    while now < 10.0:
        effects = pairing.frame(1, frame, now)
        sent += len(frame)
        now += sum(effect.seconds for effect in effects if isinstance(effect, Pause))
    assert 0.95 * RATE < sent / 10.0 < 1.05 * RATE


# --- all at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_frames_stay_within_networks(seed: int) -> None:
    draw = random.Random(seed)
    keys = [bytes((number,)) * 32 for number in range(6)]
    pairing = Pairing(randomness=draw.randbytes, bytes_per_s=RATE)
    networks: dict[bytes, set[int]] = {}
    live: dict[int, bytes] = {}
    now, next_conn = 0.0, 0

    def check(effects: object, before: dict[bytes, set[int]]) -> None:
        assert isinstance(effects, list | tuple)
        for effect in effects:
            if isinstance(effect, Close):
                live.pop(effect.conn)
                continue
            reader = live[effect.conn]  # nothing is ever sent to who has gone
            if isinstance(effect, Send) and effect.head[0] in (relayed.DATAGRAM, relayed.ENDPOINT_GONE):
                about = effect.head[1:33]
                assert before[about] & before[reader], (seed, effect.head[0])

    for _ in range(2000):
        now += draw.random()
        before = {key: set(numbers) for key, numbers in networks.items()}
        choice = draw.randrange(10)
        if choice == 0:
            key, numbers = draw.choice(keys), set(draw.sample(range(3), draw.randrange(3)))
            networks.pop(key, None)
            if numbers:
                networks[key] = numbers
            check(pairing.admissions([(key, numbers)], full=False), before)
        elif choice == 1 and networks:
            key = draw.choice(sorted(networks))
            next_conn += 1
            live[next_conn] = key
            check(pairing.connected(next_conn, key, draw.choice((1, 2)), now), before)
        elif choice == 2 and live:
            conn = draw.choice(sorted(live))
            del live[conn]
            check(pairing.closed(conn), before)
        elif choice == 3:
            check(pairing.tick(now), before)
        elif live:
            check(pairing.frame(draw.choice(sorted(live)), to(draw.choice(keys)), now), before)
        assert pairing.connections == len(live)
        assert all(key in networks for key in live.values())
