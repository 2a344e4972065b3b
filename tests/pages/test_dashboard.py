"""The dashboard in a real browser, on a real coordinator with real agents: what people see and do there."""

import asyncio
import time

import pytest
from playwright.async_api import expect

from agents import EMBEDDINGS, Device, a_town, until
from mesh.agent.asking.asked import Ask
from mesh.agent.join import join
from mesh.protocol import links
from mesh.protocol.values import Routing
from mesh.sdk import calls
from mesh.sdk.home import Home
from mesh.workloads.embeddings import payload_of
from pages import scenes
from pages.looking import PHONE, SIZES, a_page, decided
from pages.looking import signed_in as entered

pytestmark = pytest.mark.anyio


async def signed_in(looked, person):
    """Sign a browser in as a person, by a link as `mesh web` makes it."""
    link = (await person.do(calls.sign_in_link())).link
    await looked.page.goto(link)
    await looked.page.get_by_role("button", name="Sign in").click()
    await looked.page.get_by_role("heading", level=1).filter(has_text="device").wait_for()
    await looked.page.wait_for_url(lambda url: link.rpartition("#")[2] not in url)


async def lively(ann, ben):
    """Three devices of two people, with jobs done, one failed and one under way."""
    lumen, atlas = await ann.device("lumen", work=False), await ann.device("atlas")
    studio = await ben.device("studio")
    await lumen.run("boats in the dark", "a harbour")
    await lumen.run("apples")
    studio.engines.gate.clear()
    long = Ask(EMBEDDINGS, payload_of(["a long text"]), routing=to(studio))
    waiting = asyncio.ensure_future(lumen.agent.parts.requester.run(long))
    await studio.engines.started.get()
    await lumen.reported()
    return lumen, atlas, studio, waiting


def to(device):
    return Routing("device", device=device.id)


async def shown(page, name):
    await page.get_by_role("heading", level=1).filter(has_text=name).wait_for()


async def test_a_person_sees_the_network_move_and_every_page_is_sound(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        *_, studio, waiting = await lively(ann, ben)
        async with a_page(browser) as looked:
            await signed_in(looked, ann)
            for size in SIZES:
                await looked.at(size, f"{ann.record.url}/n/{town.network}")
                await all_pages_are_sound(looked)
        studio.engines.gate.set()
        await waiting


async def all_pages_are_sound(looked):
    page = looked.page
    await shown(page, "Three devices here, one at work.")
    await page.get_by_text("so far").first.wait_for()
    await page.get_by_text("Live", exact=True).wait_for()
    await looked.sound("devices")
    await page.get_by_role("link", name="studio").first.click()
    await page.get_by_role("complementary", name="Device studio").wait_for()
    await looked.sound("panel")
    await page.keyboard.press("Escape")
    for link, heading in (
        ("Jobs", "jobs"),
        ("Ledger", "You owe nothing"),
        ("Members", "Two people"),
        ("Settings", "friends line"),
    ):
        await page.get_by_role("link", name=link, exact=True).locator("visible=true").click()
        await shown(page, heading)
        await page.wait_for_load_state("networkidle")
        await looked.sound(link.lower())


async def test_why_a_job_went_where_it_went_and_what_it_cost(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, ben):
        lumen, _, studio = await ann.device("lumen", work=False), await ann.device("atlas"), await ben.device("studio")
        result = await lumen.run("boats in the dark " * 200, routing=to(studio))
        assert result.charge > 0
        await lumen.reported()
        await studio.reported()
        async with a_page(browser) as looked:
            page = looked.page
            await entered(looked, ann)
            for size in SIZES:
                await looked.at(size, f"{ann.record.url}/n/{town.network}")
                await page.get_by_role("link", name="Jobs", exact=True).locator("visible=true").click()
                await page.get_by_role("main").get_by_role("listitem").first.get_by_role("link").click()
                await page.get_by_role("heading", name="Why studio").wait_for()
                await page.get_by_text("another device was asked for").first.wait_for()
                await looked.sound("job")
                await page.get_by_role("link", name="Ledger", exact=True).locator("visible=true").click()
                await shown(page, "You owe the others")
                await page.get_by_text("Checked:").wait_for()
                await expect(page.get_by_role("main")).to_contain_text("sum 0.00")
                await looked.sound("ledger-line")


async def test_inviting_joining_and_approving_from_the_browser(tmp_path, browser):
    async with (
        a_town(tmp_path) as (town, ann, _),
        a_page(browser) as looked,
        a_page(browser, PHONE) as hers,
    ):
        page = looked.page
        await signed_in_empty(looked, ann)
        await looked.sound("devices-empty")
        await page.get_by_role("link", name="Members", exact=True).click()
        await page.get_by_label("Name").fill("Zoë <img src=x onerror=alert(1)>")
        await page.get_by_role("button", name="Invite", exact=True).click()
        link = await page.locator("code").filter(has_text="/join#").inner_text()
        await page.get_by_role("img", name="The same link as a code to scan").wait_for()
        await looked.sound("members-invite")
        await hers.page.goto(link)
        await hers.page.get_by_role("heading", name="Ann invites you to home.").wait_for()
        await hers.sound("join-phone")
        assert await hers.page.locator("img").count() == 0
        await hers.page.get_by_role("button", name="Join home").click()
        await shown(hers.page, "No devices yet")
        await page.get_by_text("Three people").wait_for()
        await page.get_by_role("link", name="Devices", exact=True).click()
        await page.get_by_role("button", name="Add a device").click()
        await page.get_by_role("dialog").get_by_role("button", name="Make a link").click()
        command = await page.locator("code").filter(has_text="mesh device join").inner_text()
        await looked.sound("add-device")
        await page.keyboard.press("Escape")
        link = command.split("'")[1]
        home = Home(tmp_path / "studio")
        await asyncio.to_thread(join, home, links.parse(link), "studio")
        device = await Device(town, home, True).start()
        await shown(page, "One device so far")
        await page.get_by_role("link", name="studio").first.click()
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_role("button", name="Resume").wait_for()
        await until(lambda: device.agent.parts.myself.state == "paused")
        await page.get_by_role("button", name="Remove…").click()
        await page.get_by_role("alertdialog").get_by_text("Its ledger lines stay").wait_for()
        await looked.sound("remove-dialog")
        await decided(page, "Keep it")
        assert device.id in {one.device for one in (await ann.do(calls.devices(town.network))).devices}


async def signed_in_empty(looked, person):
    link = (await person.do(calls.sign_in_link())).link
    await looked.page.goto(link)
    await looked.page.get_by_role("heading", name="Sign in here?").wait_for()
    await looked.page.get_by_role("button", name="Sign in").click()
    await shown(looked.page, "No devices yet")


async def test_when_the_coordinator_is_away_the_page_says_since_when_and_catches_up(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _), a_page(browser) as looked:
        page = looked.page
        lumen = await ann.device("lumen")
        await page.clock.install()  # as the clock runs, but for two leaps: by itself it takes 12 s, and 15 to try again
        await signed_in(looked, ann)
        await page.get_by_text("Live", exact=True).wait_for()
        await town.away()
        await page.clock.fast_forward(12_500)
        await page.get_by_text("Not live since").wait_for(timeout=30_000)
        await page.get_by_text("not known").first.wait_for()
        looked.complaints.clear()  # the browser itself notes that a WebSocket could not be opened
        await looked.sound("coordinator-away")
        await town.serve()
        await page.clock.fast_forward(15_000)
        await page.get_by_text("Live", exact=True).wait_for(timeout=30_000)
        await until(lambda: lumen.agent.parts.coordination.up)
        looked.complaints.clear()


async def test_whoever_is_not_signed_in_is_told_how_and_sees_nothing(tmp_path, browser):
    async with a_town(tmp_path) as (town, ann, _), a_page(browser) as looked:
        page = looked.page
        await page.goto(ann.record.url)
        await page.get_by_role("heading", name="You are not signed in here.").wait_for()
        await looked.sound("closed")
        await page.goto(f"{ann.record.url}/n/{town.network}/ledger")
        await page.get_by_role("heading", name="You are not signed in here.").wait_for()
        await page.goto(f"{ann.record.url}/join#v1.{'x' * 43}.key.-")
        await page.get_by_role("heading", name="This link does not work any more.").wait_for()
        await looked.sound("link-used")
        link = (await ann.do(calls.sign_in_link())).link
        await page.goto("about:blank")
        await page.goto(link)
        await page.get_by_role("button", name="Sign in").click()
        await shown(page, "No devices yet")
        await page.goto(f"{ann.record.url}/n/{'0' * 26}")
        await page.get_by_role("heading", name="There is nothing here").wait_for()


def drawing(scene, me, other):
    async def drawn(route):
        await route.fulfill(json=scene(int(time.time() * 1000), me, other))

    return drawn


@pytest.mark.parametrize(
    ("scene", "words"),
    [(scenes.kitchen, "Seven devices here, three at work."), (scenes.lab, "49 devices here,")],
    ids=["kitchen", "lab"],
)
async def test_busy_and_large_networks_are_drawn_and_stay_reachable(tmp_path, scene, words, browser):
    async with a_town(tmp_path) as (town, ann, ben), a_page(browser) as looked:
        page = looked.page
        await page.route("**/picture?*", drawing(scene, ann.member, ben.member))
        await entered(looked, ann)
        for size in SIZES:
            await looked.at(size, f"{ann.record.url}/n/{town.network}")
            await shown(page, words)
            await looked.sound(scene.__name__)
            if scene is scenes.kitchen:
                await page.get_by_label("ocr now").first.focus()
                await page.get_by_role("status").filter(has_text="lumen → studio").first.wait_for()
                await page.keyboard.press("t")
                await expect(page.get_by_role("row"), "the same facts as a table: nine devices").to_have_count(10)
            else:
                await page.get_by_role("button", name="12 more away: show").click()
                await page.get_by_role("link", name="away-11").wait_for()
