"""One key follows another: a statement that both have signed, and the chain that such statements make.

The old key signs the statement, the new one signs that signed statement: so nobody is put in another's place without
holding both keys. Statements of one subject are numbered without gaps, so that from any key that somebody once knew a
chain leads to the newest, and nothing can be left out of it, put in, repeated or turned round.

Touches: nothing.
"""

import base64
import binascii
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol import signed
from mesh.protocol.signed import BadToken, Paper

CHAIN_MAX = 16
"""The longest chain that is followed, and that is kept at hand: a key replaced yearly is followed for 16 years."""
STATEMENT_BYTES_MAX = 1024
"""Of one statement as text: an honest one is about 650."""

_TAKEN = b"mesh-succession-taken/1\n"
"""What the new key signs begins with this, so that it can be shown as nothing else."""

Purpose = Literal["device", "network", "coordinator"]


class ChainBroken(BadToken):
    """The key is another than the one known here, and nothing both keys have signed leads to it. Ask for a new invite.

    If nobody has rotated that key, somebody else may stand in its place: ask an admin before you go on.
    """

    code = "key.chain_broken"
    kind = "forbidden"


class KeyOf(NamedTuple):
    """Whose key it is: what for, of whom (an id; empty for the coordinator), in which network (empty likewise)."""

    purpose: Purpose
    subject: str = ""
    network: str = ""


COORDINATOR = KeyOf("coordinator")


class Succession(Paper, frozen=True, kw_only=True):
    """The ``number``-th change of a subject's key, from 1. Signed by ``old``, and as signed by that one by ``new``.

    ``from_ms``: since when ``new`` counts, by the coordinator's clock as its maker knew it.
    """

    TYP: ClassVar[str] = "mesh-succession"

    purpose: Purpose
    subject: str
    number: int
    old: DeviceKey
    new: DeviceKey
    from_ms: int


def statement(key_of: KeyOf, number: int, *, old_seed: bytes, new_seed: bytes, from_ms: int) -> str:
    """Sign that the key of ``new_seed`` follows that of ``old_seed``: the statement as text."""
    paper = Succession(
        network=key_of.network,
        purpose=key_of.purpose,
        subject=key_of.subject,
        number=number,
        old=signed.public_key(old_seed),
        new=signed.public_key(new_seed),
        from_ms=from_ms,
    )
    token = signed.sign(paper, old_seed)
    taken = signed.sign_bytes(_TAKEN + token.encode(), new_seed)
    return f"{token}.{base64.urlsafe_b64encode(taken).rstrip(b'=').decode()}"


def read(text: str, key_of: KeyOf) -> Succession:
    """Check one statement by both keys that it names, and that it is about this. Raises ChainBroken."""
    if len(text) > STATEMENT_BYTES_MAX:
        raise ChainBroken(reason="form")
    token, _, taken = text.rpartition(".")
    try:
        claimed = signed.peek(token, Succession)
        paper = signed.verify(token, Succession, claimed.old, key_of.network)
        signed.check_bytes(_TAKEN + token.encode(), _signature(taken), paper.new)
    except MeshError as error:
        raise ChainBroken(reason=error.facts.get("reason", "signature")) from error
    if (paper.purpose, paper.subject) != (key_of.purpose, key_of.subject):
        raise ChainBroken(reason="subject")
    if paper.number < 1 or paper.old == paper.new:
        raise ChainBroken(reason="number")
    return paper


def follow(known: DeviceKey, chain: Sequence[str], key_of: KeyOf, *, to: DeviceKey) -> list[Succession]:
    """The statements that lead from a key known here to the key ``to``; none where they are the same.

    The whole chain must hold, also the part before ``known``. Raises ChainBroken.
    """
    if known == to:
        return []
    if len(chain) > CHAIN_MAX:
        raise ChainBroken(reason="length")
    steps = [read(text, key_of) for text in chain]
    for before, after in pairwise(steps):
        if after.number != before.number + 1 or after.old != before.new or after.from_ms < before.from_ms:
            raise ChainBroken(reason="order")
    keys = [step.old for step in steps[:1]] + [step.new for step in steps]
    if len(set(keys)) != len(keys):
        raise ChainBroken(reason="loop")
    if known not in keys or not steps or keys[-1] != to:
        raise ChainBroken(reason="unknown")
    return steps[keys.index(known) :]


def _signature(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ChainBroken(reason="form") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise ChainBroken(reason="form")
    return raw
