"""What placement weighs, changed in a browser: the newest decisions are replayed before anything is saved."""

import pytest
from playwright.async_api import expect

from agents import a_town
from mesh.sdk import calls
from pages.looking import SIZES, a_page
from pages.looking import signed_in_at as opened
from pages.test_dashboard import shown

pytestmark = pytest.mark.anyio


def elsewhere(job, asker, went, goes):
    """A replay in which one decision of seven would change."""

    def score(device, first, power):
        terms = {"seconds": first, "rtt": 0.1, "plugged": power, "thermal": 0.1, "idle": 0.05, "cost": 0.0}
        return {"device": device, "terms": terms, "total": sum(terms.values())}

    moved = {
        "job": job, "requester": asker, "member": "", "workload": "embeddings", "created_ms": 1_700_000_000_000,
        "then": score(went, 0.5, 0), "stays": score(went, 0.3, 0), "goes": score(goes, 0.1, 0.4),
    }  # fmt: skip

    async def answered(route):
        await route.fulfill(json={"weights": {}, "replayed": 7, "unknown": 2, "moved": [moved]})

    return answered


async def test_weights_are_tried_before_they_are_saved(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        lumen, atlas = await ann.device("lumen", work=False), await ann.device("atlas")
        studio = await ben.device("studio")
        for text in ("one", "two"):
            await lumen.run(text)
        await lumen.reported()
        before = (await ann.do(calls.settings(town.network))).weights
        async with a_page(browser) as looked:
            page = looked.page
            await page.route("**/settings/try", elsewhere("J" * 26, lumen.id, studio.id, atlas.id))
            address = await opened(looked, ann, town.network, "settings")
            for size in SIZES:
                await looked.at(size, address)
                await shown(page, "friends line")
                await page.get_by_label("power").fill("0.4")
                change = page.get_by_role("region", name="What would change")
                await change.get_by_text("1 of 7").wait_for()
                await change.get_by_text("atlas instead of studio because of power").wait_for()
                await expect(change).to_contain_text("2\u00a0more do not say")
                await looked.sound("weights")
                await page.get_by_role("button", name="Discard").click()
                await change.wait_for(state="detached")
        assert (await ann.do(calls.settings(town.network))).weights == before, "trying saves nothing"
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ann, town.network, "settings")
            await page.get_by_label("round trip").fill("0.2")
            await page.get_by_role("region", name="What would change").get_by_text("would go elsewhere").wait_for()
            await page.get_by_role("button", name="Save weights").click()
            await page.get_by_text("The weights are saved.").wait_for()
            saved = (await ann.do(calls.settings(town.network))).weights
            assert saved["rtt"] == 0.2 and abs(sum(saved.values()) - 1) < 1e-6
        async with a_page(browser) as looked:
            await opened(looked, ben, town.network, "settings")
            await shown(looked.page, "friends line")
            await expect(looked.page.get_by_label("power")).to_be_disabled()
