"""A policy tried out: its own tests, and what it would change for whom.

Touches: nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mesh.ids import DeviceId, MemberId
from mesh.policies.decide import Asked, Decision, Place, Rules, decide
from mesh.policies.language import Case
from mesh.policies.times import WEEK_MINUTES, moment_of
from mesh.protocol.values import Policy, Role, Sensitivity

NOBODY = MemberId("")
OTHER = MemberId("-")
"""The owner of a device that a test does not name: never the one who asks."""
TIER = 2
"""A laptop or desktop: what a test means that names no tier."""
SENSITIVITIES: tuple[Sensitivity, ...] = ("public", "private", "sensitive")
COMPARED_MAX = 300_000
"""Decisions that one comparison makes at most: about a second."""
CHANGES_MAX = 500
HOUR_MINUTES = 60


class World(NamedTuple):
    """A network as it is now: members with their roles, devices as places, and what is offered (workload, model)."""

    members: Mapping[MemberId, Role]
    places: Mapping[DeviceId, Place]
    offers: Sequence[tuple[str, str]]


class Tried(NamedTuple):
    """How a test of the file went."""

    case: Case
    passed: bool
    decision: Decision


class Change(NamedTuple):
    """Something that a policy allows (``allowed``) or does not allow any more; ``always`` False: at some times only."""

    member: MemberId
    workload: str
    model: str
    sensitivity: Sensitivity
    device: DeviceId
    named: bool
    allowed: bool
    always: bool


def tried(policy: Policy, cases: Iterable[Case], world: World) -> list[Tried]:
    """Run a file's tests."""
    found = []
    for case in cases:
        decision = decide(policy, *question(case, world))
        found.append(Tried(case, decision.allowed == (case.expect == "allow"), decision))
    return found


def question(case: Case, world: World) -> tuple[Asked, Place]:
    """The request that a test stands for."""
    member = MemberId(case.member or NOBODY)
    role = case.role or world.members.get(member) or "member"
    asked = Asked(member, role, case.workload, case.model, case.sensitivity, moment_of(case.at) or 0)
    known = world.places.get(DeviceId(case.device)) or Place(DeviceId(case.device), OTHER, "member", tier=TIER)
    tags = (case.tag,) if isinstance(case.tag, str) else case.tag
    owner = MemberId(case.owner) if case.owner else known.owner
    owner_role = case.owner_role or (world.members.get(owner) if case.owner else None) or known.owner_role
    place = known._replace(owner=owner, owner_role=owner_role, tags=tags or known.tags, named=case.named)
    if case.tier is not None:
        place = place._replace(tier=case.tier)
    if case.phone is not None:
        place = place._replace(phone=case.phone != "no", charging=case.phone == "charging")
    return asked, place


def changes(before: Policy, after: Policy, world: World) -> tuple[list[Change], bool]:
    """Who could run what that cannot now, and who could no longer; True where not everything was compared."""
    found: list[Change] = []
    compared = 0
    minutes = _minutes(before, after)
    for asked in _questions(world):
        old = [Rules(before, asked._replace(minute=minute)) for minute in minutes]
        new = [Rules(after, asked._replace(minute=minute)) for minute in minutes]
        for place in world.places.values():
            compared += 2 * len(minutes)
            if compared > COMPARED_MAX or len(found) >= CHANGES_MAX:
                return found, True
            found += _change(asked, place, old, new)
    return found, False


def _change(asked: Asked, place: Place, old: Sequence[Rules], new: Sequence[Rules]) -> Iterator[Change]:
    """What changes for one request on one device: anywhere, or only where the device is named."""
    for named in (False, True):
        at = place._replace(named=named)
        was = [rules.decide(at).allowed for rules in old]
        now = [rules.decide(at).allowed for rules in new]
        if was == now:
            continue
        gained = any(fresh and not stale for stale, fresh in zip(was, now, strict=True))
        lost = any(stale and not fresh for stale, fresh in zip(was, now, strict=True))
        about = (asked.member, asked.workload, asked.model, asked.sensitivity, place.device, named)
        if gained:
            yield Change(*about, allowed=True, always=all(now))
        if lost:
            yield Change(*about, allowed=False, always=not any(now))
        return  # what changes anywhere changes for a named device too


def _questions(world: World) -> Iterator[Asked]:
    for member, role in world.members.items():
        for workload, model in world.offers:
            for sensitivity in SENSITIVITIES:
                yield Asked(member, role, workload, model, sensitivity)


def _minutes(*policies: Policy) -> list[int]:
    """Moments of the week that matter: one where no grant looks at the clock, else every begin and end of an hour."""
    grants = [grant for policy in policies for grant in policy.grants]
    if not any(grant.hours or grant.days for grant in grants):
        return [0]
    marks = {edge for grant in grants for hours in grant.hours for edge in hours} | {0}
    day = WEEK_MINUTES // 7
    days = range(7) if any(grant.days for grant in grants) else range(1)
    return sorted({(number * day + mark) % WEEK_MINUTES for number in days for mark in marks})
