"""Relay frames: golden bytes, limits, versions, and frames mutated at random."""

import random
from typing import get_args

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocol import relayed
from mesh.protocol.relayed import BadFrame, Version

KEY = bytes(range(32))
ECHO = b"12345678"


def derive_key(context: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=context).digest()


FROM_CLIENT = {
    "datagram": (relayed.send_datagrams(KEY, b"packet", ecn=2), relayed.Datagrams(KEY, 2, b"packet")),
    "batch": (relayed.send_datagrams(KEY, b"aabbc", segment=2), relayed.Datagrams(KEY, 0, b"aabbc", 2)),
    "ping": (relayed.ping(ECHO), relayed.Ping(ECHO)),
    "pong": (relayed.pong(ECHO), relayed.Pong(ECHO)),
}
FROM_RELAY = {
    "datagram": (b"\x06" + KEY + b"\x00packet", relayed.Datagrams(KEY, 0, b"packet"), (1, 2)),
    "batch": (b"\x07" + KEY + b"\x01\x00\x02aabbc", relayed.Datagrams(KEY, 1, b"aabbc", 2), (1, 2)),
    "gone": (relayed.endpoint_gone(KEY), relayed.EndpointGone(KEY), (1, 2)),
    "ping": (relayed.ping(ECHO), relayed.Ping(ECHO), (1, 2)),
    "pong": (relayed.pong(ECHO), relayed.Pong(ECHO), (1, 2)),
    "health": (relayed.health(1, 1, "taken over"), relayed.Health("taken over"), (1,)),
    "status": (relayed.health(2, 1, "taken over"), relayed.Status(1), (2,)),
    "restarting": (relayed.restarting(5, 70_000), relayed.Restarting(5, 70_000), (1, 2)),
}


@pytest.mark.parametrize("name", FROM_CLIENT)
def test_a_clients_frame_decodes_to_what_was_encoded(name: str) -> None:
    frame, message = FROM_CLIENT[name]
    assert relayed.decode_from_client(frame) == message
    assert relayed.decode_from_client(memoryview(frame)) == message


@pytest.mark.parametrize("version", get_args(Version))
@pytest.mark.parametrize("name", FROM_RELAY)
def test_a_relays_frame_is_known_in_its_versions_only(name: str, version: Version) -> None:
    frame, message, versions = FROM_RELAY[name]
    if version in versions:
        assert relayed.decode_from_relay(frame, version) == message
    else:
        with pytest.raises(BadFrame):
            relayed.decode_from_relay(frame, version)


def test_frames_are_bytes_as_the_protocol_says() -> None:
    assert FROM_CLIENT["datagram"][0] == b"\x04" + KEY + b"\x02packet"
    assert FROM_CLIENT["batch"][0] == b"\x05" + KEY + b"\x00\x00\x02aabbc"
    assert relayed.ping(ECHO) == b"\x09" + ECHO
    assert relayed.pong(ECHO) == b"\x0a" + ECHO
    assert relayed.endpoint_gone(KEY) == b"\x08" + KEY
    assert relayed.health(2, relayed.STATUS_RATE_LIMITED, "") == b"\x0d\x02"
    assert relayed.health(1, relayed.STATUS_HEALTHY, "") == b"\x0b"
    assert relayed.restarting(1, 258) == b"\x0c\x00\x00\x00\x01\x00\x00\x01\x02"


def test_forwarding_changes_the_type_and_the_key_and_nothing_else() -> None:
    frame, sender = FROM_CLIENT["batch"][0], bytes(32)
    forwarded = relayed.forwarded_head(frame[0], sender) + frame[33:]
    assert relayed.decode_from_relay(forwarded, 2) == relayed.Datagrams(sender, 0, b"aabbc", 2)
    assert len(forwarded) == len(frame)


def test_the_challenge_is_answered_with_98_bytes() -> None:
    challenge = bytes(16)
    assert relayed.read_challenge(relayed.challenge_frame(challenge)) == challenge
    answer = relayed.client_auth(KEY, b"s" * 64)
    assert len(answer) == 98
    assert relayed.read_client_auth(answer) == (KEY, b"s" * 64)


def test_the_digest_is_blake3_keyed_by_the_context() -> None:
    digest = relayed.challenge_digest(bytes(16), derive_key)
    assert digest.hex() == "8105e7bd9963194e6d6d80225a3f1b071da3b6e65edcd12531e16233f33de9d6"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x01",
        relayed.client_auth(KEY, b"s" * 63),
        relayed.client_auth(KEY, b"s" * 65),
        b"\x02" + relayed.client_auth(KEY, b"s" * 64)[1:],
        relayed.client_auth(KEY, b"s" * 64).replace(b"\x40", b"\x41"),
        relayed.ping(ECHO),
    ],
)
def test_anything_else_as_an_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(BadFrame):
        relayed.read_client_auth(answer)


def test_a_verdict_is_acceptance_or_a_reason() -> None:
    assert relayed.read_verdict(relayed.ACCEPTED_FRAME) is None
    assert relayed.read_verdict(relayed.denied_frame("not here")) == "not here"
    for broken in (b"", b"\x03", b"\x03\x05abc", b"\x03\xff\x01" + bytes(255), b"\x03\x01\xff"):
        with pytest.raises(BadFrame):
            relayed.read_verdict(broken)


@pytest.mark.parametrize(
    ("offered", "picked"),
    [
        ("iroh-relay-v2, iroh-relay-v1", ("iroh-relay-v2", 2)),
        ("iroh-relay-v1,iroh-relay-v2", ("iroh-relay-v2", 2)),
        ("iroh-relay-v1", ("iroh-relay-v1", 1)),
        ("iroh-relay-v3, iroh-relay-v1", ("iroh-relay-v1", 1)),
        ("", None),
        ("chat", None),
        ("iroh-relay-v22", None),
    ],
)
def test_the_best_common_version_is_picked(offered: str, picked: object) -> None:
    assert relayed.pick_version(offered) == picked


@pytest.mark.parametrize(
    ("what", "frame"),
    [
        ("empty", b""),
        ("unknown type", b"\x3f"),
        ("a relay's type", b"\x06" + KEY + b"\x00x"),
        ("a handshake type", b"\x00" + bytes(16)),
        ("empty datagram", relayed.send_datagrams(KEY, b"")),
        ("empty batch", relayed.send_datagrams(KEY, b"", segment=9)),
        ("cut key", b"\x04" + KEY[:-1]),
        ("no content", b"\x04" + KEY),
        ("unknown ECN", b"\x04" + KEY + b"\x04x"),
        ("segment of nothing", b"\x05" + KEY + b"\x00\x00\x00x"),
        ("short ping", b"\x09" + ECHO[:-1]),
        ("long pong", b"\x0a" + ECHO + b"9"),
        ("too long", relayed.send_datagrams(KEY, bytes(relayed.BODY_BYTES_MAX - 32))),
    ],
)
def test_a_malformed_frame_is_refused(what: str, frame: bytes) -> None:
    with pytest.raises(BadFrame):
        relayed.decode_from_client(frame)


def test_the_longest_frame_passes() -> None:
    frame = relayed.send_datagrams(KEY, bytes(relayed.BODY_BYTES_MAX - 33))
    assert len(frame) == relayed.FRAME_BYTES_MAX
    assert isinstance(relayed.decode_from_client(frame), relayed.Datagrams)


@given(
    key=st.binary(min_size=32, max_size=32),
    content=st.binary(min_size=1, max_size=200),
    segment=st.integers(0, 65535),
    ecn=st.integers(0, 3),
)
def test_all_datagrams_come_back_as_they_went(key: bytes, content: bytes, segment: int, ecn: int) -> None:
    frame = relayed.send_datagrams(key, content, segment=segment, ecn=ecn)
    assert relayed.decode_from_client(frame) == relayed.Datagrams(key, ecn, content, segment)


def encode(message: object) -> bytes:
    """The frame a client would send for what was decoded."""
    if isinstance(message, relayed.Datagrams):
        return relayed.send_datagrams(message.key, message.content, segment=message.segment, ecn=message.ecn)
    assert isinstance(message, relayed.Ping | relayed.Pong)
    return relayed.ping(message.echo) if isinstance(message, relayed.Ping) else relayed.pong(message.echo)


def mutated(frame: bytes, draw: random.Random) -> bytes:
    """A frame with one to three bytes changed, cut, repeated or added."""
    changed = bytearray(frame)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(changed) + 1)
        change = draw.randrange(4)
        if change == 0 and changed:
            changed[at % len(changed)] = draw.randrange(256)
        elif change == 1:
            del changed[at:]
        elif change == 2:
            changed[at:at] = draw.randbytes(draw.randint(1, 4))
        elif changed:
            changed[0] = draw.randrange(16)
    return bytes(changed)


def test_100_000_mutated_frames_are_refused_or_mean_what_they_say() -> None:
    seed = 20261124
    draw = random.Random(seed)
    client = [frame for frame, _ in FROM_CLIENT.values()]
    relay = [frame for frame, _, _ in FROM_RELAY.values()]
    understood = 0
    for number in range(100_000):
        frame = mutated(draw.choice(client if number % 2 else relay), draw)
        try:
            if number % 2:
                assert encode(relayed.decode_from_client(frame)) == frame, (seed, number)
            else:
                relayed.decode_from_relay(frame, 1 + number // 2 % 2)
            understood += 1
        except BadFrame:
            continue
    assert 10_000 < understood < 90_000  # the mutations reach both sides of the check
