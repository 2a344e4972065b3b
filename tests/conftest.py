"""Shared fixtures: one event-loop story (asyncio through anyio), and the engines of the store."""

import signal

import hypothesis
import pytest

from engines import _system, _wheel, on_old_postgres, on_postgres, on_sqlite

__all__ = ["_system", "_wheel", "on_old_postgres", "on_postgres", "on_sqlite"]

# What a shell starts in the background ignores Ctrl-C, and so would every program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("mesh", deadline=None)  # no test asserts a time: a busy machine fails none
hypothesis.settings.load_profile("mesh")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
