"""An invite for one e-mail address in a real browser: made in Members, mailed, and proven by a letter."""

import msgspec
import pytest

from agents import a_town, until
from mailboxes import a_mailbox, link_in
from mesh.coordinator.settings import MailSettings, WaySettings
from mesh.sdk import calls
from pages.looking import DESKTOP, PHONE, a_page
from pages.looking import signed_in_at as opened

pytestmark = pytest.mark.anyio
SIZED = {"desktop": DESKTOP, "phone": PHONE}


async def invite(page, name, address):
    await page.get_by_label("They can change it when they come.").fill(name)
    await page.get_by_label("E-mail address, if only they may come").fill(address)
    await page.get_by_label("People").wait_for(state="detached")  # it is for one person
    await page.get_by_role("button", name="Invite", exact=True).click()


@pytest.mark.parametrize("size", SIZED)
async def test_who_gets_the_letter_comes_in_and_who_invites_sees_what_became_of_it(tmp_path, size, browser):
    with a_mailbox() as box:
        async with a_town(tmp_path) as (town, ann, _):
            await town.away()
            ways = WaySettings(mail=MailSettings(box.url, "mesh@mesh.test"))
            town.config = msgspec.structs.replace(town.config, ways=ways)
            await town.serve()
            async with a_page(browser, SIZED[size]) as looked, a_page(browser, SIZED[size]) as hers:
                page = looked.page
                await opened(looked, ann, town.network, "members")
                await invite(page, "Lea", "lea@example.org")
                await page.get_by_text("A letter with this was sent to lea@example.org.").wait_for()
                await page.get_by_text("For a member, Lea, only lea@example.org (letter sent): used 0 of 1").wait_for()
                await looked.sound("invited")
                await until(lambda: len(box.letters) == 1)
                await hers.page.goto(link_in(box.letters[0]))
                await hers.page.get_by_text("This invite is only for lea@example.org.").wait_for()
                await hers.sound("invite-to-prove")
                await hers.page.get_by_role("button", name="Send a link to it").click()
                await hers.page.get_by_text("a link is on its way").wait_for()
                await hers.sound("invite-letter-asked")
                await until(lambda: len(box.letters) == 2)
                await hers.page.goto(link_in(box.letters[1]))
                await hers.page.get_by_role("button", name="Join home").click()
                await hers.page.wait_for_url(f"**/n/{town.network}*")
                people = (await ann.do(calls.members(town.network))).members
                assert sorted(one.name for one in people) == ["Ann", "Ben", "Lea"]
                box.refuses = 1
                await page.get_by_role("button", name="Invite another").click()
                await invite(page, "Max", "max@example.org")
                await page.get_by_text("The mail server did not take the letter. Send this to Max yourself.").wait_for()
                await page.get_by_text("only max@example.org (no letter left").wait_for()
                await looked.sound("invited-failed")
                await page.get_by_role("button", name="Revoke").first.click()
                await page.get_by_text("only max@example.org").wait_for(state="detached")
