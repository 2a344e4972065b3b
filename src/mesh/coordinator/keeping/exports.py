"""Exports: the ledger and its jobs streamed in order of time, as JSON Lines or as CSV that no spreadsheet executes.

Touches: database (reads, through the one it is given).
"""

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from mesh.coordinator.acts import exporting as events
from mesh.coordinator.acts.exporting import Event
from mesh.coordinator.store import exporting as reading
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.exporting import Wanted

Format = Literal["csv", "jsonl"]
COLUMNS = ("time", *Event._fields)
LINES_TOGETHER = 200
"""Lines in one piece of the stream: about 60 KiB."""
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that starts like this is a formula to some spreadsheet."""

_Reader = Callable[[Store, Wanted, Any], Sequence[Any]]


class _Source:
    """Events of one kind, read a part at a time."""

    def __init__(self, database: Database, wanted: Wanted, read: _Reader, after: Any, made: Any) -> None:
        self._database, self._wanted, self._read, self._after = database, wanted, read, after
        self._event, self._cursor = made
        self._part: list[Event] = []
        self._over = False

    async def first(self) -> Event | None:
        """The next event, which stays; None after the last."""
        while not self._part and not self._over:
            rows = await self._database.read(self._read, self._wanted, self._after)
            self._over = not rows
            if rows:
                self._after = self._cursor(rows[-1])
                self._part = [self._event(row) for row in rows]
                self._part.reverse()
        return self._part[-1] if self._part else None

    def take(self) -> Event:
        """Remove the next event."""
        return self._part.pop()


async def read(database: Database, wanted: Wanted, kinds: frozenset[str]) -> AsyncIterator[Event]:
    """Events in order of time; ``kinds`` empty: all of them."""
    since = (wanted.since_ms - 1, "~")
    sources = [
        _Source(database, wanted, reading.lines, "", (events.of_entry, lambda row: row.id)),
        _Source(database, wanted, reading.started, since, (events.of_start, lambda row: (row.created_ms, row.job))),
        _Source(database, wanted, reading.finished, since, (events.of_end, lambda row: (row.finished_ms, row.job))),
    ]
    while True:
        heads = [(head.time_ms, at) for at, source in enumerate(sources) if (head := await source.first()) is not None]
        if not heads:
            return
        event = sources[min(heads)[1]].take()
        if not kinds or event.event in kinds:
            yield event


async def written(found: AsyncIterator[Event], form: Format) -> AsyncIterator[bytes]:
    """Events as pieces of a file."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    if form == "csv":
        table.writerow(COLUMNS)
    lines = 0
    async for event in found:
        if form == "csv":
            table.writerow([cell(value) for value in (_moment(event.time_ms), *event)])
        else:
            text.write(msgspec.json.encode({"time": _moment(event.time_ms), **_told(event)}).decode() + "\n")
        lines += 1
        if lines % LINES_TOGETHER == 0:
            yield _drained(text)
    yield _drained(text)


def cell(value: object) -> object:
    """A CSV cell: numbers as they are, and text that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.startswith(_RISKY) and not _is_number(value):
        return "'" + value
    return "" if value is None else value


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isascii() and text.lstrip("-").replace(".", "", 1).isdigit()


def _told(event: Event) -> dict[str, Any]:
    return {name: value for name, value in event._asdict().items() if value not in ("", None)}


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _drained(text: io.StringIO) -> bytes:
    piece = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return piece
