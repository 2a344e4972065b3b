"""Spot checks: whose work is looked at, when pay is free, and what a miss leads to.

Only owners whom nobody has vouched for are checked: in *friends* everybody is trusted from the start, in *strict* an
admin may trust a person. A device's first jobs are all drawn, then one in ten. Their pay waits in
pending until later work of the device was looked at too: what a cheat gains before it is found is still there to be
given back. Why these numbers: docs/decisions/0008-spot-checks.md, benchmarks/checks_cheating.py.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from mesh.credits.tariff import PPM
from mesh.credits.transfers import CreditLine
from mesh.ids import MemberId

FIRST_JOBS = 10
"""Of a device that is new, or was found wrong: every job is drawn."""
LATER_PPM = 100_000
"""Later, when nobody counts them any more, one in ten is: a cheat of one job in two is then in quarantine after 21 jobs
in the mean, and within 64 in 96 of 100 cases."""

LATER_JOBS = 64
"""Pay waits for so many later jobs of its device: in 999 of 1,000 cases one of 64 fakes is drawn."""
LATER_MS = 7 * 24 * 3600 * 1000
"""Or for so long, where a device works seldom."""
PASSES_MIN = 3
"""And in both cases for so many checks that weigh."""

MISSES_ADMIN = 2
"""So many misses that an admin's device found, and a device is out of use: one may be a broken wire."""
MISSES_OWNERS = 2
"""Or misses that so many different owners found. What one person alone says only goes to an admin."""

CHECK_S = 600.0
"""A check is answered within ten minutes: so long a requester keeps what it asked and got."""

CHECKED_WORKLOADS = frozenset({"embeddings", "ocr", "chat"})
"""Which chats have one right answer is known to their requester alone, who says ``skipped`` of the others."""


class Miss(NamedTuple):
    """A check that a device did not pass: who found it, and whether by a device of an admin."""

    owner: MemberId
    admin: bool


class Pending(NamedTuple):
    """Pay that waits: how many later jobs of its device were paid, for how long, and how its own check stands.

    ``denied_until_over``: it rests on the worker's word alone, and its day is not over.
    """

    later: int
    age_ms: int
    check: Literal["none", "open", "passed", "missed"] = "none"
    deniable: bool = False


def trusted(line: CreditLine, vouched: bool) -> bool:
    """Whether an owner's work is taken as it is: in *friends* everybody's, else that of whom an admin trusts."""
    return line == "friends" or vouched


def held_back(line: CreditLine, vouched: bool, *, quarantined: bool) -> bool:
    """Whether pay for a device's work waits in pending, also where the requester acknowledged it."""
    return quarantined or not trusted(line, vouched)


def chance_ppm(jobs: int) -> int:
    """How likely the next job of a device is drawn, in parts per million, after so many since its last miss."""
    return PPM if jobs < FIRST_JOBS else LATER_PPM


def drawn(jobs: int, draw: int) -> bool:
    """Whether a job is drawn; ``draw`` is a random number from 0 to 999,999."""
    return draw < chance_ppm(jobs)


def needed(hoped: int, *, weighs: bool) -> bool:
    """Whether a job is drawn whatever the draw says: its check would weigh, and its device has too few of these.

    So an admin whose own devices never ask anything of a device lets its pay go by three jobs, whose answers the own
    engine knows.
    """
    return weighs and hoped < PASSES_MIN


def checkable(workload: str, sensitivity: str) -> bool:
    """Whether a job may be looked at: never what is sensitive, and only what gives one answer."""
    return workload in CHECKED_WORKLOADS and sensitivity != "sensitive"


def weighs(*, checker_admin: bool, same_owner: bool) -> bool:
    """Whether a passed check frees pay: an admin's word does (who could issue credits anyway), about others' devices.

    A requester's own word does not: two who work together could pass each other.
    """
    return checker_admin and not same_owner


def may_be_spent(pay: Pending, passes: int) -> bool:
    """Whether pay leaves pending; ``passes``: checks that weigh, since the device's last miss."""
    if pay.deniable or pay.check in ("open", "missed") or passes < PASSES_MIN:
        return False
    return pay.later >= LATER_JOBS or pay.age_ms >= LATER_MS


def proven(misses: Sequence[Miss]) -> bool:
    """Whether misses that nobody cleared take a device out of use, its pending pay with it: never a single one."""
    if sum(miss.admin for miss in misses) >= MISSES_ADMIN:
        return True
    return len({miss.owner for miss in misses}) >= MISSES_OWNERS
