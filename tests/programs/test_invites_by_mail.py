"""Invites for one e-mail address: who gets them, who may use them, and what everybody else is told."""

import pytest

from coordinators import a_coordinator
from engines import ENGINES
from mailboxes import a_mailbox, link_in
from mesh.coordinator.settings import MailSettings, WaySettings
from mesh.protocol import links
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
    return links.parse(answer.json()["link"]).secret, answer.json()["mailed"]


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
            assert mailed and await letter(box, 1) == secret and box.letters[0]["To"] == LEA
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
            assert not mailed
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
            for _ in range(3):
                secret, _ = await invited(bench, network, ann)
            refused(await bench.post(path, {"purpose": "member", "address": LEA}, ann), 429, "ways.too_often")
            bench.clock.forward(3600)
            browser = Browser(bench)
            assert (await browser.post("/v1/page/mail/invite", {"secret": secret})).status_code == 200
            assert (await browser.post("/v1/page/mail/invite", {"secret": "x" * 43})).status_code == 200
            secret, _ = await invited(bench, network, ann)
            assert await letter(box, 4) == secret and len(box.letters) == 4, "an invite that is over sends nothing"
    async with a_coordinator(tmp_path / "without") as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        body = {"purpose": "member", "address": LEA}
        refused(await bench.post(f"/v1/networks/{network}/tokens", body, ann), 409, "token.no_proof_here")
        refused(await Browser(bench).post("/v1/page/mail/invite", {"secret": "x" * 43}), 404, "ways.not_here")
