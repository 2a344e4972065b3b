"""Signing in by e-mail in a real browser: an address is linked in Settings, a link is asked for, opened, and used."""

import msgspec
import pytest

from agents import a_town, until
from mailboxes import a_mailbox, link_in
from mesh.coordinator.settings import MailSettings, WaySettings
from mesh.sdk import calls
from pages.looking import DESKTOP, PHONE, a_page

pytestmark = pytest.mark.anyio
ANN = "ann@example.org"


async def test_an_address_is_linked_and_signs_in_where_it_was_asked_for_and_nowhere_else(tmp_path, browser):
    with a_mailbox() as box:
        async with a_town(tmp_path) as (town, ann, _):
            await town.away()
            ways = WaySettings(mail=MailSettings(box.url, "mesh@mesh.test"))
            town.config = msgspec.structs.replace(town.config, ways=ways)
            await town.serve()
            async with a_page(browser, DESKTOP) as looked:
                page = looked.page
                await page.goto((await ann.do(calls.sign_in_link())).link)
                await page.get_by_role("button", name="Sign in").click()
                await page.get_by_role("heading", name="No devices yet").wait_for()
                await page.goto(f"{ann.record.url}/n/{town.network}/settings")
                await page.get_by_label("Sign in by e-mail, too").fill(ANN)
                await page.get_by_role("button", name="Link this address").click()
                await page.get_by_text("a link is on its way").wait_for()
                await looked.sound("settings-mail")
                await until(lambda: len(box.letters) == 1)
                await page.goto(link_in(box.letters[0]))
                await page.get_by_text(f"As Ann, by {ANN}.").wait_for()
                await page.get_by_role("button", name="Sign in").click()
                await page.get_by_role("heading", name="No devices yet").wait_for()
            async with a_page(browser, PHONE, "dark") as looked, a_page(browser) as other:
                page = looked.page
                await page.goto(ann.record.url)
                await page.get_by_label("E-mail address").fill(ANN)
                await page.get_by_role("button", name="Send me a link").click()
                await page.get_by_text("a link is on its way").wait_for()
                await looked.sound("door-mail")
                await until(lambda: len(box.letters) == 2)
                await other.page.goto(link_in(box.letters[1]))
                await other.page.get_by_role("button", name="Sign in").click()
                await other.page.get_by_text("only in the browser where you asked").wait_for()
                await other.sound("door-other-browser")
                await page.goto(link_in(box.letters[1]))
                await page.get_by_role("button", name="Sign in").click()
                await page.get_by_role("heading", name="No devices yet").wait_for()
