"""How Alembic runs here: on the connection it is handed, in one transaction, with every foreign key checked at the end.

On SQLite, altering a table rebuilds it. With foreign keys on, dropping the old copy would delete the child rows; so
they are off for the whole migration (set by ``migrate.to_head`` on the driver, before any transaction).

Touches: files or sockets (the database).
"""

from typing import Any

from alembic import context
from sqlalchemy import Connection

from mesh.coordinator.store.schema import METADATA


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        _on_sqlite(connection)
        return
    with connection.begin():
        context.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
        context.run_migrations()


def _on_sqlite(connection: Connection) -> None:
    raw: Any = connection.connection.driver_connection
    assert raw.execute("PRAGMA foreign_keys").fetchone() == (0,), "child rows would be deleted"
    raw.execute("BEGIN IMMEDIATE")
    try:
        context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True, transactional_ddl=True)
        context.run_migrations()
        broken = raw.execute("PRAGMA foreign_key_check").fetchall()
        assert not broken, f"the migration broke foreign keys: {broken[:5]}"
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise
    raw.execute("COMMIT")


_migrate(context.config.attributes["connection"])
