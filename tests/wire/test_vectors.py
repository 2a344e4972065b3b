"""Golden vectors: what is on the wire today means the same tomorrow. Run this file as a script to rewrite them."""

import base64
import json
from pathlib import Path

import examples
import msgspec
import pytest

from mesh.protocol import frames, link, papers
from mesh.protocol.signed import public_key, sign, verify

VECTORS = Path(__file__).with_name("vectors.json")


def current() -> dict[str, dict[str, str]]:
    """Every example in its wire form, by kind and name."""
    both = {"asker": examples.ASKER_FRAMES, "worker": examples.WORKER_FRAMES}
    return {
        "signed": {type(paper).TYP: sign(paper, seed) for paper, seed in examples.SIGNED},
        **{side: {type(f).__name__: frames.encode(f).hex() for f in listed} for side, listed in both.items()},
        "from_device": {type(m).__name__: link.encode(m).decode() for m in examples.LINK_FROM_DEVICE},
        "from_coordinator": {type(m).__name__: link.encode(m).decode() for m in examples.LINK_FROM_COORDINATOR},
    }


STORED: dict[str, dict[str, str]] = json.loads(VECTORS.read_text()) if VECTORS.exists() else {}


def test_nothing_on_the_wire_has_changed():
    assert current() == STORED


@pytest.mark.parametrize("paper, seed", examples.SIGNED, ids=lambda value: type(value).__name__)
def test_a_stored_token_still_verifies_and_says_the_same(paper, seed):
    stored = STORED["signed"][type(paper).TYP]
    assert verify(stored, type(paper), public_key(seed), paper.network) == paper


@pytest.mark.parametrize("frame", examples.ASKER_FRAMES + examples.WORKER_FRAMES, ids=lambda f: type(f).__name__)
def test_a_frame_survives_the_wire(frame):
    assert frames.decode(frames.encode(frame)[frames.LENGTH_BYTES :]) == frame


@pytest.mark.parametrize("message", examples.LINK_FROM_DEVICE, ids=lambda m: type(m).__name__)
def test_a_device_message_survives_the_wire(message):
    assert link.decode_from_device(link.encode(message)) == message


@pytest.mark.parametrize("message", examples.LINK_FROM_COORDINATOR, ids=lambda m: type(m).__name__)
def test_a_coordinator_message_survives_the_wire(message):
    assert link.decode_from_coordinator(link.encode(message)) == message


def test_a_state_from_before_relays_had_observers_still_reads():
    plain = msgspec.structs.replace(examples.STATE, relays=(papers.RelayInfo("http://127.0.0.1:8401"),))
    old = sign(plain, examples.NETWORK_SEED)
    assert "observer" not in base64.urlsafe_b64decode(old.split(".")[1] + "==").decode()
    assert verify(old, papers.State, examples.NETWORK_KEY, examples.NETWORK) == plain


def test_every_message_and_frame_has_a_vector():
    def tags(union: object) -> set[str]:
        return {kind.__name__ for kind in union.__args__}  # type: ignore[attr-defined]

    assert set(STORED["asker"]) == tags(frames.FromAsker)
    assert set(STORED["worker"]) | {"Blob"} == tags(frames.FromWorker)
    assert set(STORED["from_device"]) == tags(link.FromDevice)
    assert set(STORED["from_coordinator"]) == tags(link.FromCoordinator)


def test_unknown_fields_are_ignored_and_unknown_tags_refused():
    assert link.decode_from_device(b'{"t":"canceljob","job":"X","news":1}') == link.CancelJob("X")
    with pytest.raises(link.LinkError):
        link.decode_from_device(b'{"t":"selfdestruct"}')


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(current(), indent=1, sort_keys=True) + "\n")
