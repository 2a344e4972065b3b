"""One device's panel in a browser: called something else, seen at once by others; and how it was reached last."""

import pytest

from agents import a_town
from coordinators import a_job, an_id
from mesh.protocol import link
from mesh.protocol.values import Routing
from mesh.sdk import calls
from pages.looking import SIZES, a_page
from pages.looking import signed_in_at as opened

pytestmark = pytest.mark.anyio


async def test_a_device_is_renamed_in_its_panel_and_other_pages_follow(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben), a_page(browser) as bens:
        lumen, studio = await ann.device("lumen", work=False), await ben.device("studio")
        await opened(bens, ben, town.network, f"devices/{studio.id}")
        await bens.page.get_by_role("complementary", name="Device studio").get_by_text("Not known yet").wait_for()
        await lumen.run(routing=Routing("device", device=studio.id))
        measured = link.EstimateRequest(an_id(), a_job(), (link.PathSeen(studio.id, 2.54),))
        await lumen.agent.parts.coordination.ask_estimate(measured)
        await lumen.reported()
        before = "studio"
        async with a_page(browser) as looked:
            page, address = looked.page, await opened(looked, ann, town.network, f"devices/{studio.id}")
            for size in SIZES:
                await looked.at(size, address)
                panel = page.get_by_role("complementary", name=f"Device {before}")
                await panel.get_by_text("with lumen, as of").wait_for()
                told = await panel.get_by_label("Round trips").inner_text()
                assert "to lumen" in told and "2.5 ms" in told
                await panel.get_by_role("button", name="Rename").click()
                await page.keyboard.press("Escape")
                await panel.get_by_role("button", name="Rename").click()
                await panel.get_by_label("Its name").fill("lumen")
                await page.keyboard.press("Enter")
                await panel.get_by_role("alert").get_by_text("This name is taken").wait_for()
                await looked.sound("device-rename")
                await panel.get_by_label("Its name").fill(f"cellar-{size['width']}")
                await page.keyboard.press("Enter")
                before = f"cellar-{size['width']}"
                await page.get_by_role("complementary", name=f"Device {before}").wait_for()
                await page.get_by_text(f"is called {before} now.").wait_for()
                await looked.sound("device-panel")
                await bens.page.get_by_role("complementary", name=f"Device {before}").wait_for()
        assert before in {one.name for one in (await ann.do(calls.devices(town.network))).devices}
        await opened(bens, ben, town.network, f"devices/{lumen.id}")
        panel = bens.page.get_by_role("complementary", name="Device lumen")
        await panel.wait_for()
        assert await panel.get_by_role("button", name="Rename").count() == 0, "another's device, and no admin"
