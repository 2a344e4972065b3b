"""A browser for a test, and what every page must hold: nothing refused by its policy, nothing thrown, axe clean."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from mesh.sdk import control
from pages.chromium import FLAGS, chromium

AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 800}
WAIT_MS = 30_000
SHOTS = os.environ.get("MESH_TEST_SHOTS")
"""A folder for pictures of the pages, for people who want to look at them."""


class Looked:
    """A page with all that it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda said: self._note(said.type, said.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))

    def _note(self, kind: str, text: str) -> None:
        # A refused request is shown by the page itself; the browser logs every status above 399 as an error too.
        if kind == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)

    async def sound(self, name: str = "") -> None:
        """Nothing was thrown or refused, and axe finds nothing wrong; takes a picture where they are wanted."""
        if SHOTS and name:
            await self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
        assert self.complaints == [], self.complaints
        wrong = await axe(self.page)
        assert wrong == [], wrong
        assert await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


async def axe(page: Page) -> list[dict[str, Any]]:
    """What axe finds wrong: rule, and where. Asked through the debugger, so that the page's policy stays strict."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})")
    return [
        {
            "rule": one["id"],
            "at": [node["target"] for node in one["nodes"]][:3],
            "why": one["nodes"][0]["failureSummary"],
        }
        for one in found["violations"]
    ]


@contextlib.asynccontextmanager
async def a_browser(*flags: str) -> AsyncIterator[Browser]:
    """Headless Chromium; ``flags``: more of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def a_page(browser: Browser, size: Any = DESKTOP, theme: Any = "light") -> AsyncIterator[Looked]:
    """A fresh page with no storage."""
    context = await browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS)
    try:
        page = await context.new_page()
        yield Looked(page)
    except BaseException:
        if SHOTS:
            await page.screenshot(path=Path(SHOTS) / f"failed-{size['width']}.png", full_page=True)
        raise
    finally:
        await context.close()


async def decided(page: Page, button: str) -> None:
    """Answer the page's question by this button, and wait until it was done: the question goes away after that.

    While it is open the page behind it is hidden from roles, so that whatever is behind it looks gone.
    """
    question = page.get_by_role("alertdialog")
    await question.get_by_role("button", name=button).click()
    await question.wait_for(state="detached")


async def opened(device: Any) -> str:
    """A link that opens a device's page once, made as `mesh ui` does."""
    answer = await asyncio.to_thread(control.ask, device.home.control_socket, control.OpenPage(), 20)
    assert isinstance(answer, control.PageOpened)
    return answer.url
