"""The ledger in a browser: narrowed down by its address, with charts of people and devices, and as a file."""

import pytest
from playwright.async_api import expect

from agents import a_town
from mesh.sdk import calls
from pages.looking import SIZES, a_page
from pages.looking import signed_in_at as opened
from pages.test_dashboard import shown, to

pytestmark = pytest.mark.anyio


async def paid(ann, ben):
    """Two devices, and three jobs of Ann's on Ben's."""
    lumen, studio = await ann.device("lumen", work=False), await ben.device("studio")
    for at in range(3):
        result = await lumen.run(f"{at} boats in the dark " * 400, routing=to(studio))
        assert result.charge > 0
    await lumen.reported()
    await studio.reported()
    return lumen, studio


async def test_a_filter_is_in_the_address_goes_back_can_be_sent_and_charts_follow(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        _, studio = await paid(ann, ben)
        async with a_page(browser) as looked:
            page, address = looked.page, await opened(looked, ann, town.network, "ledger")
            for size in SIZES:
                await looked.at(size, address)
                await shown(page, "You owe the others")
                lines, charts = page.locator("ol > li"), page.locator("section").filter(has_text="Earned and spent")
                await lines.first.wait_for()
                await charts.get_by_text("earned").first.wait_for()
                await expect(lines).to_have_count(3)
                await expect(charts.get_by_role("listitem")).to_have_count(2)
                await looked.sound("ledger-charts")
                await page.get_by_text("By device", exact=True).click()
                await charts.get_by_role("link", name="studio").wait_for()
                await page.wait_for_url("**by=device*")
                await page.get_by_role("combobox", name="Kind").select_option("admin")
                await page.get_by_text("No lines like that.").wait_for()
                await page.wait_for_url("**kind=admin*")
                await looked.sound("ledger-nothing")
                await page.go_back()
                await lines.first.wait_for()
                await expect(page.get_by_role("combobox", name="Kind")).to_have_value("")
                await page.get_by_role("combobox", name="Device").select_option(studio.id)
                await page.wait_for_url("**device=*")
                await charts.get_by_role("button", name="Show as table").click()
                await charts.get_by_role("row").nth(1).wait_for()
                await looked.sound("ledger-table")
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ann, town.network, f"ledger?kind=settle&member={ben.member}&by=device")
            await lines_of(page, 3)
            await expect(page.get_by_role("combobox", name="Person")).to_have_value(ben.member)
            async with page.expect_download() as downloading:
                await page.get_by_role("link", name="Export CSV").click()
            text = (await (await downloading.value).path()).read_text()
            assert text.startswith("time,time_ms,event") and text.count("credits.earned") == 3
            assert "credits.spent" not in text, "only Ben's lines"
        async with a_page(browser) as looked:
            await opened(looked, ben, town.network, f"ledger?member={ann.member}")
            await looked.page.get_by_role("alert").first.wait_for()
            await looked.page.goto(looked.page.url.split("?")[0])
            await lines_of(looked.page, 3)
            assert await looked.page.get_by_role("combobox", name="Person").count() == 0, (
                "a member sees their own lines alone"
            )
        await ann.do(calls.change_settings(town.network, {"credit_line": "strict"}))
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ann, town.network, "ledger")
            await page.get_by_text("The credit line changed").first.wait_for()
            charts = page.locator("section").filter(has_text="Earned and spent")
            await expect(charts.get_by_role("listitem")).to_have_count(2)
            bars = page.locator("section").filter(has_text="Balances").get_by_role("listitem")
            await expect(bars.filter(has_text="Ann")).to_contain_text("600.00")
            await expect(bars.filter(has_text="set aside")).to_have_count(1)
            await looked.sound("ledger-line-changed")


async def lines_of(page, count):
    await expect(page.locator("ol > li")).to_have_count(count)


async def test_filters_of_jobs_are_in_the_address_too(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _), a_page(browser) as looked:
        page = looked.page
        lumen = await ann.device("lumen")
        await lumen.run("a harbour")
        await lumen.reported()
        await opened(looked, ann, town.network, "jobs?outcome=failed&workload=<b>")
        await page.get_by_text("None of the jobs shown is like that.").wait_for()
        outcome = page.get_by_role("combobox", name="Outcome")
        await expect(outcome).to_have_value("failed")
        await outcome.select_option("done")
        await page.wait_for_url("**/jobs?outcome=done")
        await page.get_by_role("main").get_by_role("listitem").first.wait_for()
        await page.go_back()
        await page.get_by_text("None of the jobs shown is like that.").wait_for()
        await expect(outcome).to_have_value("failed")
        await outcome.select_option("all")
        await page.wait_for_url("**/jobs")
        await looked.sound("jobs-filtered")
