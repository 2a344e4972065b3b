"""One Chromium for all tests of pages that a process runs: each test has contexts of its own in it."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Playwright, async_playwright

from pages.looking import launched


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """As everywhere; a browser's connection belongs to one event loop, so these tests share theirs."""
    return "asyncio"


@pytest.fixture(scope="package")
async def driver(anyio_backend: str) -> AsyncIterator[Playwright]:
    """What starts browsers, and ends with them."""
    async with async_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def started() -> list[Browser]:
    return []


@pytest.fixture
async def browser(driver: Playwright, started: list[Browser]) -> Browser:
    """The one that runs; another where it has died."""
    if not started or not started[-1].is_connected():
        started.append(await launched(driver))
    return started[-1]
