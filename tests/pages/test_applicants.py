"""People who wait, in browsers: they see that they wait and nothing else; an admin's page hears of them by itself."""

import pytest

from agents import a_town
from mesh.sdk import calls
from pages.looking import PHONE, SIZES, a_page, decided
from pages.looking import signed_in_at as opened

pytestmark = pytest.mark.anyio


async def test_who_waits_sees_only_that_and_is_let_in_or_refused_before_their_eyes(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _), a_page(browser) as admins, a_page(browser, PHONE) as theirs:
        admin, page = admins.page, theirs.page
        settings = await opened(admins, ann, town.network, "settings")
        await admin.get_by_role("switch", name="People wait for approval").click()
        await admin.get_by_text("Whoever comes waits for an admin now.").wait_for()
        assert (await ann.do(calls.settings(town.network))).approve_people
        await admin.goto(settings.replace("/settings", "/members"))
        await admin.get_by_role("heading", name="Two people, nobody invited.").wait_for()

        for name, yes in (("Cleo <b>&</b> Co", True), ("Dan", False)):
            terms = calls.TokenTerms("member", role="member", name="the chess club")
            await page.goto((await ann.do(calls.mint(town.network, terms))).link)
            await page.get_by_label("What others call you").fill(name)
            await page.get_by_text("You wait until one of its admins lets you in.").wait_for()
            await theirs.sound("door-waits")
            await page.get_by_role("button", name="Ask to join home").click()
            await page.get_by_role("heading", name="You wait to be let into home.").wait_for()
            await page.get_by_role("heading", name="Your data").wait_for()
            await theirs.sound("asked")
            assert await page.get_by_role("navigation").count() == 0

            await (
                admin.get_by_role("heading", name="wait to be let in")
                .or_(admin.get_by_role("heading", name="waits to be let in"))
                .wait_for()
            )
            await admin.get_by_text("Came by a link for the chess club, invited by Ann").wait_for()
            for size in SIZES:
                await admin.set_viewport_size(size)
                await admins.sound("members-waiting")
            if yes:
                await admin.get_by_role("button", name=f"Approve {name}").click()
                await page.wait_for_url(f"**/n/{town.network}*")
                await page.get_by_role("navigation").first.wait_for()
                people = {one.name: one.role for one in (await ann.do(calls.members(town.network))).members}
                assert people == {"Ann": "admin", "Ben": "member", name: "member"}
                await page.context.clear_cookies()
            else:
                await admin.get_by_role("button", name=f"Refuse {name}").click()
                await admin.get_by_label("Why, if you want to say it").fill("We do not know each other.")
                await admins.sound("members-refuse")
                await decided(admin, f"Refuse {name}")
                await page.get_by_role("heading", name="You were not let into home.").wait_for()
                await page.get_by_text("We do not know each other.").wait_for()
                await theirs.sound("refused")
            await admin.get_by_role("button", name=f"Approve {name}").wait_for(state="detached")
        assert (await ann.do(calls.applicants(town.network))).applicants == ()


async def test_a_member_who_waits_elsewhere_sees_it_on_every_page_and_can_withdraw(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben), a_page(browser) as looked:
        page = looked.page
        lab = (await ann.do(calls.create_network("lab"))).network
        invite = (await ann.do(calls.mint(lab, calls.TokenTerms("member", role="member", approve=True)))).link
        home = await opened(looked, ben, town.network, "members")
        await page.goto(invite)
        await page.get_by_role("button", name="Ask to join as Ben").click()
        await page.wait_for_url(f"**/n/{lab}*")
        await page.get_by_role("heading", name="You wait to be let into lab.").wait_for()
        await page.goto(home)
        await page.get_by_text("You wait to be let into lab.").wait_for()
        await looked.sound("waits-elsewhere")
        await page.get_by_role("link", name="How it stands").click()
        await page.get_by_role("button", name="Withdraw").click()
        await page.get_by_role("heading", name="There is nothing here, or it is not yours to see.").wait_for()
        assert [one.state for one in (await ben.do(calls.asked())).networks] == ["withdrawn"]
        assert (await ann.do(calls.applicants(lab))).applicants == ()
