"""Bring a database to the schema of this version, once, at start.

Alembic is only loaded when there is something to do: a database that is already at the head costs one small query.

Touches: files or sockets (the database).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from mesh.coordinator.store.errors import StoreNewer

HEAD = "0026"
"""The newest migration in ``migrations/versions`` (a test compares)."""


def to_head(engine: Engine, progress: Callable[[str], None]) -> None:
    """Bring a database to ``HEAD``, making its tables if needed. Raises StoreNewer."""
    with engine.connect() as connection:
        at = revision(connection)
    if at == HEAD:
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    settings = alembic_settings()
    ours = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    if at is not None and at not in ours:
        raise StoreNewer(revision=at)
    progress(f"database: from {at or 'nothing'} to {HEAD}")
    with engine.connect() as connection:
        settings.attributes["connection"] = connection
        if connection.dialect.name == "sqlite":
            # On the driver, before any transaction: inside one SQLite ignores this pragma, and then a table that a
            # migration rebuilds takes its child rows with it.
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA foreign_keys=OFF")
        command.upgrade(settings, HEAD)
    progress("database: ready")


def revision(connection: Connection) -> str | None:
    """The revision that a database is at, or None for an empty one."""
    sqlite = connection.dialect.name == "sqlite"
    known = text(
        "select 1 from sqlite_master where name = 'alembic_version'"
        if sqlite
        else "select 1 from pg_tables where tablename = 'alembic_version' and schemaname = any(current_schemas(false))"
    )
    if connection.execute(known).first() is None:
        return None
    row = connection.execute(text("select version_num from alembic_version")).first()
    return None if row is None else str(row[0])


def alembic_settings() -> Any:
    """Alembic's configuration, made in code: the migrations travel inside the package."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return settings
