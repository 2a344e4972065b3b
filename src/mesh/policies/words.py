"""A grant in words: what people read beside the text, and what an answer quotes.

Touches: nothing.
"""

from collections.abc import Callable, Mapping, Sequence

from mesh.protocol.values import Grant

_ROLES = {"admin": "admins", "member": "members", "guest": "guests"}


def sentence(grant: Grant, names: Mapping[str, str]) -> str:
    """A grant as a sentence; ``names``: what members and devices are called, by id."""

    def called(ids: Sequence[str]) -> list[str]:
        return [names.get(one, one) for one in ids]

    who = _any([*(_ROLES[role] for role in grant.roles)], "everybody")
    if grant.members:
        among = _any(called(grant.members), "")
        who = among if not grant.roles else f"{among}, as {who}"
    what = _any(grant.workloads, "everything")
    if grant.models:
        what += f" by {_any(grant.models, '')}"
    parts = [f"{who} may run {what}"]
    if grant.sensitivities:
        parts.append(f"on {_any(grant.sensitivities, '')} data")
    parts.append(f"on {_where(grant, called)}")
    if grant.days or grant.hours:
        parts.append(_when(grant))
    text = " ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _where(grant: Grant, names: Callable[[Sequence[str]], list[str]]) -> str:
    where = _any(names(grant.devices), "any device")
    if grant.owners:
        where += f" of {_any(names(grant.owners), '')}"
    if grant.owner_roles:
        where += f" of {_any([_ROLES[role] for role in grant.owner_roles], '')}"
    if grant.tags:
        where += f" tagged {_any(grant.tags, '')}"
    if grant.tier_min:
        where += f" of tier {grant.tier_min} or more"
    if grant.named:
        where += " that they name"
    if grant.phones == "never":
        where += ", no phones"
    elif grant.phones == "charging":
        where += ", phones only on their charger"
    return where


def _when(grant: Grant) -> str:
    parts = []
    if grant.days:
        parts.append(f"on {_any(grant.days, '')}")
    if grant.hours:
        parts.append("from " + " or ".join(f"{_clock(begin)} to {_clock(end)}" for begin, end in grant.hours))
    return f"{' '.join(parts)} (UTC)"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _any(words: Sequence[str], nothing: str) -> str:
    if not words:
        return nothing
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
