"""Chat through the gateway: OpenAI's three ways and Ollama's two, whole and streamed, cut short and broken off."""

import asyncio
import json

import openai
import pytest

from agents import WAIT_S
from gateways import CHAT_MODEL, a_gateway, error_of
from mesh.agent.asking.asked import StreamBroken
from mesh.jobs.placement import NowhereToRun
from mesh.sdk.keys import CreateKey, GetKeys
from waiting import until

pytestmark = pytest.mark.anyio
ASK = {"model": "mesh/auto", "messages": [{"role": "user", "content": "hello"}]}
WHERE = {"x-mesh-job": "C", "x-mesh-device": "D", "x-mesh-path": "direct"}


def events(answer):
    """The data of server-sent events."""
    return [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]


def told(answer, *names):
    return {name: answer.headers[name] for name in (*WHERE, *names)}


async def test_a_whole_answer_in_every_form(tmp_path):
    async with a_gateway(tmp_path) as served:
        chat = await served.http.post("/v1/chat/completions", json=ASK)
        assert told(chat, "x-mesh-charge") == {**WHERE, "x-mesh-charge": "67"}
        body = chat.json()
        assert (body["object"], body["model"], body["id"]) == ("chat.completion", "mesh/auto", "chatcmpl-C")
        assert body["choices"][0]["message"]["content"] == "Ahoy, wörld!"
        assert body["choices"][0]["finish_reason"] == "stop"
        assert body["usage"] == {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "charge": 67}
        text = (await served.http.post("/v1/completions", json={"model": "mesh/auto", "prompt": "once"})).json()
        assert (text["object"], text["choices"][0]["text"]) == ("text_completion", "Ahoy, wörld!")
        said = (await served.http.post("/v1/responses", json={"model": "mesh/auto", "input": "hi"})).json()
        assert (said["status"], said["output"][0]["content"][0]["text"]) == ("completed", "Ahoy, wörld!")
        assert (said["usage"]["total_tokens"], said["usage"]["charge"]) == (13, 67)
        line = (await served.http.post("/api/chat", json={**ASK, "stream": False})).json()
        assert (line["message"]["content"], line["done"], line["eval_count"]) == ("Ahoy, wörld!", True, 4)
        body = {"model": "mesh/auto", "prompt": "once", "stream": False}
        line = (await served.http.post("/api/generate", json=body)).json()
        assert (line["response"], line["done_reason"]) == ("Ahoy, wörld!", "stop")


async def test_what_is_asked_reaches_the_job(tmp_path):
    async with a_gateway(tmp_path) as served:
        asked = served.jobs.asked
        more = {"max_completion_tokens": 7, "max_tokens": 9, "temperature": 0.5, "top_p": 1, "seed": 3, "stop": "END"}
        parts = [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]
        messages = [{"role": "developer", "content": "be kind"}, {"role": "user", "content": parts}]
        body = {**ASK, **more, "messages": messages, "response_format": {"type": "json_object"}, "user": "x"}
        assert (await served.http.post("/v1/chat/completions", json=body)).status_code == 200
        assert asked[-1].payload.manifest == {
            "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}],
            "max_tokens": 7, "temperature": 0.5, "top_p": 1, "seed": 3, "stop": ["END"], "json": True,
        }  # fmt: skip
        schema = {"type": "object"}
        wanted = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
        body = {"model": CHAT_MODEL, "instructions": "be brief", "input": messages[1:], "text": wanted}
        await served.http.post("/v1/responses", json=body)
        assert asked[-1].payload.manifest["messages"][0] == {"role": "system", "content": "be brief"}
        assert asked[-1].payload.manifest["json"] == schema
        options = {"num_predict": 5, "stop": ["x"], "num_ctx": 2048}
        body = {"model": f"{CHAT_MODEL}:latest", "prompt": "p", "system": "s", "options": options, "stream": False}
        await served.http.post("/api/generate", json=body)
        manifest = asked[-1].payload.manifest
        assert (manifest["max_tokens"], manifest["stop"], manifest["trim"]) == (5, ["x"], True)
        assert [one["role"] for one in manifest["messages"]] == ["system", "user"]
        await served.http.post("/api/generate", json={**body, "raw": True, "options": {"num_predict": -1}})
        assert asked[-1].payload.manifest == {"prompt": "p"}
        await served.http.post("/v1/completions", json={"model": "auto", "prompt": ["p"]})
        assert asked[-1].payload.manifest == {"prompt": "p", "max_tokens": 16}
        assert {ask.model for ask in asked} == {CHAT_MODEL}


async def test_what_cannot_be_done_is_refused_before_anything_runs(tmp_path):
    image = [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]
    cases = [
        ("/v1/chat/completions", {**ASK, "n": 2}),
        ("/v1/chat/completions", {**ASK, "tools": [{"type": "function"}]}),
        ("/v1/chat/completions", {**ASK, "logprobs": True}),
        ("/v1/chat/completions", {**ASK, "messages": [{"role": "user", "content": image}]}),
        ("/v1/chat/completions", {**ASK, "messages": [{"role": "tool", "content": "x"}]}),
        ("/v1/chat/completions", {**ASK, "messages": []}),
        ("/v1/chat/completions", {**ASK, "messages": "hello"}),
        ("/v1/chat/completions", {**ASK, "temperature": "hot"}),
        ("/v1/chat/completions", {**ASK, "temperature": 9}),
        ("/v1/chat/completions", {**ASK, "response_format": {"type": "json_schema"}}),
        ("/v1/completions", {"model": "mesh/auto", "prompt": [1, 2]}),
        ("/v1/completions", {"model": "mesh/auto", "prompt": ["a", "b"]}),
        ("/v1/responses", {"model": "mesh/auto", "input": "x", "previous_response_id": "resp_1"}),
        ("/api/chat", {**ASK, "format": "yaml"}),
        ("/api/chat", {**ASK, "messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}),
        ("/api/generate", {"model": "mesh/auto", "prompt": "x", "suffix": "y"}),
    ]
    async with a_gateway(tmp_path) as served:
        for path, body in cases:
            for stream in (False, True):
                answer = await served.http.post(path, json={**body, "stream": stream})
                assert answer.status_code == 400, (path, body, answer.text)
                assert error_of(answer)
        other = await served.http.post("/v1/chat/completions", json={**ASK, "model": "gpt-4o"})
        assert error_of(other) == (404, "gateway.model_not_found")
        assert served.jobs.asked == []


async def test_a_stream_of_chat_ends_with_its_usage_and_charge(tmp_path):
    async with a_gateway(tmp_path) as served:
        answer = await served.http.post("/v1/chat/completions", json={**ASK, "stream": True})
        assert answer.headers["content-type"] == "text/event-stream"
        assert told(answer, "x-mesh-estimate") == {**WHERE, "x-mesh-estimate": "500"}
        assert "x-mesh-charge" not in answer.headers
        *chunks, end = events(answer)
        chunks = [json.loads(one) for one in chunks]
        assert end == "[DONE]"
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        text = "".join(one["choices"][0]["delta"].get("content", "") for one in chunks)
        assert text == "Ahoy, wörld!"
        assert [one["choices"][0]["finish_reason"] for one in chunks[-2:]] == [None, "stop"]
        assert chunks[-1]["usage"] == {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "charge": 67}
        apart = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
        *chunks, _ = events(await served.http.post("/v1/chat/completions", json=apart))
        last = json.loads(chunks[-1])
        assert (last["choices"], last["usage"]["charge"]) == ([], 67)
        assert "usage" not in json.loads(chunks[-2])


async def test_a_stream_of_ollamas_is_a_line_per_piece(tmp_path):
    async with a_gateway(tmp_path) as served:
        for path, body, read in (
            ("/api/chat", ASK, lambda one: one["message"]["content"]),
            ("/api/generate", {"model": "auto", "prompt": "x"}, lambda one: one["response"]),
        ):
            answer = await served.http.post(path, json=body)
            assert answer.headers["content-type"] == "application/x-ndjson"
            lines = [json.loads(line) for line in answer.text.splitlines()]
            assert "".join(read(one) for one in lines) == "Ahoy, wörld!"
            assert [one["done"] for one in lines] == [False] * (len(lines) - 1) + [True]
            assert (lines[-1]["done_reason"], lines[-1]["usage"]) == ("stop", {"charge": 67})


async def test_a_stream_that_fails_before_its_first_byte_is_an_ordinary_refusal(tmp_path):
    async with a_gateway(tmp_path) as served:
        served.jobs.error = NowhereToRun()
        for path in ("/v1/chat/completions", "/v1/responses", "/api/chat"):
            answer = await served.http.post(path, json={**ASK, "input": "x", "stream": True})
            assert error_of(answer) == (422, "placement.nowhere")


async def test_a_stream_that_breaks_off_never_looks_whole(tmp_path):
    async with a_gateway(tmp_path) as served:
        served.jobs.breaks = StreamBroken()
        for path in ("/v1/chat/completions", "/v1/completions"):
            body = {**ASK, "prompt": "x", "stream": True}
            last = events(await served.http.post(path, json=body))[-1]
            assert json.loads(last)["error"]["code"] == "stream.broken"
        last = json.loads(
            events(await served.http.post("/v1/responses", json={**ASK, "input": "x", "stream": True}))[-1]
        )
        assert (last["type"], last["code"]) == ("error", "stream.broken")
        last = json.loads((await served.http.post("/api/chat", json=ASK)).text.splitlines()[-1])
        assert last["code"] == "stream.broken"
        assert "done" not in last


async def test_a_stream_that_breaks_goes_on_elsewhere_where_that_is_asked_for(tmp_path):
    async with a_gateway(tmp_path) as served:
        facts = {"job": "C", "device": "D", "cause": "engine.crashed", "bytes": 7, "units": 9, "charge": 40}
        served.jobs.breaks = StreamBroken(**facts)
        talk = served.jobs.talk

        async def once_broken(ask):
            try:
                return await talk(ask)
            finally:
                served.jobs.breaks = None

        served.jobs.talk = once_broken
        answer = await served.http.post("/v1/chat/completions", json={**ASK, "stream": True, "resume": True})
        came = [json.loads(one) for one in events(answer) if one != "[DONE]"]
        _first, second = served.jobs.asked
        assert (second.payload.manifest["so_far"], second.avoid) == ("Ahoy, w", ("D",)), "half a letter is not kept"
        text = [one["choices"][0]["delta"].get("content", "") for one in came]
        assert "".join(text) == "Ahoy, w" + "Ahoy, wörld!"
        (joined,) = [one["mesh"]["joined"] for one in came if "mesh" in one]
        there, left = {"at": 7, "job": "C", "device": "D", "path": "direct"}, {"after": "C", "cause": "engine.crashed"}
        assert joined == {**there, **left, "charge": 40}
        assert came[-1]["usage"]["charge"] == 40 + served.jobs.charge


def joins_of(path, answer):
    """Where the text goes on elsewhere, and the whole text, of any stream."""
    if path == "/v1/responses":
        told = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data")]
        pieces = [one for one in told if one["type"] == "response.output_text.delta"]
        text = "".join(one["delta"] for one in pieces)
        assert told[-1]["response"]["output"][0]["content"][0]["text"] == text
        return [one["mesh"]["joined"] for one in pieces if "mesh" in one], text, told[-1]["response"]["usage"]["charge"]
    lines = [json.loads(line) for line in answer.text.splitlines()]
    text = "".join(one.get("response", "") + one.get("message", {}).get("content", "") for one in lines)
    return [one["mesh"]["joined"] for one in lines if "mesh" in one], text, lines[-1]["usage"]["charge"]


@pytest.mark.parametrize("path", ["/v1/responses", "/api/chat", "/api/generate"])
async def test_every_stream_can_go_on_elsewhere(tmp_path, path):
    async with a_gateway(tmp_path) as served:
        served.jobs.breaks = StreamBroken(job="C", device="D", cause="engine.crashed", bytes=7, units=9, charge=40)
        talk = served.jobs.talk

        async def once_broken(ask):
            try:
                return await talk(ask)
            finally:
                served.jobs.breaks = None

        served.jobs.talk = once_broken
        body = {**ASK, "input": "x", "prompt": "x", "stream": True, "resume": True}
        (joined,), text, charge = joins_of(path, await served.http.post(path, json=body))
        assert (joined["at"], joined["after"], joined["cause"]) == (7, "C", "engine.crashed")
        assert (text, charge) == ("Ahoy, w" + "Ahoy, wörld!", 40 + served.jobs.charge)


@pytest.mark.parametrize(
    ("path", "json_wanted"),
    [
        ("/v1/chat/completions", {"response_format": {"type": "json_object"}}),
        ("/v1/responses", {"input": "x", "text": {"format": {"type": "json_object"}}}),
        ("/api/chat", {"format": "json"}),
        ("/api/generate", {"prompt": "x", "format": {"type": "object"}}),
    ],
)
async def test_a_stream_of_json_that_is_to_go_on_elsewhere_is_refused_before_its_first_byte(
    tmp_path, path, json_wanted
):
    async with a_gateway(tmp_path) as served:
        body = {**ASK, **json_wanted, "stream": True}
        assert error_of(await served.http.post(path, json={**body, "resume": True})) == (400, "stream.cannot_resume")
        assert served.jobs.asked == []
        whole = await served.http.post(path, json={**body, "stream": False, "resume": True})
        assert whole.status_code == 200, "what is not streamed is begun anew by itself"


async def test_a_client_that_leaves_a_stream_ends_its_job_and_its_key_counts_the_estimate(tmp_path):
    async with a_gateway(tmp_path) as served:
        made = await served.keys.answer(CreateKey("app"))
        served.jobs.gate.clear()
        mine = served.bearer(made.key)
        async with served.http.stream(
            "POST", "/v1/chat/completions", json={**ASK, "stream": True}, headers=mine
        ) as one:
            async for piece in one.aiter_bytes():
                assert b"assistant" in piece
                break
        async with asyncio.timeout(WAIT_S):
            await served.jobs.cancelled.wait()

        async def counted():
            key = (await served.keys.answer(GetKeys())).keys[1]
            return (key.running, key.spent_today) == (0, 500)

        await until(counted)


async def test_openais_client_streams_and_responds_unchanged(tmp_path):
    async with a_gateway(tmp_path) as served:

        def ask():
            url = f"{served.address.url}/v1"
            with openai.OpenAI(base_url=url, api_key=served.address.key, max_retries=0) as client:
                whole = client.chat.completions.create(**ASK)
                stream = client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
                pieces, usage = [], None
                for one in stream:
                    usage = one.usage or usage
                    pieces += [choice.delta.content or "" for choice in one.choices]
                said = client.responses.create(model="mesh/auto", input="hi")
                with client.responses.stream(model="mesh/auto", input="hi") as live:
                    streamed = [one.delta for one in live if one.type == "response.output_text.delta"]
                    final = live.get_final_response()
                return whole, "".join(pieces), usage, said, "".join(streamed), final

        whole, text, usage, said, streamed, final = await asyncio.to_thread(ask)
        assert whole.choices[0].message.content == text == streamed == "Ahoy, wörld!"
        assert said.output_text == final.output_text == "Ahoy, wörld!"
        assert (usage.total_tokens, usage.charge, final.status) == (13, 67, "completed")
