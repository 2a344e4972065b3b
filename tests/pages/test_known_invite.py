"""An invite opened in a browser where somebody is signed in: they join as who they are, by one button."""

import pytest

from agents import a_town
from mesh.sdk import calls
from pages.looking import PHONE, a_page
from pages.looking import signed_in_at as opened

pytestmark = pytest.mark.anyio


async def test_who_is_signed_in_joins_as_who_they_are_and_can_say_that_they_are_somebody_else(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben), a_page(browser, PHONE) as looked:
        page = looked.page
        other = (await ann.do(calls.create_network("lab"))).network
        invite = (await ann.do(calls.mint(other, calls.TokenTerms("member", role="member")))).link
        await opened(looked, ben, town.network, "settings")
        await page.goto(invite)
        await page.get_by_role("heading", name="Ann invites you to lab.").wait_for()
        await page.get_by_role("button", name="I am somebody else").click()
        await page.get_by_label("What others call you").wait_for()
        await page.reload()
        await page.get_by_role("button", name="Join as Ben").wait_for()
        await looked.sound("join-as-known")
        await page.get_by_role("button", name="Join as Ben").click()
        await page.wait_for_url(f"**/n/{other}*")
        people = (await ann.do(calls.members(other))).members
        assert [(one.member, one.name, one.role) for one in people if one.name != "Ann"] == [
            (ben.member, "Ben", "member")
        ]
