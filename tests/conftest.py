"""Shared fixtures: one event-loop story (asyncio through anyio), and the engines of the store."""

import pytest

from engines import _system, _wheel, on_old_postgres, on_postgres, on_sqlite

__all__ = ["_system", "_wheel", "on_old_postgres", "on_postgres", "on_sqlite"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
