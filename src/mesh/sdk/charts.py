"""Charts of the ledger, and the call that asks for them.

Touches: nothing.
"""

from mesh.ids import NetworkId
from mesh.sdk.answers import Answer
from mesh.sdk.calls import Call


class Series(Answer, frozen=True):
    """Micro-credits that a member or device earned and spent, a number for each step."""

    who: str
    earned: tuple[int, ...]
    spent: tuple[int, ...]


class Chart(Answer, frozen=True):
    """Steps of ``step_ms`` from ``since_ms`` on; who moved most comes first. ``more``: how many are left out."""

    since_ms: int
    step_ms: int
    steps: int
    series: tuple[Series, ...]
    more: int


def chart(network: NetworkId, by: str, narrowed: dict[str, str] | None = None) -> Call[Chart]:
    """What each ``member`` or ``device`` earned and spent over time; ``narrowed`` down as the ledger's lines are."""
    return Call("GET", f"/v1/networks/{network}/ledger/chart", Chart, query={"by": by, **(narrowed or {})})
