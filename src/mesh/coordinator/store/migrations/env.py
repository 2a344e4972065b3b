"""How Alembic runs here: on the connection it is handed, in one transaction, with every foreign key checked at the end.

On SQLite, altering a table rebuilds it. With foreign keys on, dropping the old copy would delete the child rows; so
they are off for the whole migration (set by ``migrate.to_head`` on the driver, before any transaction).

Touches: files (the database).
"""

from alembic import context
from sqlalchemy import Connection

from mesh.coordinator.store.connection import driver
from mesh.coordinator.store.schema import METADATA


def _migrate(connection: Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    raw = driver(connection) if sqlite else None
    if raw is not None:
        assert raw.execute("PRAGMA foreign_keys").fetchone() == (0,), "child rows would be deleted"
        raw.execute("BEGIN IMMEDIATE")
    try:
        context.configure(
            connection=connection, target_metadata=METADATA, render_as_batch=sqlite, transactional_ddl=True
        )
        context.run_migrations()
        if raw is not None:
            broken = raw.execute("PRAGMA foreign_key_check").fetchall()
            assert not broken, f"the migration broke foreign keys: {broken[:5]}"
    except BaseException:
        if raw is not None and raw.in_transaction:
            raw.execute("ROLLBACK")
        raise
    if raw is not None:
        raw.execute("COMMIT")


_migrate(context.config.attributes["connection"])
