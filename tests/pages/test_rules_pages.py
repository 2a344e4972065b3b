"""The policy edited in a browser, a failing test seen and mended, and the log of decisions that members read."""

import pytest
from playwright.async_api import expect

from agents import a_town
from mesh.sdk import calls
from pages.looking import SIZES, a_page
from pages.looking import signed_in_at as opened
from pages.test_dashboard import shown

pytestmark = pytest.mark.anyio
EDITOR = "The policy"


async def test_a_policy_is_edited_its_failing_test_seen_and_mended_and_the_decision_logged(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        await ann.device("atlas")
        async with a_page(browser) as looked:
            page, address = looked.page, await opened(looked, ann, town.network, "policy")
            editor = page.get_by_label(EDITOR)
            for at, size in enumerate(SIZES):
                await looked.at(size, address)
                await page.get_by_text("guests stay public").first.wait_for()
                before = await editor.input_value()
                wrong = before.replace("role: guest\n    sensitivity: public", "role: guest")
                assert wrong != before
                await editor.fill(wrong)
                await shown(page, "One test fails, so this cannot be saved.")
                await page.get_by_text("what “guests stay public” says must be denied").first.wait_for()
                await expect(page.get_by_role("button", name="Save this version")).to_be_disabled()
                await looked.sound("policy-failing")
                await editor.fill("grants: [")
                await shown(page, "This draft cannot be read yet.")
                await page.get_by_role("alert").wait_for()
                await editor.fill(f"# draft {at}\n{before}")
                await shown(page, "nothing would change")
                await page.get_by_label("Why").fill("a clearer <b>word</b>")
                await looked.sound("policy-draft")
                await page.get_by_role("button", name="Save this version").click()
                await page.get_by_text(f"Version {at + 1}, by Ann").wait_for()
                await page.get_by_text("holds now").wait_for()
                await page.get_by_role("link", name="What admins decided").click()
                await shown(page, "decision")
                await page.get_by_text("saved version").first.wait_for()
                await looked.sound("decisions")
        async with a_page(browser) as looked:
            await opened(looked, ben, town.network, "policy")
            await looked.page.get_by_text("You can read it; an admin changes it.").wait_for()
            await expect(looked.page.get_by_label(EDITOR)).to_have_attribute("readonly", "")
            await expect(looked.page.get_by_role("button", name="Save this version")).to_have_count(0)
            await looked.page.goto(looked.page.url.replace("/policy", "/audit"))
            await shown(looked.page, "2 decisions so far.")


async def test_two_admins_drafts_of_one_policy_never_overwrite_each_other(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _), a_page(browser) as looked:
        page = looked.page
        await opened(looked, ann, town.network, "policy")
        editor = page.get_by_label(EDITOR)
        await editor.fill("# mine\n" + await editor.input_value())
        await shown(page, "nothing would change")
        held = await ann.do(calls.policy(town.network))
        await ann.do(calls.save_policy(town.network, "# theirs\n" + held.text, held.version, "theirs"))
        await page.get_by_role("button", name="Save this version").click()
        await page.get_by_role("button", name="Show theirs").click()
        await page.locator("pre").filter(has_text="# theirs").wait_for()
        assert (await editor.input_value()).startswith("# mine")
        assert (await ann.do(calls.policy(town.network))).text.startswith("# theirs")
