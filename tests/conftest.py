"""Shared fixtures: one event-loop story (asyncio through anyio)."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
