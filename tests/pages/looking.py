"""A browser for tests, and what every page must hold: nothing refused by its policy, nothing thrown, axe clean."""

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, Playwright, async_playwright, expect

from mesh.protocol import links
from mesh.sdk import calls, control
from pages.chromium import FLAGS, chromium

AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 800}
SIZES = (DESKTOP, PHONE)
ALL_RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
"""Those that look at colours: nothing else differs between light and dark."""
ASKED = """async (rules) => {
  const found = await axe.run({runOnly: rules, resultTypes: ['violations']});
  return found.violations.map(({id, nodes}) => ({
    rule: id, at: nodes.slice(0, 3).map((node) => node.target), why: nodes[0].failureSummary,
  }));
}"""
WAIT_MS = 30_000
expect.set_options(timeout=WAIT_MS)
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

    async def at(self, size: Any, address: str) -> None:
        """The same page, opened anew at an address on a screen of another size; if it is not there already."""
        if (self.page.viewport_size, self.page.url) == (size, address):
            return
        await self.page.set_viewport_size(size)
        await self.page.goto(address)

    async def sound(self, name: str = "") -> None:
        """Nothing was thrown or refused, and axe finds nothing wrong in light and dark; pictures where wanted."""
        assert self.complaints == [], self.complaints
        for theme, rules in (("light", ALL_RULES), ("dark", COLOUR_RULES)):
            await self.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            await self.page.locator(f"html[data-theme={theme}]").wait_for(state="attached")
            if SHOTS and name:
                size = self.page.viewport_size or DESKTOP
                await self.page.screenshot(path=Path(SHOTS) / f"{name}-{theme}-{size['width']}.png", full_page=True)
            wrong = await axe(self.page, rules)
            assert wrong == [], (theme, wrong)
            assert await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


async def axe(page: Page, rules: list[str]) -> list[dict[str, Any]]:
    """What axe finds wrong: rule, and where. Asked through the debugger, so that the page's policy stays strict.

    Only that is handed over: all that axe looked at takes five times as long to carry out of the page as to find.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_axe_itself())
    found: list[dict[str, Any]] = await page.evaluate(ASKED, rules)
    return found


@functools.cache
def _axe_itself() -> str:
    return AXE.read_text(encoding="utf-8")


async def launched(playwright: Playwright, *flags: str) -> Browser:
    """Headless Chromium."""
    return await playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, *flags])


@contextlib.asynccontextmanager
async def a_browser(*flags: str) -> AsyncIterator[Browser]:
    """A headless Chromium of its own, with more ``flags``; tests that need none use the fixture ``browser``."""
    async with async_playwright() as playwright:
        browser = await launched(playwright, *flags)
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


async def signed_in(looked: Looked, person: Any) -> None:
    """Sign a browser in as a person, by the route that the page of a sign-in link uses."""
    link = links.parse((await person.do(calls.sign_in_link())).link)
    answer = await looked.page.request.post(
        f"{link.url}/v1/page/sign-in",
        data={"secret": link.secret, "name": "", "label": "a test"},
        headers={"origin": link.url, "x-mesh-page": "1"},
    )
    assert answer.ok, await answer.text()


async def signed_in_at(looked: Looked, person: Any, network: str, page: str) -> str:
    """Sign in, and go straight to a page of a network; returns its address."""
    await signed_in(looked, person)
    address = f"{person.record.url}/n/{network}/{page}"
    await looked.page.goto(address)
    return address
