"""Opening the store: which engine it is, only this file decides.

Touches: files or sockets (the database).
"""

from collections.abc import Callable
from pathlib import Path

from mesh.coordinator.store.database import Database


def open_database(where: Path | str, *, progress: Callable[[str], None] | None = None) -> Database:
    """Open a SQLite file (a path) or a PostgreSQL database (its URL), brought to the schema of this version.

    ``progress`` hears of each step. Raises StoreInUse where another process has the file, StoreNewer where a newer
    Mesh wrote it, StoreUnreachable, StoreTooOld.
    """
    say = progress or (lambda _: None)
    if isinstance(where, Path):
        from mesh.coordinator.store.sqlite import SqliteDatabase

        return SqliteDatabase.open_file(where, say)
    from mesh.coordinator.store.postgres import PostgresDatabase

    return PostgresDatabase.open_url(where, say)
