"""How long a network keeps what it does not need for good: job records, and the log of decisions. Never the ledger.

Touches: nothing.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mesh.errors import MeshError
from mesh.units import DAY

SETTING = "retention"
"""The name among a network's settings."""
JOBS_DAYS_MIN = 15
"""Reports about a permit are believed for 14 days after its end: a record must outlive them."""
DECISIONS_DAYS_MIN = 90
"""A log that is forgotten within a quarter explains nothing."""
DAYS_MAX = 3650


class BadRetention(MeshError):
    """Job records are kept for 15 to 3650 days, the log of decisions for 90 to 3650 days or for good (0). Choose within
    that.
    """

    code = "network.bad_retention"
    kind = "invalid"


class Retention(NamedTuple):
    """For how many days a network keeps job records and decisions; 0 decisions: for good."""

    jobs_days: int = 30
    decisions_days: int = 0

    def jobs_before_ms(self, now_ms: int) -> int:
        """Job records from before are forgotten."""
        return now_ms - int(self.jobs_days * DAY * 1000)

    def decisions_before_ms(self, now_ms: int) -> int | None:
        """Decisions from before are forgotten; None: none are."""
        return None if self.decisions_days == 0 else now_ms - int(self.decisions_days * DAY * 1000)


def retention_of(settings: Mapping[str, Any]) -> Retention:
    """What a network's settings say."""
    return Retention(**settings.get(SETTING, {}))


def changed(before: Retention, jobs_days: int | None, decisions_days: int | None) -> Retention:
    """The same with what is named set anew. Raises BadRetention."""
    after = Retention(
        before.jobs_days if jobs_days is None else jobs_days,
        before.decisions_days if decisions_days is None else decisions_days,
    )
    jobs_fit = JOBS_DAYS_MIN <= after.jobs_days <= DAYS_MAX
    if not jobs_fit or not (after.decisions_days == 0 or DECISIONS_DAYS_MIN <= after.decisions_days <= DAYS_MAX):
        raise BadRetention
    return after
