"""Opening signed facts: which key must have signed each, and what is wrapped inside.

A batch of tokens becomes verified facts before any transaction begins. A Claim carries the Submit that asked for it and
perhaps a Count; a Used may wrap the Claim. What is wrapped counts like what is sent.

Touches: nothing.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple, cast

from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey, NetworkId, PermitId
from mesh.protocol import signed
from mesh.protocol.receipt import Claim, Count, Fact, Failed, NoMore, Submit, Superseded, Used, about
from mesh.protocol.signed import Paper, PaperT

_BY_REQUESTER: tuple[type[Fact], ...] = (Submit, Count, Used, Failed, Superseded)
_KINDS: tuple[type[Paper], ...] = (Claim, Used, Submit, Failed, Superseded, Count, NoMore)
KEPT = 2048
"""Verified tokens that are remembered: a job's Submit comes three times and its Claim twice, wrapped in what both sides
report, mostly within a second. 700 jobs' worth."""
KEPT_BYTES_MAX = 4096
"""Longer tokens are verified each time, so that the remembered ones stay under 8 MiB. An honest Used has 2.5 KiB."""


class NoSuchPermit(MeshError):
    """The fact names a permit that is not known here, was pruned, or does not name its signer. It settles nothing."""

    code = "evidence.no_permit"
    kind = "not_found"


class NotAFact(MeshError):
    """This is no signed fact that a coordinator takes. Update Mesh on the device that sent it."""

    code = "evidence.unknown"
    kind = "invalid"


class Mismatch(MeshError):
    """A fact wraps another that is about something else, so neither is believed."""

    code = "evidence.mismatch"
    kind = "invalid"


class Keys(NamedTuple):
    """Whose signatures count under a permit."""

    requester: DeviceId
    requester_key: DeviceKey
    workers: Mapping[DeviceId, DeviceKey]
    others: Mapping[DeviceId, tuple[DeviceKey, ...]] = {}
    """Further keys that spoke for these devices since the permit, where one was replaced."""


class Testimony(NamedTuple):
    """A verified fact with its token. ``place`` is where in the batch it came."""

    place: int
    fact: Fact | NoMore
    token: str


class Opened(NamedTuple):
    """What a batch held: facts in the order in which they count, and the code of each token that was refused."""

    facts: tuple[Testimony, ...]
    refused: tuple[tuple[int, str], ...]


def permits_named(tokens: Sequence[str]) -> frozenset[PermitId]:
    """The permits that a batch of tokens claims to be about, unverified: to look their keys up."""
    named = set()
    for token in tokens:
        try:
            permit = _peek(token).permit
        except MeshError:
            continue
        if permit is not None:
            named.add(permit)
    return frozenset(named)


def open_batch(tokens: Sequence[str], keys: Mapping[PermitId, Keys], network: NetworkId) -> Opened:
    """Verify every token with the key that its permit names. One bad token refuses itself, not the batch."""
    facts: list[Testimony] = []
    refused: list[tuple[int, str]] = []
    for index, token in enumerate(tokens):
        try:
            facts += [Testimony(index, fact, text) for fact, text in _open(token, keys, network)]
        except MeshError as error:
            refused.append((index, error.wire_code))
    return Opened(tuple(facts), tuple(refused))


def _peek(token: str) -> Fact | NoMore:
    for kind in _KINDS:
        try:
            return cast("Fact | NoMore", signed.peek(token, kind))
        except signed.BadToken as error:
            if error.facts.get("reason") != "typ":
                raise
    raise NotAFact


def _open(token: str, keys: Mapping[PermitId, Keys], network: NetworkId) -> list[tuple[Fact | NoMore, str]]:
    """A token's fact after what it wraps, the Submit first."""
    seen = _peek(token)
    if seen.permit is None or seen.permit not in keys:
        raise NoSuchPermit
    known = keys[seen.permit]
    if isinstance(seen, NoMore):
        return [(_no_more(token, seen, known, network), token)]
    fact = _verified(token, type(seen), _keys(seen, known), network)
    inside: list[tuple[Fact | NoMore, str]] = []
    for wrapped, kind in _wrapped(fact):
        part = _peek(wrapped)
        if not isinstance(part, kind) or about(part) != about(fact):
            raise Mismatch
        inside += _open(wrapped, keys, network)
    return [*inside, (fact, token)]


def _wrapped(fact: Fact) -> list[tuple[str, type[Fact]]]:
    if isinstance(fact, Claim):
        return [(fact.submit, Submit), *([(fact.count, cast("type[Fact]", Count))] if fact.count else [])]
    if isinstance(fact, Used) and fact.claim is not None:
        return [(fact.claim, Claim)]
    if isinstance(fact, Used) and fact.submit is not None:
        return [(fact.submit, Submit)]
    return []


def _keys(fact: Fact, known: Keys) -> tuple[DeviceKey, ...]:
    """The keys of which one must have signed a fact: the requester's for all but Claims."""
    if fact.requester != known.requester or fact.worker not in known.workers:
        raise NoSuchPermit
    return _of(fact.requester if isinstance(fact, _BY_REQUESTER) else fact.worker, known)


def _of(device: DeviceId, known: Keys) -> tuple[DeviceKey, ...]:
    named = known.requester_key if device == known.requester else known.workers[device]
    return (named, *known.others.get(device, ()))


def _verified(token: str, kind: type[PaperT], keys: tuple[DeviceKey, ...], network: NetworkId) -> PaperT:
    """By the key that the permit names, or one that followed it or was good beside it. Raises BadToken."""
    verify = _remembered if len(token) <= KEPT_BYTES_MAX else signed.verify
    for key in keys[1:]:
        with suppress(signed.BadToken):
            return cast("PaperT", verify(token, kind, key, network))
    return cast("PaperT", verify(token, kind, keys[0], network))


_remembered = lru_cache(maxsize=KEPT)(signed.verify)


def _no_more(token: str, seen: NoMore, known: Keys, network: NetworkId) -> NoMore:
    if seen.side == "requester":
        if seen.device != known.requester:
            raise NoSuchPermit
        return _verified(token, NoMore, _of(seen.device, known), network)
    if seen.device not in known.workers:
        raise NoSuchPermit
    return _verified(token, NoMore, _of(seen.device, known), network)
