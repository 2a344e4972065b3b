"""The tariff in a browser: what other prices would have cost, publishing them, who sees it, and two admins at once."""

import pytest
from playwright.async_api import expect

from agents import a_town, until
from mesh.sdk import calls, tariffs
from pages.looking import SIZES, a_page
from pages.looking import signed_in_at as opened

pytestmark = pytest.mark.anyio


async def settled(person, town, jobs):
    page = await person.do(calls.ledger(town.network))
    return len({line.posting for line in page.lines}) == jobs


async def test_prices_are_tried_published_and_told(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, _worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ann, town.network, "settings")
            await page.get_by_text("These prices hold since the network began.").wait_for()
            await page.get_by_role("spinbutton", name="embeddings").fill("0.0074")
            preview = page.get_by_role("region", name="What would change")
            await preview.get_by_text("No job was paid in the last 30 days").wait_for()
            await expect(preview).to_contain_text("a job of 10\u00a0kB that costs 0.037 would cost 0.074 (+100\u00a0%)")
            await looked.sound("tariff-empty")
            await page.get_by_role("button", name="Discard").click()
            await preview.wait_for(state="detached")
            await expect(page.get_by_role("spinbutton", name="embeddings")).to_have_value("0.0037")
        for text in ("a" * 1000, "b" * 1000):
            await asker.run(text)
        await asker.reported()
        await until(lambda: settled(ann, town, 2))
        version = 1
        async with a_page(browser) as looked:
            page = looked.page
            address = await opened(looked, ann, town.network, "settings")
            for size in SIZES:
                await looked.at(size, address)
                await page.get_by_role("heading", name=f"Tariff, version {version}").wait_for()
                price = page.get_by_role("spinbutton", name="embeddings")
                await price.fill("1001")
                await page.get_by_text("A price is at most 1,000").wait_for()
                await looked.sound("tariff-absurd")
                await price.fill(f"0.00{74 + version}")
                preview = page.get_by_role("region", name="What would change")
                await expect(preview).to_contain_text("2\u00a0jobs paid in the last 30 days cost 0.0074 credits")
                await expect(preview).to_contain_text(f"would cost 0.00{74 + version}")
                await looked.sound("tariff-draft")
                assert (await ann.do(tariffs.tariff(town.network))).version == version, "trying publishes nothing"
                await page.get_by_role("textbox", name="Why").fill("the <b>power</b> bill")
                await page.get_by_role("button", name=f"Publish version {version + 1}").click()
                version += 1
                await page.get_by_role("heading", name=f"Tariff, version {version}").wait_for()
                await page.get_by_role("button", name="All versions").click()
                listed = page.get_by_role("list", name="Versions of the tariff")
                await expect(listed.get_by_role("listitem")).to_have_count(version)
                await expect(listed).to_contain_text("by Ann: “the <b>power</b> bill”")
                await expect(listed).to_contain_text("as every network begins")
                await looked.sound("tariff-history")
        published = await ann.do(tariffs.tariff(town.network))
        assert (published.version, published.note) == (3, "the <b>power</b> bill")
        assert {one.workload: one.price_micro for one in published.prices}["embeddings"] == 7600
        async with a_page(browser) as looked:
            page = looked.page
            address = await opened(looked, ben, town.network, "settings")
            for size in SIZES:
                await looked.at(size, address)
                await page.get_by_text("0.0076 credits for a kB of text").wait_for()
                await expect(page.get_by_role("spinbutton", name="embeddings")).to_have_count(0)
                await looked.sound("tariff-member")
                await looked.at(size, address.replace("/settings", "/ledger"))
                await page.get_by_text("Prices changed: version 3 of the tariff").wait_for()
                await looked.sound("tariff-told")


async def test_what_another_admin_publishes_meanwhile_is_shown_and_not_written_over(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _ben), a_page(browser) as looked:
        page = looked.page
        away = []

        async def old(route):
            """As it was when this page was opened: the news has not come through yet."""
            if not away:
                away.append(await (await route.fetch()).text())
            await route.fulfill(body=away[0], content_type="application/json")

        await page.route("**/v1/networks/*/settings", old)
        address = await opened(looked, ann, town.network, "settings")
        await page.get_by_role("spinbutton", name="ocr").fill("0.05")
        await page.get_by_role("region", name="What would change").wait_for()
        change = {"prices": [{"workload": "ocr", "price_micro": 40_000}]}
        await ann.do(tariffs.publish_tariff(town.network, change, 1))
        await page.get_by_role("button", name="Publish version 2").click()
        await page.get_by_text("Somebody published another version meanwhile.").wait_for()
        await looked.sound("tariff-stale")
        await page.unroute("**/v1/networks/*/settings")
        await page.goto(address)
        await page.get_by_role("heading", name="Tariff, version 2").wait_for()
        await expect(page.get_by_role("spinbutton", name="ocr")).to_have_value("0.04")
        await page.get_by_role("spinbutton", name="ocr").fill("0.05")
        await ann.do(tariffs.publish_tariff(town.network, {"fee_ppm": 0}, 2))
        await page.get_by_role("heading", name="Tariff, version 3").wait_for()
        await expect(page.get_by_role("spinbutton", name="ocr")).to_have_value("0.04")
        assert (await ann.do(tariffs.tariff(town.network))).prices[-1].price_micro == 40_000
