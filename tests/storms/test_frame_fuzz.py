"""A million mutated frames: each is parsed or refused by FrameError; nothing else comes out, and little is kept."""

import random

import examples
import pytest

from mesh.protocol import frames, link
from mesh.protocol.frames import FrameError
from mesh.protocol.session import Session

SEEDS = range(4)
FRAMES_PER_SEED = 250_000


def mutate(chance: random.Random, original: bytes) -> bytes:
    """One to four edits: flip a bit, overwrite, cut, repeat a piece, or splice random bytes."""
    frame = bytearray(original)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(frame)) if frame else 0
        kind = chance.randrange(5)
        if kind == 0 and frame:
            frame[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and frame:
            frame[at] = chance.randrange(256)
        elif kind == 2:
            del frame[at : at + chance.randrange(1, 9)]
        elif kind == 3:
            frame[at:at] = frame[at : at + chance.randrange(1, 17)]
        else:
            frame[at:at] = chance.randbytes(chance.randrange(1, 5))
    return bytes(frame)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_quarter_million_mutated_frames_end_in_a_frame_or_a_refusal(seed):
    chance = random.Random(seed)
    originals = [frames.encode(f)[frames.LENGTH_BYTES :] for f in examples.ASKER_FRAMES + examples.WORKER_FRAMES]
    parsed = refused = 0
    for _ in range(FRAMES_PER_SEED):
        body = mutate(chance, chance.choice(originals))
        try:
            frames.decode(body)
            parsed += 1
        except FrameError:
            refused += 1
    assert parsed + refused == FRAMES_PER_SEED
    assert refused > FRAMES_PER_SEED // 2, f"seed {seed}: mutation hardly ever broke a frame"


@pytest.mark.parametrize("side", ["asker", "worker"])
def test_mutated_streams_end_only_their_own_session(side):
    chance = random.Random(side)
    peers = examples.WORKER_FRAMES if side == "asker" else examples.ASKER_FRAMES
    for _ in range(5_000):
        session = Session(side)
        session.send(frames.Hello("c.c.c"))
        try:
            session.receive(frames.encode(frames.Hello("c.c.c")))
            session.admit()
            for _ in range(4):
                session.receive(mutate(chance, frames.encode(chance.choice(peers))))
        except FrameError:
            continue
        assert session.in_flight <= 4


def test_mutated_link_messages_end_in_a_message_or_a_refusal():
    chance = random.Random(7)
    sides = [
        (examples.LINK_FROM_DEVICE, link.decode_from_device),
        (examples.LINK_FROM_COORDINATOR, link.decode_from_coordinator),
    ]
    for listed, decode in sides:
        originals = [link.encode(message) for message in listed]
        for _ in range(50_000):
            try:
                decode(mutate(chance, chance.choice(originals)))
            except link.LinkError:
                continue
