"""Shared fixtures: one event-loop story (asyncio through anyio), and the engines of the store."""

import hypothesis
import pytest

from engines import _system, _wheel, on_old_postgres, on_postgres, on_sqlite

__all__ = ["_system", "_wheel", "on_old_postgres", "on_postgres", "on_sqlite"]

hypothesis.settings.register_profile("mesh", deadline=None)  # no test asserts a time: a busy machine fails none
hypothesis.settings.load_profile("mesh")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
