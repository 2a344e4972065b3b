"""`mesh net settings --weight … --dry-run`: which of the newest placements would go elsewhere.

Touches: files of the home, sockets (through the client).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mesh.cli import here
from mesh.cli.job import clock
from mesh.cli.output import Out, table
from mesh.sdk.home import Home

if TYPE_CHECKING:
    from mesh.sdk.weighing import Moved, Tried

WEIGHED = {
    "seconds": "expected seconds to the first result",
    "rtt": "a short round trip",
    "plugged": "plugged in",
    "thermal": "far from too hot",
    "idle": "an idle processor",
    "cost": "a low price",
}
"""Weight → what it favours, in words."""


def try_weights(place: Home, weights: Mapping[str, float], network: str | None, out: Out) -> None:
    """Replay the newest placements with other weights, and say what would change; nothing is saved."""
    from mesh.sdk import calls, weighing

    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = client.do(weighing.try_weights(meant, weights))
        names = {str(one.device): one.name for one in client.do(calls.devices(meant)).devices}
    out.result(found, lambda: _show(found, names))


def _show(found: "Tried", names: Mapping[str, str]) -> None:
    placements = f"{found.replayed} newest placement{'' if found.replayed == 1 else 's'}"
    print(f"{len(found.moved)} of the {placements} would go elsewhere. Nothing is saved.")
    if found.unknown:
        print(f"{found.unknown} more do not say all that these weights weigh.")
    if found.moved:
        columns = ("when", "what", "went to", "#score", "would go to", "#score", "most because of", "job")
        table(columns, [_row(one, names) for one in found.moved])


def _row(one: "Moved", names: Mapping[str, str]) -> tuple[str, ...]:
    lead = {name: term - one.stays.terms.get(name, 0.0) for name, term in one.goes.terms.items()}
    most = max(lead, key=lambda name: lead[name])
    went, goes = (names.get(score.device, score.device) for score in (one.stays, one.goes))
    scores = f"{one.stays.total:.3f}", f"{one.goes.total:.3f}"
    return clock(one.created_ms), one.workload, went, scores[0], goes, scores[1], WEIGHED.get(most, most), one.job
