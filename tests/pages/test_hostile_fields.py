"""Hostile words typed in a browser into every field in which a person can type, and into the address of every page.

Nothing of them runs, nothing they name becomes an element or is fetched, and no page grows wider than a phone.
"""

import contextlib
import csv
import io
from urllib.parse import quote, urlsplit

import pytest

from agents import EMBEDDINGS, a_town
from mesh.agent.asking.asked import Ask
from mesh.sdk import calls, credit
from mesh.workloads.embeddings import payload_of
from pages.looking import PHONE, a_page
from pages.looking import signed_in_at as opened
from pages.test_dashboard import to

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

HOSTILE = {
    "a script": "<script data-evil>window.evil=1</script>",
    "an image": '"><img data-evil src=//evil.test/x onerror=window.evil=1>',
    "a frame": "'><iframe data-evil srcdoc='<script>parent.evil=1</script>'></iframe>",
    "an address": "javascript:window.evil=1",
    "a template": "{{constructor.constructor('window.evil=1')()}}${window.evil=1}",
    "SQL": "'; DROP TABLE members; --",
    "markup of the terminal": "[link=http://evil.test]click[/link]\x1b[31m",
    "a formula": '=HYPERLINK("http://evil.test")',
    "a formula with +": "+1+cmd|' /C calc'!A0",
    "right to left": "\u202e\u2066gpj.exe",
    "right-to-left letters": "\u05e9\u05dc\u05d5\u05dd \u0627\u0644\u0633\u0644\u0627\u0645",
    "emoji": "👩‍🚀🏳️‍🌈" * 9,
    "combining": "Z" + "\u0335" * 60,
    "long": "W" * 20_000,
}
"""What `evil.test` would serve does not matter: that it is asked for would."""
FOUND = """() => ({
  evil: window.evil,
  elements: document.querySelectorAll('[data-evil], iframe, object, embed').length,
  links: [...document.links].filter((one) => !/^https?:/.test(one.href) || one.origin !== location.origin).length,
  wide: document.documentElement.scrollWidth - innerWidth,
})"""
NOTHING = {"evil": None, "elements": 0, "links": 0}


class Watched:
    """A page that must not come alive: what it asks for elsewhere and each dialog is noted."""

    def __init__(self, looked):
        self.looked, self.page, self.alarms = looked, looked.page, []
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("dialog", self._dialog)

    def _asked(self, url):
        if urlsplit(url).hostname == "evil.test":
            self.alarms.append(url)

    async def _dialog(self, dialog):
        self.alarms.append(dialog.message)
        await dialog.dismiss()

    async def harmless(self, where):
        found = await self.page.evaluate(FOUND)
        assert found.pop("wide") <= 0, (where, "it scrolls sideways")
        assert found == NOTHING, (where, found)
        assert self.alarms == [], (where, self.alarms)
        assert self.looked.complaints == [], (where, self.looked.complaints)

    async def loaded(self):
        """Whatever a page asks for when it is opened is answered, and shown."""
        await self.page.wait_for_load_state("networkidle")

    @contextlib.asynccontextmanager
    async def answered(self, method="POST"):
        """What is done meanwhile is sent, answered, and shown."""
        async with self.page.expect_response(lambda one: one.request.method == method) as answer:
            yield
        await (await answer.value).finished()
        await self.page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


async def test_what_comes_alive_would_be_noticed(tmp_path, browser):
    async with a_page(browser) as looked:
        watched = Watched(looked)
        for live in (
            "document.body.append(Object.assign(document.createElement('img'), {src: 'http://evil.test/x'}))",
            "document.body.append(Object.assign(document.createElement('a'), {href: 'javascript:1'}))",
            "document.body.append(Object.assign(document.createElement('a'), {href: 'http://evil.test'}))",
            "document.body.style.width = '9999px'",
            "document.body.append(document.createElement('iframe'))",
            "window.evil = 1",
        ):
            await looked.page.goto("data:text/html,<title>x</title>")
            watched.alarms.clear()
            await watched.harmless("nothing yet")
            await looked.page.evaluate(live)
            with pytest.raises(AssertionError):
                await watched.harmless(live)


async def typed(field, text):
    """What a person could type: the field itself cuts what is too long."""
    most = await field.get_attribute("maxlength")
    await field.fill(text if most is None else text[: int(most)])


async def test_fields_of_a_network_keep_hostile_words_as_words(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _), a_page(browser, PHONE) as looked:
        page, watched = looked.page, Watched(looked)
        await ann.device("lumen")
        await opened(looked, ann, town.network, "members")
        await page.get_by_role("button", name="Invite", exact=True).wait_for()
        for what, text in HOSTILE.items():
            await typed(page.get_by_label("Name"), text)
            await page.get_by_role("button", name="Invite", exact=True).click()
            await page.get_by_role("button", name="Invite another").or_(page.get_by_role("alert")).first.wait_for()
            await watched.harmless(("invite", what))
            if await page.get_by_role("button", name="Invite another").count():
                await page.get_by_role("button", name="Invite another").click()
        await page.goto(page.url.replace("/members", "/policy"))
        editor = page.get_by_label("The policy")
        await editor.wait_for()
        before = await editor.input_value()
        for what, text in HOSTILE.items():
            async with watched.answered():
                await editor.fill(f"{text}\n{before}")
            await watched.harmless(("policy", what))
        for what in ("a script", "an image", "a formula", "right to left", "long"):
            await page.goto(page.url)
            await editor.fill(f"# {what}\n{before}")
            await typed(page.get_by_label("Why"), HOSTILE[what])
            async with watched.answered("PUT"):
                await page.get_by_role("button", name="Save this version").click()
            await watched.harmless(("note", what))
        await page.goto(page.url.replace("/policy", "/audit"))
        await page.get_by_text("saved version").first.wait_for()
        await watched.harmless("decisions")
        for what, text in HOSTILE.items():
            await page.keyboard.press("/")
            box = page.get_by_role("combobox", name="Find a")
            await typed(box, text)
            await page.get_by_text("Nothing here is called that.").or_(page.get_by_role("option")).first.wait_for()
            await watched.harmless(("find", what))
            await page.keyboard.press("Escape")
            await box.wait_for(state="detached")


async def test_codes_and_addresses_keep_hostile_words_as_words(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _), a_page(browser, PHONE) as looked:
        page, watched = looked.page, Watched(looked)
        await ann.device("lumen")
        await opened(looked, ann, town.network, "")
        home = page.url.split("/n/")[0]
        await page.get_by_role("button", name="Add a device").click()
        code = page.get_by_role("dialog").get_by_label("Code")
        for what, text in HOSTILE.items():
            await typed(code, text)
            async with watched.answered():
                await page.get_by_role("dialog").get_by_role("button", name="Look").click()
            await page.get_by_role("alert").wait_for()
            await watched.harmless(("pairing code", what))
        await page.goto(f"{home}/device")
        for what, text in HOSTILE.items():
            await typed(page.get_by_label("Its code"), text)
            async with watched.answered():
                await page.get_by_role("button", name="See who asks").click()
            await page.get_by_role("alert").wait_for()
            await watched.harmless(("code of a login", what))
        for what in ("a script", "an image", "an address", "SQL", "right to left", "long"):
            said = quote(HOSTILE[what][:500], safe="")
            for address in (
                f"/n/{town.network}/ledger?member={said}&kind={said}&device={said}&since={said}&by={said}",
                f"/n/{town.network}/devices/{said}",
                f"/n/{town.network}/jobs/{said}",
                f"/n/{said}",
                f"/{said}",
                f"/join#{said}",
                f"/signed-in?error={said}",
            ):
                await page.goto(home + address)
                await page.locator("h1, pre").first.wait_for()  # a page, or what the coordinator refuses in JSON
                await watched.harmless((address, what))


async def test_a_name_is_a_name_wherever_it_is_shown_and_no_formula_in_a_file(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        lumen, studio = await ann.device("lumen", work=False), await ben.device("studio")
        for what in ("a script", "an image", "a formula", "right to left", "right-to-left letters", "emoji", "long"):
            text, link = HOSTILE[what], await ann.link("member", role="member")
            async with a_page(browser, PHONE) as looked:
                watched = Watched(looked)
                await looked.page.goto(link.text())
                await typed(looked.page.get_by_label("What others call you"), text)
                await looked.page.get_by_role("button", name="Join home").click()
                joined = looked.page.get_by_role("heading", level=1).filter(has_text="evice")
                await joined.or_(looked.page.get_by_role("alert")).first.wait_for()
                await watched.harmless(("name", what))
        people = (await ann.do(calls.members(town.network))).members
        assert len(people) > 4, "names are words, and most are taken as they are"
        for text in HOSTILE.values():
            if text.isprintable():
                await ann.do(credit.give(town.network, people[-1].member, 1000, text[:200]))
        task = Ask(EMBEDDINGS, payload_of(["a harbour " * 50]), routing=to(studio))
        await lumen.agent.parts.requester.run(task)
        await lumen.reported()
        async with a_page(browser, PHONE) as looked:
            page, watched = looked.page, Watched(looked)
            await opened(looked, ann, town.network, "members")
            for shown in ("members", "", "jobs", "ledger", "ledger?by=device", "settings", "audit", "review"):
                await page.goto(f"{page.url.split('/n/')[0]}/n/{town.network}/{shown}")
                await page.get_by_role("heading", level=1).first.wait_for()
                await watched.loaded()
                await watched.harmless(shown)
            await page.goto(f"{page.url.split('/n/')[0]}/n/{town.network}/ledger")
            async with page.expect_download() as downloading:
                await page.get_by_role("link", name="Export CSV").click()
            text = (await (await downloading.value).path()).read_text(encoding="utf-8")
            cells = [cell for row in list(csv.reader(io.StringIO(text, newline="")))[1:] for cell in row]
            assert any(cell.startswith("'=HYPERLINK") for cell in cells), "a reason begins as a formula does"
            for cell in cells:
                number = cell.lstrip("-").replace(".", "", 1).isdigit()
                assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")), cell


async def test_the_name_of_a_network_keeps_hostile_words_as_words(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _), a_page(browser, PHONE) as looked:
        page, watched = looked.page, Watched(looked)
        await opened(looked, ann, town.network, "")

        async def nowhere(route):
            answer = await route.fetch()
            await route.fulfill(json={**await answer.json(), "networks": []})

        await page.route("**/v1/me", nowhere)
        await page.goto(page.url.split("/n/")[0])
        await page.get_by_role("heading", name="What is your network called?").wait_for()
        for what, text in HOSTILE.items():
            await typed(page.get_by_label("Name"), text)
            async with watched.answered():
                await page.get_by_role("button", name="Make it").click()
            await page.get_by_role("alert").wait_for()
            await watched.harmless(("network", what))
        assert len((await ann.do(calls.networks())).networks) == 1, "a network is called by a machine's name"
