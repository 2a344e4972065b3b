"""Signing in by a link that is sent by e-mail: who gets one, in which browser it works, and what nobody learns."""

import asyncio
import contextlib

import aiosmtplib
import pytest

from coordinators import a_coordinator
from mailboxes import a_mailbox, link_in
from mesh.coordinator.config import BadConfig
from mesh.coordinator.settings import MailSettings, WaySettings
from mesh.coordinator.signing_in.mail import server_of
from mesh.networks.ways_in import mail_address
from mesh.protocol import links
from programs.test_ways import Browser, refused
from waiting import until

pytestmark = pytest.mark.anyio
ANN = "ann@example.org"


def by(box):
    return WaySettings(mail=MailSettings(box.url, "mesh@mesh.test"))


async def letters(box, count):
    await until(lambda: len(box.letters) >= count)
    return links.parse(link_in(box.letters[-1])).secret


def to(box, address):
    return [letter for letter in box.letters if letter["To"] == address]


async def linked(bench, box, person, address=ANN):
    """A person links an address."""
    browser, before = Browser(bench, person), len(to(box, address))
    assert (await browser.post("/v1/ways-in/mail", {"address": address})).status_code == 200
    await until(lambda: len(to(box, address)) > before)
    secret = links.parse(link_in(to(box, address)[-1])).secret
    return await browser.post("/v1/page/sign-in", {"secret": secret})


async def test_a_linked_address_gets_a_link_that_works_once_and_only_where_it_was_asked_for(tmp_path):
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            assert (await linked(bench, box, ann)).status_code == 200
            [way] = (await bench.get("/v1/ways-in", ann)).json()["ways"]
            assert (way["label"], way["issuer"], way["works"]) == (ANN, "mailto:", True)
            browser, other = Browser(bench), Browser(bench)
            assert (await browser.post("/v1/page/mail", {"address": "Ann@Example.ORG "})).json() == {}
            secret = await letters(box, 2)
            assert box.letters[-1]["Subject"] == "Sign in to Mesh" and box.letters[-1]["To"] == ANN
            for _ in range(100):
                assert (await bench.http.get("/join")).status_code == 200
                looked = await other.post("/v1/links/look", {"secret": secret})
                assert (looked.json()["purpose"], looked.json()["address"]) == ("signin", ANN), (
                    "looking uses nothing up"
                )
            refused(await other.post("/v1/page/sign-in", {"secret": secret}), 403, "ways.other_browser")
            refused(await bench.post("/v1/claim", {"secret": secret}), 403, "ways.other_browser")
            entered = await browser.post("/v1/page/sign-in", {"secret": secret})
            assert (entered.status_code, (await browser.me())["name"]) == (200, "Ann")
            refused(await browser.post("/v1/page/sign-in", {"secret": secret}), 410, "token.used")


async def test_nobody_learns_which_addresses_are_known_and_strangers_get_no_letter(tmp_path):
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
            ben = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Ben")
            await linked(bench, box, ann)
            answers = []
            for address in ("stranger@example.org", ANN):
                answer = await Browser(bench).post("/v1/page/mail", {"address": address})
                answers.append((answer.status_code, answer.text, sorted(answer.headers)))
            assert answers[0] == answers[1]
            taken = await Browser(bench, ben).post("/v1/ways-in/mail", {"address": ANN})
            assert taken.status_code == 200 and taken.text == answers[0][1], "nor does who would link another's"
            await linked(bench, box, ben, "ben@example.org")
            assert [letter["To"] for letter in box.letters] == [ANN, ANN, "ben@example.org"]


async def test_letters_are_few_for_an_address_and_wishes_few_from_a_place(tmp_path):
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            await linked(bench, box, ann)
            bench.clock.forward(900)
            for _ in range(9):
                assert (await Browser(bench).post("/v1/page/mail", {"address": ANN})).status_code == 200
            assert (await linked(bench, box, ann, "last@example.org")).status_code == 200
            assert [letter["To"] for letter in box.letters][1:] == [ANN, ANN, ANN, "last@example.org"]
            refused(await Browser(bench).post("/v1/page/mail", {"address": ANN}), 429, "ways.too_often")
            made = await bench.post("/v1/sessions/link", {}, ann)
            assert made.status_code == 200, "letters that strangers ask for take none of her own links"


async def test_a_link_ends_by_time_and_with_its_address_and_bad_input_is_refused(tmp_path):
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            await linked(bench, box, ann)
            await linked(bench, box, ann, "second@example.org")
            browser = Browser(bench)
            await browser.post("/v1/page/mail", {"address": ANN})
            secret = await letters(box, 3)
            ways = {one["label"]: one["way"] for one in (await bench.get("/v1/ways-in", ann)).json()["ways"]}
            assert (await bench.delete(f"/v1/ways-in/{ways[ANN]}", ann)).status_code == 200
            refused(await browser.post("/v1/page/sign-in", {"secret": secret}), 404, "token.unknown")
            refused(await bench.delete(f"/v1/ways-in/{ways['second@example.org']}", ann), 409, "ways.last")
            await browser.post("/v1/page/mail", {"address": "second@example.org"})
            secret = await letters(box, 4)
            bench.clock.forward(600)
            refused(await browser.post("/v1/page/sign-in", {"secret": secret}), 410, "token.expired")
            for wrong in (
                "ann",
                "a@b",
                "a b@c.de",
                "a@c.de\r\nBcc: x@y.z",
                "<a@c.de>",
                "a@c.de,x@y.z",
                "ä@c.de",
                "@c.de",
            ):
                refused(await browser.post("/v1/page/mail", {"address": wrong}), 400, "ways.bad_address")
            refused(await browser.post("/v1/page/mail", {"address": ANN}, origin="http://evil.test"), 403,
                    "auth.not_from_page")  # fmt: skip
    async with a_coordinator(tmp_path / "without") as bench:
        await bench.claim()
        assert (await bench.get("/v1/ways")).json()["mail"] is False
        refused(await Browser(bench).post("/v1/page/mail", {"address": ANN}), 404, "ways.not_here")


async def test_a_letter_that_is_not_taken_stops_no_other_and_servers_are_named_in_one_way(tmp_path):
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            box.refuses = 1
            assert (await Browser(bench, ann).post("/v1/ways-in/mail", {"address": ANN})).status_code == 200
            assert (await linked(bench, box, ann)).status_code == 200 and box.refuses == 0
    assert server_of("smtps://u%40x:p%3Aw@mail.example.org") == ("mail.example.org", 465, True, "u@x", "p:w")
    assert server_of("smtp://mail.example.org").port == 587 and not server_of("smtp://mail.example.org").here
    for wrong in ("http://mail.example.org", "smtp://", "smtp://h:99999", "smtp://h/path", "mail.example.org"):
        with pytest.raises(BadConfig):
            server_of(wrong)
    assert mail_address("A.B+c@Example.co.uk") == "a.b+c@example.co.uk"


async def test_whoever_stops_while_the_mail_server_answers_waits_for_nothing(tmp_path, monkeypatch):
    under_way = asyncio.Event()

    async def send_and_hide_a_cancel(*_, **__):
        """As the library does where the server's answer and a cancel come at once."""
        with contextlib.suppress(asyncio.CancelledError):
            under_way.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(aiosmtplib, "send", send_and_hide_a_cancel)
    with a_mailbox() as box:
        async with contextlib.AsyncExitStack() as stack:
            bench = await stack.enter_async_context(a_coordinator(tmp_path, ways=by(box)))
            await Browser(bench, await bench.claim()).post("/v1/ways-in/mail", {"address": ANN})
            await under_way.wait()
            async with asyncio.timeout(60):
                await stack.aclose()
