"""What a person or a device may spend in a day, and who gets permits for whom after denied work.

Limits bound what a stolen key or a careless script costs: they count what was paid and what is still held, over the
last 24 hours. Marks keep two sides apart that cannot agree, until an admin has looked.

Touches: nothing.
"""

from collections.abc import Sequence

from mesh.credits.transfers import HoldRefused
from mesh.errors import MeshError
from mesh.protocol.values import Role
from mesh.units import CREDIT

DAY_MS = 24 * 3600 * 1000
GUEST_DAY = 60 * CREDIT
"""A guest's day out of their inviter's balance, unless an admin set another: ten minutes of a typical laptop."""

JOBS_TOGETHER = 20
"""Jobs between one requester and one owner that are looked back at."""
DENIALS_TOGETHER = 3
"""So many denials among them, and no permit joins the two: a freeloader gets three jobs of each owner."""
JOBS_ALONE = 100
"""A requester's jobs that are looked back at over all owners."""
DENIALS_ALONE = 5
"""More denials among them (5 %), towards enough owners: permits for single jobs only, each with its own share."""
OWNERS_ALONE = 3
JOBS_LATELY = 10
"""A requester's newest jobs over all owners: who denies everybody has no more than so many of them."""
DENIALS_LATELY = 5
"""More denials among them (most of ten), towards enough owners: no permits at all. An honest requester denies little;
one that cannot agree with one or two owners is kept apart from those."""


class DayLimitReached(HoldRefused):
    """This would pass the daily limit of this person or device. Wait until tomorrow, or ask an admin to raise it."""

    code = "credits.day_limit"
    kind = "nowhere"


class SinglesOnly(MeshError):
    """Too much of this device's work was denied lately: it gets permits for single jobs until an admin clears that."""

    code = "permit.singles_only"
    kind = "forbidden"


class DeniesMost(MeshError):
    """Most of this device's last jobs were denied, of several people's devices. It gets no permits until an admin has
    cleared that: `mesh net marks`.
    """

    code = "permit.denies_most"
    kind = "forbidden"


def day_limit(role: Role, own: int | None) -> int | None:
    """What a person's jobs may cost in 24 hours (micro-credits): as an admin set it, a guest's default, or no limit."""
    if own is not None:
        return own
    return GUEST_DAY if role == "guest" else None


def check_day(limit: int | None, spent: int, amount: int) -> None:
    """Refuse what would pass a limit; ``spent`` is without ``amount``. Raises DayLimitReached."""
    if limit is not None and spent + amount > limit:
        raise DayLimitReached(needed=amount, free=max(0, limit - spent), limit=limit)


def apart(together: Sequence[bool]) -> bool:
    """Whether a requester and an owner are kept apart; ``together``: their jobs newest first, True where denied."""
    return sum(together[:JOBS_TOGETHER]) >= DENIALS_TOGETHER


def singles_only(jobs: Sequence[bool], owners_denied: int, owners: int) -> bool:
    """Whether a requester gets no series: its jobs newest first (True: denied), towards how many of how many owners."""
    return sum(jobs[:JOBS_ALONE]) > DENIALS_ALONE and owners_denied >= min(OWNERS_ALONE, owners)


def denies_most(jobs: Sequence[bool], owners_denied: int, owners: int) -> bool:
    """Whether a requester gets no permits: as ``singles_only``, of the newest jobs; ``owners_denied`` among those."""
    return sum(jobs[:JOBS_LATELY]) > DENIALS_LATELY and owners_denied >= min(OWNERS_ALONE, owners)
