"""Signing in with a real provider of OpenID Connect, in a real browser: linking it, coming back, joining by it."""

import contextlib

import msgspec
import pytest

from agents import a_town
from mesh.coordinator.settings import OidcSettings, WaySettings
from mesh.sdk import calls
from pages.identity_provider import CLIENT, SECRET, an_identity_provider
from pages.looking import DESKTOP, PHONE, a_page

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def a_town_with_a_provider(folder, **more):
    """A town that people reach at a name, and a provider that knows it."""
    async with a_town(folder) as (town, ann, ben):
        url = ann.record.url.replace("127.0.0.1", "localhost")
        async with an_identity_provider(f"{url}/signed-in") as issuer:
            await town.away()
            ways = WaySettings(oidc=OidcSettings(issuer, CLIENT, SECRET, "Example"), **more)
            town.config = msgspec.structs.replace(town.config, public_url=url, ways=ways)
            await town.serve()
            yield town, ann, ben, url


async def at_the_provider(page, name):
    """Say there who one is, and yes."""
    await page.locator("input[name=login]").fill(name)
    await page.locator("input[name=password]").fill("anything")
    await page.get_by_role("button", name="Sign-in").click()
    await page.get_by_role("button", name="Continue").click()


async def shown(page, name):
    await page.get_by_role("heading", level=1).filter(has_text=name).wait_for()


async def test_a_person_links_a_provider_comes_back_by_it_and_takes_another_way_away(tmp_path, browser):
    async with a_town_with_a_provider(tmp_path) as (town, ann, _, url):
        async with a_page(browser, DESKTOP) as looked:
            page = looked.page
            await page.goto((await ann.do(calls.sign_in_link())).link)
            await page.get_by_role("button", name="Sign in").click()
            await shown(page, "No devices yet")
            await page.goto(f"{url}/n/{town.network}/settings")
            await page.get_by_role("button", name="Link Example").click()
            await at_the_provider(page, "ann")
            await page.get_by_text("ann@example.org").wait_for()
            await page.wait_for_url("**/settings")
            await looked.sound("settings-linked")
            await page.get_by_role("button", name="Remove").click()
            await page.get_by_text("This is your last way in.").wait_for()
        async with a_page(browser, PHONE, "dark") as looked:
            page = looked.page
            await page.goto(url)
            await page.get_by_role("button", name="Sign in with Example").wait_for()
            await looked.sound("door-provider")
            await page.get_by_role("button", name="Sign in with Example").click()
            await at_the_provider(page, "ann")
            await shown(page, "No devices yet")
            cookies = {one["name"]: one for one in await page.context.cookies(url)}
            assert cookies["mesh"]["httpOnly"] and "mesh-flow" not in cookies
        async with a_page(browser) as looked:
            page = looked.page
            await page.goto(f"{url}/device")
            await page.get_by_role("button", name="Sign in with Example").click()
            await at_the_provider(page, "stranger")
            await shown(page, "You are not signed in.")
            await page.get_by_text("Nobody here is linked with that account.").wait_for()
            await page.wait_for_url(lambda url: "code=" not in url)  # what the provider gave does not stay
            await looked.sound("door-stranger")


async def test_an_invited_person_joins_by_their_account_and_a_link_of_a_strangers_flow_signs_nobody_in(
    tmp_path, browser
):
    async with a_town_with_a_provider(tmp_path) as (_, ann, _, url):
        link = (await ann.link("member", role="guest", name="Zoë")).text()
        async with a_page(browser, DESKTOP) as looked, a_page(browser, PHONE) as other:
            page = looked.page
            await page.goto(link)
            await page.get_by_role("button", name="Join with Example").click()
            await at_the_provider(page, "zoe")
            await shown(page, "No devices yet")
            async with page.expect_popup() as popup:  # the address that signed her in, opened by somebody else
                await page.evaluate("open('/signed-in?code=c0de&state=s')")
            await (await popup.value).get_by_text("This was begun in another browser").wait_for()
            await other.page.goto(f"{url}/signed-in?code=c0de&state=s")
            await other.page.get_by_text("This was begun in another browser").wait_for()
            await other.sound("signed-in-lost")
            await page.reload()
            await shown(page, "No devices yet")
