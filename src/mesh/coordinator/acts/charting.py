"""Charts of the ledger: what each member or device earned and spent, step by step through a stretch of time.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.store import ledger_sums
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.ledger_hours import HOUR_MS
from mesh.coordinator.store.ledger_pages import FOREVER_MS, Wanted
from mesh.coordinator.store.ledger_sums import By, Grid

DAY_MS = 24 * HOUR_MS
USUAL_DAYS = 30
"""Days in a chart that nobody asked otherwise of."""
STEPS_MAX = 124
"""Steps in a chart: four months of days; more cannot be told apart on a screen."""
SERIES_MAX = 100
_STEPS = (HOUR_MS, DAY_MS, 7 * DAY_MS, 28 * DAY_MS)


class Series(NamedTuple):
    """Micro-credits that a member or device earned and spent, one number for each step."""

    who: str
    earned: tuple[int, ...]
    spent: tuple[int, ...]


class Chart(NamedTuple):
    """Steps of ``step_ms`` from ``since_ms`` on; who moved most comes first. ``more``: how many are left out."""

    since_ms: int
    step_ms: int
    steps: int
    series: tuple[Series, ...]
    more: int


def chart(store: Store, wanted: Wanted, by: By, now_ms: int) -> Chart:
    """Charts of the lines asked for. Nothing was posted later than now, so that no chart goes on beyond it.

    Steps begin with a whole hour, the first one also before the moment asked for: sums are kept by the hour.
    """
    until_ms = now_ms + 1 if wanted.until_ms >= FOREVER_MS else wanted.until_ms
    since_ms = min(wanted.since_ms or max(0, _hour_after(until_ms - USUAL_DAYS * DAY_MS)), until_ms)
    origin_ms = since_ms - since_ms % HOUR_MS
    step_ms = _step(until_ms - origin_ms)
    steps = max(1, -(-(until_ms - origin_ms) // step_ms))
    if steps > STEPS_MAX:
        since_ms = origin_ms = _hour_after(until_ms - STEPS_MAX * step_ms)
        steps = STEPS_MAX
    narrowed, grid = wanted._replace(since_ms=since_ms, until_ms=until_ms), Grid(origin_ms, step_ms, now_ms)
    found: dict[str, tuple[list[int], list[int]]] = {}
    for one in ledger_sums.sums(store, narrowed, by, grid):
        earned, spent = found.setdefault(one.who, ([0] * steps, [0] * steps))
        earned[one.step], spent[one.step] = one.earned, one.spent
    series = [Series(who, tuple(earned), tuple(spent)) for who, (earned, spent) in found.items()]
    series.sort(key=lambda one: (-sum(map(abs, one.earned)) - sum(map(abs, one.spent)), one.who))
    return Chart(origin_ms, step_ms, steps, tuple(series[:SERIES_MAX]), max(0, len(series) - SERIES_MAX))


def _hour_after(moment_ms: int) -> int:
    return -(-moment_ms // HOUR_MS) * HOUR_MS


def _step(span_ms: int) -> int:
    """The shortest step that gives a chart no more steps than it may have."""
    return next((step for step in _STEPS if span_ms <= step * STEPS_MAX), _STEPS[-1])
