"""The review queue in a browser: a device that makes results up is looked at, and put back into use, by an admin."""

import pytest

from agents import a_town, until
from mesh.protocol.values import Routing
from mesh.sdk import calls, credit, review
from pages.looking import PHONE, SIZES, a_page, decided
from pages.looking import signed_in_at as opened
from pages.test_dashboard import shown
from programs.test_agent_checks import a_cheat

pytestmark = pytest.mark.anyio


async def test_a_case_is_a_question_with_its_evidence_and_its_answer_is_logged(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        async with a_page(browser, PHONE) as looked:
            await opened(looked, ann, town.network, "review")
            await shown(looked.page, "Nothing waits for your eye.")
            await looked.sound("review-empty")
        await ann.do(calls.change_settings(town.network, {"credit_line": "strict"}))
        desk, box = await ann.device("desk"), await a_cheat(ben, "box")
        for text in ("one", "two"):
            await desk.run(text, routing=Routing("device", device=box.id))

        async def out_of_use():
            return any(one.kind == "quarantine" for one in (await ann.do(review.listing(town.network))).items)

        await until(out_of_use)
        before = len((await ann.do(review.listing(town.network))).items)
        async with a_page(browser) as looked:
            page, address = looked.page, await opened(looked, ann, town.network, "review")
            for size in SIZES:
                await looked.at(size, address)
                await page.get_by_role("heading", name="box is out of use. Put it back?").wait_for()
                await page.get_by_role("button", name="its checks").first.click()
                await page.get_by_text("another result").first.wait_for()
                assert "fraud" not in (await page.get_by_role("main").inner_text()).lower()
                await looked.sound("review")
        async with a_page(browser) as looked:
            page = looked.page
            await opened(looked, ann, town.network, "settings")
            await page.get_by_role("link", name="Review").click()
            await page.get_by_role("button", name="Put back into use").first.click()
            await page.get_by_role("alertdialog").get_by_text("It begins as a new device does").wait_for()
            await looked.sound("review-dialog")
            await decided(page, "Leave it")
            assert len((await ann.do(review.listing(town.network))).items) == before, "asking changes nothing"
            await page.get_by_role("button", name="Trust the owner…").first.click()
            dialog = page.get_by_role("alertdialog")
            await dialog.get_by_text("You vouch for Ben").wait_for()
            await looked.sound("review-trust")
            await decided(page, "Trust the owner")
            await page.get_by_role("button", name="Trust the owner no more…").first.wait_for()
            await page.get_by_role("button", name="Put back into use").first.click()
            await decided(page, "Put back into use")
            await page.get_by_role("heading", name="box is out of use").wait_for(state="detached")
        noted = (await ann.do(credit.decisions(town.network))).decisions
        assert (noted[0].kind, noted[0].subject, noted[0].by) == ("device.release", box.id, ann.member)
        assert (noted[1].kind, noted[1].subject, noted[1].by) == ("member.trust", ben.member, ann.member)
        async with a_page(browser) as looked:
            await opened(looked, ben, town.network, "review")
            await looked.page.get_by_role("alert").wait_for()
            assert await looked.page.get_by_role("button", name="Put back into use").count() == 0
