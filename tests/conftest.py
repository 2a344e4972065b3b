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


REAL_TIME = ("programs", "whole", "storms", "pages")
"""Folders whose tests run programs by the machine's own clock. One that fails there is run once more, and counted as
rerun in the summary: a machine that stood still for a second is no fault of ours, and a fault fails twice."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what may be run once more. Rules and wire have no clock: they fail at once."""
    for item in items:
        if any(part in REAL_TIME for part in item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=1))
