"""Passkeys at the coordinator: made by who is signed in, used once per challenge, and only where they belong."""

import pytest

from authenticators import PRESENT, Authenticator
from coordinators import Person, a_coordinator
from mesh.coordinator.config import Site
from programs.test_ways import Browser, refused

pytestmark = pytest.mark.anyio
NAME, ORIGIN = "mesh.test", "http://mesh.test"


async def added(bench, person, authenticator, **how):
    browser = Browser(bench, person)
    asked = (await browser.post("/v1/ways-in/passkeys/begin", {})).json()
    body = {"credential": authenticator.made(asked["challenge"], **how), "label": "laptop"}
    return await browser.post("/v1/ways-in/passkeys/finish", body)


async def asked_in(browser, **more):
    answer = await browser.post("/v1/page/passkeys/begin", {"label": "Chrome", **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["challenge"]


async def signed(browser, credential):
    return await browser.post("/v1/page/passkeys/finish", {"credential": credential})


async def test_a_passkey_signs_its_person_in_once_per_challenge_and_in_the_browser_that_asked(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        key = Authenticator(NAME, ORIGIN)
        assert (await added(bench, ann, key)).status_code == 200
        refused(await added(bench, ann, key), 409, "ways.taken")
        browser = Browser(bench)
        challenge = await asked_in(browser, back="/device")
        other = Browser(bench)
        await asked_in(other)
        credential = key.signed(challenge)
        refused(await signed(other, credential), 403, "ways.passkey_refused")
        planted = dict(browser.cookies)
        answer = await signed(browser, credential)
        assert (answer.status_code, answer.json()["name"], answer.json()["back"]) == (200, "Ann", "/device")
        assert (await browser.me())["name"] == "Ann"
        again = Browser(bench)
        again.cookies = planted
        refused(await signed(again, credential), 410, "ways.flow_lost")
        [one] = (await bench.get("/v1/ways-in", ann)).json()["ways"]
        assert (one["issuer"], one["label"], one["works"]) == ("passkey", "laptop", True)
        refused(await bench.delete(f"/v1/ways-in/{one['way']}", ann), 409, "ways.last")
        assert (await added(bench, ann, Authenticator(NAME, ORIGIN))).status_code == 200
        assert (await bench.delete(f"/v1/ways-in/{one['way']}", ann)).status_code == 200
        refused(await signed(other, key.signed(await asked_in(other))), 403, "ways.passkey_refused")


async def test_what_does_not_hold_signs_nobody_in_and_adds_nothing(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        for key, how in (
            (Authenticator("evil.test", ORIGIN), {}),
            (Authenticator(NAME, "http://evil.test"), {}),
            (Authenticator(NAME, ORIGIN), {"flags": PRESENT}),
        ):
            refused(await added(bench, ann, key, **how), 403, "ways.passkey_refused")
        key, browser = Authenticator(NAME, ORIGIN), Browser(bench)
        assert (await added(bench, ann, key)).status_code == 200
        thief = Authenticator(NAME, ORIGIN)
        thief.id = key.id
        refused(await signed(browser, thief.signed(await asked_in(browser))), 403, "ways.passkey_refused")
        refused(await signed(browser, key.signed(await asked_in(browser), PRESENT)), 403, "ways.passkey_refused")
        key.origin = "http://mesh.test.evil.test"
        refused(await signed(browser, key.signed(await asked_in(browser))), 403, "ways.passkey_refused")
        key.origin = ORIGIN
        assert (await signed(browser, key.signed(await asked_in(browser)))).status_code == 200
        key.uses = 0
        refused(await signed(browser, key.signed(await asked_in(browser))), 403, "ways.passkey_refused")


async def test_broken_credentials_are_refused_in_words(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        key, browser = Authenticator(NAME, ORIGIN), Browser(bench)
        await added(bench, ann, key)
        for broken in (
            {},
            {"id": 5},
            {"id": "x" * 2000},
            {"id": key.signed("AAAA")["id"]},
            {**key.signed("AAAA"), "response": "\x01"},
            {**key.signed("AAAA"), "response": {"clientDataJSON": "e30", "authenticatorData": "", "signature": ""}},
        ):
            await asked_in(browser)
            refused(await signed(browser, broken), 403, "ways.passkey_refused")
        refused(await signed(Browser(bench), key.signed("AAAA")), 410, "ways.flow_lost")
        nobody = await bench.post("/v1/ways-in/passkeys/begin", {}, Person("", "mesh_x", ""))
        refused(nobody, 401, "auth.not_signed_in")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8400", "https://192.168.1.5:8400", "https://[::1]:8400"])
async def test_where_people_come_by_an_address_there_are_no_passkeys_and_that_is_said(tmp_path, url):
    async with a_coordinator(tmp_path, site=Site(url, None)) as bench:
        ann = await bench.claim()
        assert (await bench.get("/v1/ways")).json()["passkeys"] is False
        scheme = url.partition(":")[0]
        ann, nobody = Browser(bench, ann, scheme), Browser(bench, None, scheme)
        refused(await ann.post("/v1/ways-in/passkeys/begin", {}), 404, "ways.no_passkeys")
        refused(await nobody.post("/v1/page/passkeys/begin", {"label": ""}), 404, "ways.no_passkeys")
