"""The settings in a browser: what work costs, whether devices wait, how much at once; API keys made and revoked."""

import pytest

from agents import a_town
from mesh.sdk import calls
from pages.looking import SIZES, a_page, decided
from pages.looking import signed_in_at as opened

pytestmark = pytest.mark.anyio


async def test_terms_and_api_keys_are_seen_and_changed_by_those_who_may(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        async with a_page(browser) as looked:
            page, address = looked.page, await opened(looked, ann, town.network, "settings")
            for size, wait in zip(SIZES, (True, False), strict=True):
                name = f"backup-{size['width']}"
                await looked.at(size, address)
                await page.get_by_role("heading", name="Tariff, version 1").wait_for()
                await page.get_by_text("credits for a page").wait_for()
                await page.get_by_role("switch", name="Devices wait for approval").click()
                await page.get_by_text("wait for an admin now." if wait else "come in without an admin now.").wait_for()
                assert (await ann.do(calls.settings(town.network))).approve_devices is wait
                await page.get_by_label("A new key’s name").fill(name)
                await page.get_by_label("invite devices").check()
                await page.get_by_role("button", name="Make a key").click()
                shown = page.get_by_role("status").filter(has_text="shown this once")
                secret = await shown.locator("code", has_text="mesh_").first.inner_text()
                await looked.sound("settings-key")
                await page.get_by_role("button", name="I have it").click()
                await page.get_by_role("button", name=f"Revoke {name}…").wait_for()
                await looked.sound("settings-terms")
                assert secret not in await page.content()
                made = next(one for one in (await ann.do(calls.api_keys(town.network))).keys)
                assert (made.name, "devices.invite" in made.scopes) == (name, True)
                await page.get_by_role("button", name=f"Revoke {name}…").click()
                await decided(page, "Revoke it")
                await page.get_by_role("button", name=f"Revoke {name}…").wait_for(state="detached")
                assert (await ann.do(calls.api_keys(town.network))).keys == ()
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ann, town.network, "settings")
            await page.get_by_label("Permits for each person").fill("7")
            await page.get_by_role("button", name="Save limit").click()
            await page.get_by_text("The limit is saved.").wait_for()
            assert (await ann.do(calls.settings(town.network))).permits_per_member == 7
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ben, town.network, "settings")
            await page.get_by_text("7\u00a0permits at a time for each person.").wait_for()
            assert await page.get_by_role("switch").count() == 0
            assert await page.get_by_label("let devices in").count() == 0, "only what he may himself"
