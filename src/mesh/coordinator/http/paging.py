"""Lists in pages: every listing takes ``limit`` and ``cursor``, and says the cursor of the next page, or null.

Touches: nothing.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from mesh.errors import MeshError

T = TypeVar("T")
PAGE_MAX = 1000
"""Lines in one answer, and how many come unasked: what a household or a team has comes at once."""
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Cursor = Annotated[str | None, Query(max_length=64)]


class BadCursor(MeshError):
    """That cursor is of no page here: it comes from the answer before, or what it named is gone. Begin anew."""

    code = "request.bad_cursor"
    kind = "invalid"


def page(
    lines: Sequence[T], id_of: Callable[[T], str], *, limit: int, cursor: str | None
) -> tuple[tuple[T, ...], str | None]:
    """The lines behind the one with the cursor's id, and the cursor of the next page. Raises BadCursor."""
    start = 0
    if cursor is not None:
        start = next((at + 1 for at, line in enumerate(lines) if id_of(line) == cursor), 0)
        if start == 0:
            raise BadCursor
    found = tuple(lines[start : start + limit])
    return found, id_of(found[-1]) if start + limit < len(lines) else None
