"""Invites for one e-mail address: who gets them, who may use them, and what everybody else is told."""

import asyncio
import json
import os
import subprocess

import msgspec
import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from agents import a_town
from coordinators import Person, a_coordinator
from engines import ENGINES
from mailboxes import a_mailbox, link_in
from mesh.cli.programs import MESH
from mesh.coordinator.acts.deletion import GRACE_S
from mesh.coordinator.settings import MailSettings, WaySettings
from mesh.coordinator.store.schema.networks import join_tokens
from mesh.ids import MemberId
from mesh.protocol import links
from mesh.sdk.home import Home, HomeRecord
from mesh.units import HOUR
from programs.test_ways import Browser, refused, settings
from providers import a_provider
from waiting import until

pytestmark = pytest.mark.anyio
LEA = "lea@example.org"
BOTH = pytest.mark.parametrize("engine", ENGINES)


def by(box):
    return WaySettings(mail=MailSettings(box.url, "mesh@mesh.test"))


async def invited(bench, network, person, address=LEA, **terms):
    answer = await bench.post(
        f"/v1/networks/{network}/tokens", {"purpose": "member", "address": address, **terms}, person
    )
    assert answer.status_code == 200, answer.text
    bench.clock.forward(0.001)  # ids of one millisecond have no order
    return links.parse(answer.json()["link"]).secret, answer.json()["letter"]


async def letter(box, count):
    await until(lambda: len(box.letters) >= count)
    return links.parse(link_in(box.letters[count - 1])).secret


@BOTH
async def test_an_invite_is_mailed_and_lets_in_only_whom_a_letter_to_it_reaches(tmp_path, request, engine):
    where = request.getfixturevalue(engine)(tmp_path).where
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, where=where, ways=by(box)) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
            ben = await bench.sign_in(await bench.invite(network, ann, "member", role="guest"), "Ben")
            secret, mailed = await invited(bench, network, ann, "Lea@Example.org")
            assert mailed == "waiting" and await letter(box, 1) == secret and box.letters[0]["To"] == LEA
            lea, thief = Browser(bench), Browser(bench)
            refused(await bench.post("/v1/claim", {"secret": secret, "name": "Eve"}), 403, "token.address_unproven")
            refused(await thief.post("/v1/page/sign-in", {"secret": secret}), 403, "token.address_unproven")
            refused(await bench.post("/v1/me/networks", {"secret": secret}, ben), 403, "token.address_unproven")
            assert (await lea.post("/v1/page/mail/invite", {"secret": secret})).json() == {}
            proof = await letter(box, 2)
            assert box.letters[1]["To"] == LEA
            looked = (await thief.post("/v1/links/look", {"secret": proof})).json()
            assert (looked["purpose"], looked["address"], looked["proven"]) == ("member", LEA, True)
            refused(await thief.post("/v1/page/sign-in", {"secret": proof, "name": "Eve"}), 403, "ways.other_browser")
            refused(await bench.post("/v1/claim", {"secret": proof, "name": "Eve"}), 403, "ways.other_browser")
            entered = await lea.post("/v1/page/sign-in", {"secret": proof, "name": "Lea"})
            assert (entered.status_code, entered.json()["network"]) == (200, network)
            for used in (secret, proof):
                refused(await lea.post("/v1/page/sign-in", {"secret": used, "name": "Lea"}), 410, "token.used")
            await lea.post("/v1/page/mail", {"address": LEA})  # the address that she has shown is a way in from now on
            assert (await lea.post("/v1/page/sign-in", {"secret": await letter(box, 3)})).json()["name"] == "Lea"


@BOTH
async def test_a_provider_that_vouches_for_the_address_is_proof_and_any_other_is_not(tmp_path, request, engine):
    where = request.getfixturevalue(engine)(tmp_path).where
    with a_provider() as provider:
        async with a_coordinator(tmp_path, where=where, ways=settings(provider)) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
            secret, mailed = await invited(bench, network, ann)
            assert mailed == ""
            for wrong in (
                {"sub": "eve", "email": "eve@example.org", "email_verified": True},
                {"sub": "eve", "email": LEA, "email_verified": False},
                {"sub": "eve", "email": LEA, "email_verified": "true"},
                {"sub": "eve", "email": LEA},
            ):
                answer = await Browser(bench).enter(provider, claims=wrong, secret=secret, name="Eve")
                refused(answer, 403, "token.address_unproven")
            right = {"sub": "lea", "email": "Lea@example.org", "email_verified": True}
            entered = await Browser(bench).enter(provider, claims=right, secret=secret, name="Lea")
            assert (entered.status_code, entered.json()["network"]) == (200, network)


async def test_a_known_person_comes_in_by_the_address_that_they_have_linked(tmp_path):
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            first, second = await bench.network(ann), await bench.network(ann, "second")
            lea = await bench.sign_in(await bench.invite(first, ann, "member"), "Lea")
            browser = Browser(bench, lea)
            await browser.post("/v1/ways-in/mail", {"address": LEA})
            assert (await browser.post("/v1/page/sign-in", {"secret": await letter(box, 1)})).status_code == 200
            secret, _ = await invited(bench, second, ann)
            ben = await bench.sign_in(await bench.invite(first, ann, "member"), "Ben")
            refused(await bench.post("/v1/me/networks", {"secret": secret}, ben), 403, "token.address_unproven")
            assert (await bench.post("/v1/me/networks", {"secret": secret}, lea)).status_code == 200


async def test_what_cannot_be_is_refused_before_anything_is_sent(tmp_path):
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
            path = f"/v1/networks/{network}/tokens"
            for body, status, code in (
                ({"address": "lea"}, 400, "ways.bad_address"),
                ({"address": "lea@example.org\r\nBcc: x@y.z"}, 400, "ways.bad_address"),
                ({"address": LEA, "uses": 2}, 400, "token.one_person"),
                ({"address": LEA, "purpose": "device"}, 400, "token.one_person"),
            ):
                refused(await bench.post(path, {"purpose": "member", **body}, ann), status, code)
            for _ in range(3):  # what strangers ask for is counted apart: it keeps nobody from being invited
                await Browser(bench).post("/v1/page/mail", {"address": LEA})
            for _ in range(3):
                secret, _ = await invited(bench, network, ann)
            refused(await bench.post(path, {"purpose": "member", "address": LEA}, ann), 429, "ways.too_often")
            for number in range(26):
                await invited(bench, network, ann, f"person{number}@example.org")
            body = {"purpose": "member", "address": "one-more@example.org"}
            refused(await bench.post(path, body, ann), 429, "ways.too_often")
            await until(lambda: len(box.letters) == 29)
            bench.clock.forward(3600)
            browser = Browser(bench)
            assert (await browser.post("/v1/page/mail/invite", {"secret": secret})).status_code == 200
            assert (await browser.post("/v1/page/mail/invite", {"secret": "x" * 43})).status_code == 200
            secret, _ = await invited(bench, network, ann)
            assert await letter(box, 30) == secret and len(box.letters) == 30, "an invite that is over sends nothing"
    async with a_coordinator(tmp_path / "without") as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        body = {"purpose": "member", "address": LEA}
        refused(await bench.post(f"/v1/networks/{network}/tokens", body, ann), 409, "token.no_proof_here")
        refused(await Browser(bench).post("/v1/page/mail/invite", {"secret": "x" * 43}), 404, "ways.not_here")


async def became(bench, network, ann, token=None):
    """What the list says of the newest letter, or of one."""
    listed = (await bench.get(f"/v1/networks/{network}/tokens", ann)).json()["tokens"]
    return next(one["letter"] for one in listed if token in (None, one["token_id"]))


async def test_whoever_invites_learns_that_no_letter_left_and_nothing_is_lost_by_that(tmp_path):
    with a_mailbox() as box, capture_logs() as logged:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
            box.refuses = 1
            secret, _ = await invited(bench, network, ann)
            await until_said(bench, network, ann, "failed")
            assert box.letters == []
            lea = Browser(bench)
            assert (await lea.post("/v1/page/mail/invite", {"secret": secret})).status_code == 200, "the link works"
            proof = await letter(box, 1)
            assert (await lea.post("/v1/page/sign-in", {"secret": proof, "name": "Lea"})).status_code == 200
            await invited(bench, network, ann, "max@example.org")
            await until_said(bench, network, ann, "sent")
        said = repr(logged)
        assert "mail.failed" in said and "mail.sent" in said, said
        assert "@example.org" not in said and secret not in said and proof not in said
        async with a_coordinator(tmp_path, bench.clock, ways=by(box)) as bench:
            assert await became(bench, network, ann) == "sent", "a restart forgets nothing"


async def until_said(bench, network, ann, said):
    async def is_so():
        return await became(bench, network, ann) == said

    await until(is_so)


@BOTH
async def test_a_letter_that_waited_when_the_coordinator_stopped_is_known_as_not_sent(tmp_path, request, engine):
    where = request.getfixturevalue(engine)(tmp_path).where
    async with a_coordinator(tmp_path, where=where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        await bench.invite(network, ann, "member")
        await bench.coordinator.parts.database.write(wait_all)
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, bench.clock, ways=by(box), where=where) as bench:
            if engine != "on_sqlite":  # another coordinator may be about to send it
                await bench.coordinator.upkeep.once()
                assert await became(bench, network, ann) == "waiting"
                bench.clock.forward(HOUR + 1)
                await bench.coordinator.upkeep.once()
            assert await became(bench, network, ann) == "failed"
            assert box.letters == []


def wait_all(store):
    store.run(update(join_tokens).values(letter="waiting"))


async def test_a_withdrawn_invite_admits_nobody_and_its_letters_open_nothing(tmp_path):
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
            secret, _ = await invited(bench, network, ann)
            lea = Browser(bench)
            await lea.post("/v1/page/mail/invite", {"secret": secret})
            proof = await letter(box, 2)
            [listed] = (await bench.get(f"/v1/networks/{network}/tokens", ann)).json()["tokens"]
            assert (listed["address"], listed["state"]) == (LEA, "open")
            path = f"/v1/networks/{network}/tokens/{listed['token_id']}"
            assert (await bench.http.delete(path, headers=ann.headers)).status_code == 200
            for used in (secret, proof):
                refused(await lea.post("/v1/page/sign-in", {"secret": used, "name": "Lea"}), 410, "token.revoked")
                refused(await lea.post("/v1/links/look", {"secret": used}), 410, "token.revoked")
            assert (await lea.post("/v1/page/mail/invite", {"secret": secret})).status_code == 200
            await invited(bench, network, ann, "max@example.org")
            await letter(box, 3)
            assert box.letters[2]["To"] == "max@example.org", "letters go in turn: none went for what was withdrawn"


async def test_the_link_of_a_letter_works_for_minutes_and_the_invite_goes_on(tmp_path):
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
            secret, _ = await invited(bench, network, ann)
            lea = Browser(bench)
            await lea.post("/v1/page/mail/invite", {"secret": secret})
            late = await letter(box, 2)
            bench.clock.forward(601)
            refused(await lea.post("/v1/links/look", {"secret": late}), 410, "token.expired")
            refused(await lea.post("/v1/page/sign-in", {"secret": late, "name": "Lea"}), 410, "token.expired")
            await lea.post("/v1/page/mail/invite", {"secret": secret})
            proof = await letter(box, 3)
            entered = [await lea.post("/v1/page/sign-in", {"secret": proof, "name": "Lea"}) for _ in range(2)]
            assert [one.status_code for one in entered] == [200, 410], "once"


async def test_hostile_names_stay_words_in_a_letter(tmp_path):
    hostile = "http://evil.example/pay ann@evil.example <b>Dr. Ann</b> =?utf-8?q?x?= \u5c71\uff0e\u5ddd"
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, ways=by(box)) as bench:
            ann = await bench.claim(hostile)
            network = await bench.network(ann)
            secret, _ = await invited(bench, network, ann)
            assert await letter(box, 1) == secret, "the only link in it is the invite"
            [sent] = box.letters
            text = sent.get_content()
            assert "Dr. Ann" in text and "evil example" in text and "\u5c71 \u5ddd" in text
            assert text.count("://") == 1 and "@" not in text and "evil.example" not in str(sent)
            assert (sent["To"], sent.get_content_type()) == (LEA, "text/plain") and "Ann" not in sent["Subject"]


@BOTH
async def test_who_deletes_their_account_takes_their_address_out_of_invites_which_admit_nobody_then(
    tmp_path, request, engine
):
    where = request.getfixturevalue(engine)(tmp_path).where
    with a_mailbox() as box:
        async with a_coordinator(tmp_path, where=where, ways=by(box)) as bench:
            ann = await bench.claim()
            first, second = await bench.network(ann), await bench.network(ann, "second")
            used, _ = await invited(bench, first, ann)
            browser = Browser(bench)
            await browser.post("/v1/page/mail/invite", {"secret": used})
            entered = await browser.post("/v1/page/sign-in", {"secret": await letter(box, 2), "name": "Lea"})
            lea = MemberId(entered.json()["member"])
            open_, _ = await invited(bench, second, ann, expires_s=80 * 86400)
            other, _ = await invited(bench, second, ann, "max@example.org", expires_s=80 * 86400)
            person = Person(lea, browser.cookies["mesh"], "Lea")
            asked = await bench.post("/v1/me/deletion", {"name": "Lea"}, person)
            assert asked.status_code == 200, asked.text
            bench.clock.forward(GRACE_S)
            await bench.coordinator.upkeep.once()
            listed = [
                one
                for network in (first, second)
                for one in (await bench.get(f"/v1/networks/{network}/tokens", ann)).json()["tokens"]
            ]
            assert sorted((one["address"], one["state"]) for one in listed) == [
                ("", "revoked"),
                ("", "revoked"),
                ("max@example.org", "open"),
            ]
            refused(await bench.post("/v1/claim", {"secret": open_, "name": "Eve"}), 410, "token.revoked")
            refused(await bench.post("/v1/claim", {"secret": other, "name": "Eve"}), 403, "token.address_unproven")


async def test_commands_invite_by_mail_say_whether_the_letter_left_and_list_the_address(tmp_path):
    with a_mailbox() as box:
        async with a_town(tmp_path) as (town, ann, _):
            await town.away()
            town.config = msgspec.structs.replace(town.config, ways=by(box))
            await town.serve()

            home = Home(tmp_path / "anns-home")
            home.ensure()
            home.write(HomeRecord(coordinator=ann.record, session=ann.session))

            async def mesh(*arguments):
                environment = {**os.environ, "MESH_HOME": str(home.path)}
                done = await asyncio.to_thread(
                    subprocess.run, [*MESH, *arguments], env=environment, capture_output=True, text=True, timeout=120
                )
                assert done.returncode == 0, done.stderr
                return done.stdout

            invite = ("members", "invite", "--name", "Lea", "--email")
            sent = json.loads(await mesh(*invite, LEA, "--json"))
            assert (sent["letter"], box.letters[0]["To"]) == ("sent", LEA)
            assert links.parse(sent["link"]).secret == await letter(box, 1)
            box.refuses = 1
            said = await mesh(*invite, "max@example.org")
            assert "The mail server did not take it: send it to Lea yourself." in said
            listed = await mesh("invite", "list")
            assert LEA in listed and "sent" in listed and "max@example.org" in listed and "failed" in listed
            await mesh("invite", "revoke", sent["token"])
            tokens = json.loads(await mesh("invite", "list", "--json"))["tokens"]
            assert {one["address"]: one["state"] for one in tokens if one["address"]} == {
                LEA: "revoked",
                "max@example.org": "open",
            }
