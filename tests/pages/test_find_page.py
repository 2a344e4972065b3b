"""Find, and Undo, by keyboard alone: from everywhere, and what is not there is said."""

import pytest
from playwright.async_api import expect

from agents import a_town, until
from mesh.sdk import calls
from pages.looking import SIZES, a_page
from pages.looking import signed_in_at as opened
from pages.test_dashboard import shown

pytestmark = pytest.mark.anyio


async def test_everything_is_found_by_name_and_reached_by_keyboard(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _):
        lumen = await ann.device("lumen")
        await lumen.run("a harbour")
        await lumen.reported()
        async with a_page(browser) as looked:
            page, address = looked.page, await opened(looked, ann, town.network, "jobs")
            for size in SIZES:
                await looked.at(size, address)
                await shown(page, "job")
                await page.keyboard.press("/")
                box = page.get_by_role("combobox", name="Find a device, a person, a job or a page")
                await box.wait_for()
                await page.get_by_role("option").filter(has_text="embeddings").wait_for()
                await looked.sound("find")
                await page.keyboard.type("LUM")
                await page.get_by_role("option", name="lumen").first.wait_for()
                chosen = page.locator("[role=option][aria-selected=true]")
                await expect(chosen).to_contain_text("lumen")
                await expect(box).to_have_attribute("aria-activedescendant", await chosen.get_attribute("id") or "")
                await page.keyboard.press("Enter")
                await page.get_by_role("complementary", name="Device lumen").wait_for()
                await page.keyboard.press("Escape")
                await page.keyboard.press("/")
                await box.fill("nothing is called that")
                await page.get_by_text("Nothing here is called that.").wait_for()
                await looked.sound("find-nothing")
                await page.keyboard.press("Escape")
                await box.wait_for(state="detached")
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ann, town.network, "jobs")
            await page.get_by_role("button", name="Find").click()
            await page.get_by_role("combobox", name="Find a").fill("revi")
            await page.locator("[role=option][aria-selected=true]").filter(has_text="Review").wait_for()
            await page.keyboard.press("Enter")
            await shown(page, "Nothing waits")
            job = (await ann.do(calls.jobs(town.network))).jobs[0].job
            await page.keyboard.press("/")
            await page.get_by_role("combobox", name="Find a").fill(job.lower())
            await page.keyboard.press("Enter")
            await page.wait_for_url(f"**/jobs/{job}")
            await page.get_by_role("combobox", name="Find a").wait_for(state="detached")
            await page.keyboard.press("g")
            await page.keyboard.press("l")
            await page.wait_for_url("**/ledger")


async def test_what_was_done_at_once_is_taken_back_by_a_key(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _):
        lumen = await ann.device("lumen")
        async with a_page(browser) as looked:
            page, address = looked.page, await opened(looked, ann, town.network, f"devices/{lumen.id}")
            for size in SIZES:
                await looked.at(size, address)
                await page.get_by_role("button", name="Pause", exact=True).click()
                await page.get_by_role("button", name="Undo").focus()  # it stays while it is looked at
                await page.get_by_text("lumen is paused.").wait_for()
                await page.get_by_role("button", name="Resume").wait_for()
                await looked.sound("undo")
                await page.keyboard.press("Enter")
                await page.get_by_text("Taken back.").wait_for()
                await page.get_by_role("button", name="Pause", exact=True).wait_for()
                await until(lambda: lumen.agent.parts.myself.state != "paused")
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ann, town.network, "members")
            await page.get_by_label("Role of Ben").select_option("guest")
            await page.get_by_role("button", name="Undo").focus()  # out of the list, where a letter chooses
            await page.get_by_text("Ben is a guest now.").wait_for()
            await page.keyboard.press("u")
            await page.get_by_text("Taken back.").wait_for()
            roles = {one.name: one.role for one in (await ann.do(calls.members(town.network))).members}
            assert roles["Ben"] == "member"
            await page.goto(page.url.replace("/members", "/settings"))
            await page.get_by_text("Strict", exact=True).click()
            await page.get_by_role("button", name="Undo").focus()
            await page.get_by_text("The credit line is strict now.").wait_for()
            await page.get_by_role("button", name="Undo").click()
            await page.get_by_text("Taken back.").wait_for()
            assert (await ann.do(calls.settings(town.network))).credit_line == "friends"
