"""The domains of a network in its settings: admins list and remove them, members see them."""

import pytest
from playwright.async_api import expect

from agents import a_town
from mesh.sdk import domains as calls
from pages.looking import SIZES, a_page
from pages.looking import signed_in_at as opened

pytestmark = pytest.mark.anyio


async def test_admins_list_domains_and_a_wrong_one_is_refused_in_words(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        async with a_page(browser) as looked:
            page = looked.page
            address = await opened(looked, ann, town.network, "settings")
            for size in SIZES:
                await looked.at(size, address)
                await page.get_by_text("None: people come by an invite.").wait_for()
                await page.get_by_label("A domain").fill("gmail.com")
                await page.get_by_role("button", name="Add", exact=True).click()
                await page.get_by_role("alert").get_by_text("A domain to let in looks like example.org").wait_for()
                await page.get_by_label("A domain").fill("Bücher.example")
                await page.get_by_label("Come in as").select_option("guest")
                await page.get_by_role("button", name="Add", exact=True).click()
                await page.get_by_role("button", name="Remove xn--bcher-kva.example").wait_for()
                await expect(page.get_by_role("alert")).to_have_count(0)
                await page.evaluate("scrollTo(0, 0)")  # links half under the header that stays would be too small
                await looked.sound("settings-domains")
                (listed,) = (await ann.do(calls.domains(town.network))).domains
                assert (listed.domain, listed.role, listed.by) == ("xn--bcher-kva.example", "guest", ann.member)
                await page.get_by_role("button", name="Remove xn--bcher-kva.example").click()
                await page.get_by_text("None: people come by an invite.").wait_for()
                assert (await ann.do(calls.domains(town.network))).domains == ()
        await ann.do(calls.list_domain(town.network, "example.org"))
        async with a_page(browser) as looked:
            await opened(looked, ben, town.network, "settings")
            await looked.page.get_by_text("example.org as a member").wait_for()
            await expect(looked.page.get_by_role("button", name="Remove example.org")).to_have_count(0)
            await expect(looked.page.get_by_label("A domain")).to_have_count(0)
