"""The agent's own page in a real browser: who gets in, trying things out, looking after the device."""

import re

import httpx2
import pytest
from playwright.async_api import expect

from agents import a_town, until
from mesh.errors import MeshError
from mesh.workloads.catalogue import CHAT_DEFAULT as CHAT_MODEL
from pages.looking import SIZES, a_page, opened
from papers import a_page as a_paper
from papers import encoded

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", SIZES, ids=lambda one: one["width"])
async def test_texts_are_compared_and_the_entry_says_where_and_for_how_much(tmp_path, size, browser):
    async with a_town(tmp_path) as (_, ann, _), a_page(browser, size) as looked:
        page, lumen = looked.page, await ann.device("lumen")
        await page.goto(await opened(lumen))
        await page.get_by_role("heading", name="What you type here reaches this machine").wait_for()
        await page.wait_for_url(lambda url: "open." not in url)  # the secret is out of the address at once
        await page.get_by_text("Compare", exact=True).click()
        box = page.get_by_label("Texts to compare, one per line")
        await box.fill("The invoice is due in ten days\nPayment within 10 days\n<img src=x onerror=alert(1)>")
        await page.get_by_role("button", name="Send").click()
        await page.get_by_text("lumen itself").wait_for()
        await page.get_by_text("free, your own machine").wait_for()
        await page.get_by_text("Nobody but you could see it.").wait_for()
        await expect(page.get_by_role("row"), "three texts have three pairs").to_have_count(3)
        assert await page.locator("img").count() == 0, "a text is text, whatever it says"
        await looked.sound("agent-try")


async def test_a_person_pauses_and_shares_from_the_page_and_sees_a_refusal_in_words(tmp_path, browser):
    async with a_town(tmp_path) as (_, ann, _), a_page(browser) as looked:
        lumen, page = await ann.device("lumen"), looked.page
        await page.goto(await opened(lumen))
        await page.get_by_role("switch", name="Works for others").click()
        await page.get_by_text("Only your own jobs run here").wait_for()
        await until(lambda: not lumen.agent.parts.myself.terms.on)
        await page.get_by_role("button", name="This device").first.click()
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_role("heading", name="lumen is paused").wait_for()
        await until(lambda: lumen.agent.parts.myself.state == "paused")
        await looked.sound("agent-device")
        await page.get_by_role("button", name="Models").first.click()
        await page.get_by_role("heading", name="Two models on this device, two loaded now.").wait_for()
        await looked.sound("agent-models")
        lumen.engines.failure = MeshError("The engine broke.", code="engine.broken")
        await page.get_by_role("button", name="Try").first.click()
        await page.get_by_text("Compare", exact=True).click()
        await page.get_by_label("Texts to compare, one per line").fill("one\ntwo")
        await page.get_by_role("button", name="Send").click()
        await page.get_by_role("alert").get_by_text("Nothing was charged").wait_for()
        await looked.sound("agent-failed")


async def test_stop_cancels_the_job_and_leaving_the_page_does_too(tmp_path, browser):
    async with a_town(tmp_path) as (_, ann, _):
        lumen = await ann.device("lumen")
        lumen.engines.gate.clear()
        for times, leave in ((1, False), (2, True)):
            async with a_page(browser) as looked:
                page = looked.page
                await page.goto(await opened(lumen))
                await page.get_by_text("Compare", exact=True).click()
                await page.get_by_label("Texts to compare, one per line").fill("one\ntwo")
                await page.get_by_role("button", name="Send").click()
                await lumen.engines.started.get()
                if not leave:
                    await page.get_by_role("button", name="Stop").click()
                    await page.get_by_text("Stopped.").wait_for()
            await until(lambda times=times: lumen.engines.cancelled == times)


async def test_what_reading_a_paper_costs_and_where_it_goes_is_said_before_it_is_sent(tmp_path, browser):
    async with a_town(tmp_path) as (_, ann, ben), a_page(browser) as looked:
        lumen, worker = await ann.device("lumen", work=False), await ben.device("ben-box", start=False)
        worker.engines.prepare = _has_all
        await worker.start()
        page = looked.page
        await page.goto(await opened(lumen))
        await page.get_by_text("Read", exact=True).click()
        chooser = page.locator("input[type=file]")
        paper = encoded(a_paper(["Good morning"], (600, 200)), "PNG")
        await chooser.set_input_files({"name": "note.png", "mimeType": "image/png", "buffer": paper})
        await page.get_by_text(re.compile(r"At most \d+(\.\d+)? credits, most likely on ben-box\.")).wait_for()
        await (
            page.get_by_text("On your own machines it is free.")
            .or_(page.get_by_text("most likely on ben-box"))
            .wait_for()
        )
        big = tmp_path / "big.png"
        big.write_bytes(bytes(20_000_001))
        await chooser.set_input_files(big)
        await page.get_by_text("This file is over 20 MB.").wait_for()
        assert worker.engines.started.empty(), "nothing was sent"


async def _has_all(workload, model, say=None):
    """Engines that have every model."""


async def test_nobody_gets_in_without_the_secret_or_from_elsewhere(tmp_path):
    async with a_town(tmp_path) as (_, ann, _):
        lumen = await ann.device("lumen")
        url, _, secret = (await opened(lumen)).partition("/#open.")
        own = {"origin": url}
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
            status = {"c": "getstatus"}
            wrong_host = await http.get("/", headers={"host": "evil.test"})
            assert (wrong_host.status_code, wrong_host.json()["error"]["code"]) == (403, "page.wrong_host")
            for headers in ({}, {"origin": "http://evil.test"}, {"origin": "null"}):
                refused = await http.post("/session", json={"secret": secret}, headers=headers)
                assert refused.json()["error"]["code"] == "page.wrong_origin"
            for path, body in (("/ask", status), ("/about", {})):
                assert (await http.post(path, json=body, headers=own)).status_code == 401
            assert (await http.post("/session", json={"secret": "x" * 43}, headers=own)).status_code == 401
            plain = {**own, "content-type": "text/plain"}
            assert (await http.post("/session", content=b"{}", headers=plain)).status_code == 400
            key = (await http.post("/session", json={"secret": secret}, headers=own)).json()["key"]
            again = await http.post("/session", json={"secret": secret}, headers=own)
            assert again.json()["error"]["code"] == "page.secret_used", "a link opens the page once"
            signed = {**own, "authorization": f"Bearer {key}"}
            assert (await http.post("/ask", json=status, headers=signed)).json()["name"] == "lumen"
            for request in ({"c": "stop"}, {"c": "rotatekey"}, {"c": "openpage"}):
                refused = await http.post("/ask", json=request, headers=signed)
                assert refused.json()["error"]["code"] == "page.not_for_pages", request
            assert (
                await http.post("/ask", content=b"{", headers={**signed, "content-type": "application/json"})
            ).is_error
            page = await http.get("/")
            assert "script-src 'self'" in page.headers["content-security-policy"]
            assert "access-control-allow-origin" not in page.headers
            for path in ("/assets/../../errors.py", "/assets/%2e%2e/%2e%2e/files.py", "/session", "/dashboard.html"):
                assert (await http.get(path)).status_code == 404, path


async def test_a_question_is_answered_word_by_word_and_the_next_one_knows_what_was_said(tmp_path, browser):
    async with a_town(tmp_path) as (_, ann, ben), a_page(browser) as looked:
        page, lumen = looked.page, await ann.device("lumen")
        await ben.device("ben-box")
        await page.goto(await opened(lumen))
        question = page.get_by_label("Ask something")
        await question.fill("What is <b>a harbour</b>?")
        await page.get_by_label("Where").select_option(label="ben-box")
        await page.get_by_text(re.compile(r"At most 0\.\d+ credits, most likely on ben-box\.")).wait_for()
        await page.get_by_label("Where").select_option(label="here, lumen")
        await page.get_by_text("Free, most likely on this machine.").wait_for()
        assert lumen.engines.started.empty(), "nothing runs before it is sent"
        await page.get_by_label("Model").select_option(label=CHAT_MODEL)
        await question.press("Enter")
        await lumen.engines.started.get()
        lumen.engines.words.put_nowait(b"A place ")
        await page.get_by_text("A place").wait_for()
        await expect(page.get_by_role("button", name="Stop"), "it goes on").to_be_visible()
        lumen.engines.words.put_nowait("for ships & <i>möwen</i>.".encode())
        await page.get_by_text("A place for ships & <i>möwen</i>.").wait_for()
        lumen.engines.words.put_nowait(None)
        await page.get_by_text("free, your own machine").wait_for()
        await page.get_by_text("Nobody but you could see it.").wait_for()
        await question.fill("And why?")
        await question.press("Enter")
        asked = (await lumen.engines.started.get()).manifest
        assert [(one["role"], one["content"]) for one in asked["messages"]] == [
            ("user", "What is <b>a harbour</b>?"),
            ("assistant", "A place for ships & <i>möwen</i>."),
            ("user", "And why?"),
        ]
        lumen.engines.words.put_nowait(b"Half an ans")
        await page.get_by_text("Half an ans").wait_for()
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_text("Stopped.").wait_for()
        await until(lambda: lumen.engines.cancelled == 1)
        assert await page.get_by_text("Write something first.").count() == 0, "Stop is not Send"
        await looked.sound("agent-ask")
