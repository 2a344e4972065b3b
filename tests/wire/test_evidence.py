"""Opening a batch of signed facts: each verified by the key its permit names, each bad one refused by itself.

Touches: nothing.
"""

import pytest

from mesh.coordinator.evidence import Keys, open_batch, permits_named
from mesh.protocol import signed
from mesh.protocol.receipt import Claim, Count, Failed, NoMore, Submit, Superseded, Used

ANN, BOB, EVE = (bytes([number]) * 32 for number in (1, 2, 3))
NETWORK, PERMIT = "net", "permit"
KEYS = {
    PERMIT: Keys("ann", signed.public_key(ANN), {"bob": signed.public_key(BOB), "cyd": signed.public_key(EVE)}),  # type: ignore[arg-type, dict-item]
}
AT = {"network": NETWORK, "permit": PERMIT, "requester": "ann", "worker": "bob", "job": "job", "attempt": 1}


def submit(**more: object) -> str:
    return signed.sign(Submit(**{**AT, **more}, input_digest="d", maximum=9, time_ms=1), ANN)  # type: ignore[arg-type]


def claim(seed: bytes = BOB, **more: object) -> str:
    facts = {"units": 5, "outcome": "done", "output_digest": "d", "started_ms": 1, "finished_ms": 2, "submit": submit()}
    return signed.sign(Claim(**{**AT, **facts, **more}), seed)  # type: ignore[arg-type]


def used(**more: object) -> str:
    return signed.sign(Used(**{**AT, "units": 5, **more}), ANN)  # type: ignore[arg-type]


def opened(*tokens: str) -> tuple[list[tuple[int, str]], dict[int, str]]:
    found = open_batch(tokens, KEYS, NETWORK)  # type: ignore[arg-type]
    return [(t.place, type(t.fact).__name__) for t in found.facts], dict(found.refused)


def test_what_is_wrapped_counts_and_comes_first() -> None:
    count = signed.sign(Count(**AT, units=3), ANN)  # type: ignore[arg-type]
    facts, refused = opened(used(claim=claim(count=count)))
    assert facts == [(0, "Submit"), (0, "Count"), (0, "Claim"), (0, "Used")]
    assert refused == {}
    assert permits_named([claim(), "rubbish", used(permit=None)]) == {PERMIT}


@pytest.mark.parametrize(
    "token",
    [
        claim(seed=EVE),
        claim(worker="cyd", submit=submit(worker="cyd")),
        claim(worker="dan", submit=submit(worker="dan")),
        claim(requester="eve"),
        claim(network="other"),
        claim(permit="unknown"),
        claim(permit=None),
        claim(submit=submit(attempt=2)),
        claim(submit=submit(worker="cyd")),
        claim(submit=used()),
        claim(submit=signed.sign(Submit(**AT, input_digest="d", maximum=9, time_ms=1), EVE)),  # type: ignore[arg-type]
        claim(count=signed.sign(Count(**AT, units=3), BOB)),  # type: ignore[arg-type]
        used(claim=claim(attempt=2, submit=submit(attempt=2))),
        used(claim=submit()),
        signed.sign(Used(**AT, units=5), BOB),  # type: ignore[arg-type]
        signed.sign(Failed(**AT, reason="x"), BOB),  # type: ignore[arg-type]
        signed.sign(Superseded(**AT, used_attempt=2), BOB),  # type: ignore[arg-type]
        signed.sign(NoMore(network=NETWORK, permit=PERMIT, device="ann", side="worker", facts=0), ANN),  # type: ignore[arg-type]
        signed.sign(NoMore(network=NETWORK, permit=PERMIT, device="bob", side="requester", facts=0), BOB),  # type: ignore[arg-type]
        signed.sign(NoMore(network=NETWORK, permit=PERMIT, device="bob", side="worker", facts=0), ANN),  # type: ignore[arg-type]
        claim()[:-4] + "AAAA",
        claim() + "=",
        "",
        "a.b.c",
        "\u2603.\u2603.\u2603",
    ],
)
def test_what_does_not_hold_is_refused_and_takes_nothing_else_along(token: str) -> None:
    facts, refused = opened(claim(), token, used())
    assert facts == [(0, "Submit"), (0, "Claim"), (2, "Used")]
    assert refused.keys() == {1}


def test_nesting_is_bounded_by_the_kinds_themselves() -> None:
    inner = used()
    for _ in range(20):
        inner = used(claim=inner)
    facts, refused = opened(inner)
    assert (facts, refused.keys()) == ([], {0})
