"""Your data in a browser: all of it as a file, deleting the account and thinking again; what is kept how long."""

import json

import pytest
from playwright.async_api import expect

from agents import a_town
from mesh.errors import RemoteError
from mesh.sdk import credit, privacy
from pages.looking import DESKTOP, PHONE, a_page, decided
from pages.looking import signed_in_at as opened

pytestmark = pytest.mark.anyio


async def test_a_person_takes_their_data_along_and_thinks_again_about_going(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        await ben.device("bens-laptop")
        async with a_page(browser) as looked:
            page, address = looked.page, await opened(looked, ben, town.network, "settings")
            mine = page.locator("#your-data")
            for size in (PHONE, DESKTOP):
                await looked.at(size, address)
                async with page.expect_download() as coming:
                    await mine.get_by_role("link", name="Download all of it").click()
                told = json.loads((await (await coming.value).path()).read_text())
                assert [one["name"] for one in told["tables"]["devices"]] == ["bens-laptop"]
                await mine.get_by_text("Table by table").click()
                await mine.get_by_role("cell", name="memberships").wait_for()
                await looked.sound("your-data")
                await mine.get_by_role("button", name="Delete my account…").click()
                dialog = page.get_by_role("alertdialog")
                await dialog.get_by_text("bens-laptop is removed.").wait_for()
                await dialog.get_by_label("Type your name, Ben").fill("ben")
                await dialog.get_by_role("button", name="Delete my account").click()
                await dialog.get_by_text("Nothing was deleted: to say that you mean it").wait_for()
                await looked.sound("your-data-refused")
                if size is PHONE:
                    await decided(page, "Keep it")
                    continue
                await dialog.get_by_label("Type your name, Ben").fill("Ben")
                await dialog.get_by_role("button", name="Delete my account").click()
                await mine.get_by_text("mesh privacy status --receipt mesh_receipt_").wait_for()
                banner = page.get_by_text("Did you not ask for that?")
                await banner.wait_for()
                await looked.sound("your-data-going")
                await page.goto(page.url.replace("/settings", "/members"))
                await banner.wait_for()
                await page.get_by_role("link", name="Look at it").click()
                await mine.get_by_role("button", name="Keep my account").click()
                await mine.get_by_role("button", name="Delete my account…").wait_for()
                await banner.wait_for(state="detached")
                with pytest.raises(RemoteError):  # signed out, as everywhere else
                    await ben.do(privacy.deletion())
        kinds = [one.kind for one in (await ann.do(credit.decisions(town.network))).decisions]
        assert kinds == ["account.keep", "account.delete"]


async def test_who_runs_the_installation_is_told_why_not_and_sets_what_is_kept_how_long(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ann, town.network, "settings")
            mine = page.locator("#your-data")
            await mine.get_by_text("Hand it over first: mesh auth hand-over PERSON").wait_for()
            await expect(mine.get_by_role("button", name="Delete my account…")).to_be_disabled()
            await page.get_by_label("Job records, days").fill("45")
            await page.get_by_label("Log of decisions, days").fill("365")
            await page.get_by_role("button", name="Save", exact=True).click()
            await page.get_by_text("Job records are kept for 45").wait_for()
            await page.get_by_role("button", name="Save", exact=True).wait_for(state="detached")
            await looked.sound("settings-kept-how-long")
            await page.goto(page.url.replace("/settings", "/audit"))
            await page.get_by_text("keeps job records 45 days, and decisions 365 days").wait_for()
        async with a_page(browser) as looked:
            await opened(looked, ben, town.network, "settings")
            await looked.page.get_by_text("the log of decisions 365").wait_for()
            assert await looked.page.get_by_label("Job records, days").count() == 0
