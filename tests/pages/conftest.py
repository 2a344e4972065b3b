"""One Chromium for all tests of pages that a process runs: each test has contexts of its own in it."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from pages.looking import a_browser


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """As everywhere; the browser's connection belongs to one event loop, so these tests share theirs."""
    return "asyncio"


@pytest.fixture(scope="package")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    async with a_browser() as browser:
        yield browser
