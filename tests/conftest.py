"""Shared fixtures: one event-loop story (asyncio through anyio), and the engines of the store."""

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from engines import _system, _wheel, on_old_postgres, on_postgres, on_sqlite

__all__ = ["_system", "_wheel", "on_old_postgres", "on_postgres", "on_sqlite"]

# What a shell starts in the background ignores Ctrl-C, and so would every program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("mesh", deadline=None)  # no test asserts a time: a busy machine fails none
hypothesis.settings.load_profile("mesh")

LONG_FIRST = ("whole", "storms", "pages", "programs")
"""Folders with files that take a minute: begun last, each would be waited for by workers that have nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of those folders first (the order within one stays), and mark them as worth a second try.

    They run programs and browsers by the machine's own clock, several at once: a machine that stood still is no fault
    of ours, and what is one fails twice. Rules and wire have no clock: there a failure counts at once.
    """
    folders = {name: place for place, name in enumerate(LONG_FIRST)}
    here = Path(__file__).parent
    items.sort(key=lambda item: folders.get(item.path.relative_to(here).parts[0], len(folders)))
    for item in items:
        if item.path.relative_to(here).parts[0] in folders:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the first failure of what was run again: it is a defect to look for, also where the second try passed."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"failed, and was run once more: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _log_of_ones_own() -> Iterator[None]:
    """How a program writes its log, where a test runs it in this process, ends with that test."""
    yield
    structlog.reset_defaults()
