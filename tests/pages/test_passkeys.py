"""Passkeys in a real browser with a virtual authenticator: added in Settings, used on the sign-in page."""

import msgspec
import pytest

from agents import a_town
from mesh.sdk import calls
from pages.looking import DESKTOP, PHONE, a_page

pytestmark = pytest.mark.anyio
INTERNAL = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


async def test_a_passkey_is_added_and_signs_in_and_an_address_says_why_it_has_none(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _):
        numeric = ann.record.url
        async with a_page(browser, PHONE, "dark") as looked:
            await looked.page.goto((await ann.do(calls.sign_in_link())).link)
            await looked.page.get_by_role("button", name="Sign in").click()
            await looked.page.get_by_role("heading", name="No devices yet").wait_for()
            await looked.page.goto(f"{numeric}/n/{town.network}/settings")
            await looked.page.get_by_text("No passkeys here: they belong to a name").wait_for()
            await looked.sound("settings-no-passkeys")
        url = numeric.replace("127.0.0.1", "localhost")
        await town.away()
        town.config = msgspec.structs.replace(town.config, public_url=url)
        await town.serve()
        async with a_page(browser, DESKTOP) as looked:
            page = looked.page
            devtools = await page.context.new_cdp_session(page)
            await devtools.send("WebAuthn.enable")
            await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": INTERNAL})
            await page.goto((await ann.do(calls.sign_in_link())).link)
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_role("heading", name="No devices yet").wait_for()
            await page.goto(f"{url}/n/{town.network}/settings")
            await page.get_by_role("button", name="Add a passkey").click()
            await page.get_by_text("· a passkey").wait_for()
            await looked.sound("settings-passkey")
            await page.get_by_role("button", name="Add a passkey").click()
            await page.get_by_text("This device has a passkey of yours").wait_for()
            await page.context.clear_cookies()
            await page.goto(url)
            await page.get_by_role("button", name="Sign in with a passkey").wait_for()
            await looked.sound("door-passkey")
            await page.get_by_role("button", name="Sign in with a passkey").click()
            await page.get_by_role("heading", name="No devices yet").wait_for()
            cookies = {one["name"]: one for one in await page.context.cookies(url)}
            assert cookies["mesh"]["httpOnly"] and cookies["mesh"]["sameSite"] == "Lax"
            await page.goto(numeric)
            await page.get_by_text("With a passkey only at").wait_for()
        async with a_page(browser, PHONE) as looked:
            page = looked.page
            devtools = await page.context.new_cdp_session(page)
            await devtools.send("WebAuthn.enable")
            await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": INTERNAL})
            await page.goto(url)
            await page.get_by_role("button", name="Sign in with a passkey").click()
            await page.get_by_text("Your browser or device gave no passkey").wait_for(timeout=90_000)
            await looked.sound("door-no-passkey")
