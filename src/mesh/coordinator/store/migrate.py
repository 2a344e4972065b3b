"""Bring a database file to the schema of this version, once, at start.

Alembic is only loaded when there is something to do: a file that is already at the head costs one small query.

Touches: files (the database).
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from mesh.coordinator.store.connection import connect, driver, engine_for
from mesh.coordinator.store.errors import StoreNewer

HEAD = "0011"
"""The newest migration in ``migrations/versions`` (a test compares)."""


def to_head(path: Path, progress: Callable[[str], None]) -> None:
    """Migrate ``path`` to ``HEAD``, making it if needed. Raises StoreNewer for a revision that is not ours."""
    with closing(connect(path)) as raw:
        at = revision(raw)
    if at == HEAD:
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    settings = alembic_settings()
    ours = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    if at is not None and at not in ours:
        raise StoreNewer(revision=at)
    progress(f"database: from {at or 'nothing'} to {HEAD}")
    engine = engine_for(path)
    with engine.connect() as connection:
        settings.attributes["connection"] = connection
        # On the driver, before any transaction: inside one SQLite ignores this pragma, and then a table that a
        # migration rebuilds takes its child rows with it.
        driver(connection).execute("PRAGMA foreign_keys=OFF")
        command.upgrade(settings, HEAD)
    progress("database: ready")


def revision(raw: sqlite3.Connection) -> str | None:
    """The revision that a file is at, or None for an empty one."""
    known = raw.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchone()
    row = raw.execute("select version_num from alembic_version").fetchone() if known else None
    return None if row is None else str(row[0])


def alembic_settings() -> Any:
    """Alembic's configuration, made in code: the migrations travel inside the package."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return settings
