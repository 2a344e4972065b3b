"""All that is kept about a person as one JSON document, streamed: a line per row, a report of every table at its end.

Touches: database (reads, through the one it is given).
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from mesh.coordinator.store import personal
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.database import Database
from mesh.ids import MemberId

FORMAT = 1


async def written(database: Database, member: MemberId, now_ms: int) -> AsyncIterator[bytes]:
    """The document piece by piece: ``{"format", "member", "made_ms", "tables": {name: [row…]}, "report": […]}``.

    What could let somebody in (hashes of secrets) is not in it. Of rows that only name the person (whom they invited,
    say) there are ids and times.
    """
    head = msgspec.json.encode({"format": FORMAT, "member": member, "made_ms": now_ms})
    yield head[:-1] + b',\n"tables":{'
    report = []
    for at, table in enumerate(personal.about_people()):
        yield (b"," if at else b"") + b"\n" + msgspec.json.encode(str(table.name)) + b":["
        count, after = 0, None
        while True:
            rows, after = await database.read(_rows, table, member, after)
            lines = [b"\n" + msgspec.json.encode(row) for row in rows]
            if lines:
                yield (b"," if count else b"") + b",".join(lines)
            count += len(rows)
            if after is None:
                break
        yield b"]"
        report.append({"table": str(table.name), "rows": count})
    yield b'},\n"report":' + msgspec.json.encode(report) + b"}\n"


def _rows(store: Store, table: Any, member: MemberId, after: Any) -> tuple[list[dict[str, Any]], Any]:
    return personal.rows(store, table, member, after)
