"""Chat with engines that run already: asked with known fields alone, streamed, held up, cut short, and not believed.

llama.cpp's own server is met for real; the others are small servers with the documented shapes of the real ones.
"""

import asyncio
import json

import httpx2
import pytest

from agents import a_town, until
from mesh.agent.engines.sharing import FAILURES_MAX, UNTRIED_UNITS_PER_S, Sharing
from mesh.agent.engines.upstream import Upstream, UpstreamFailed
from mesh.agent.engines.upstream_chat import Asked, CannotGoOn, chat
from mesh.agent.store import Store
from mesh.sdk.sharing import ShareEngine
from mesh.workloads.chat import Chat, ChatTooLong, payload_of, prompt_payload
from mesh.workloads.contract import Outlet
from mesh.workloads.frames import WINDOW_BYTES
from upstreams import LLAMA_KEY, LLAMA_MODEL, llama_server, openai_models, serving

pytestmark = pytest.mark.anyio
CHAT = Chat()
DIGEST = "0a109f422b47e3a30ba2b10eca18548e944e8a23073ee3f3e947efcf3c45e59f"
WORDS = ("A", " harbour", " is", " schön", ".")
SAID = "A harbour is schön."
QUESTION = payload_of([("system", "Be brief."), ("user", "What?")], max_tokens=9, temperature=0, seed=3, stop=["END"])


def sse(*events, done=True):
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events) + b"data: [DONE]\n\n" * done


def openai_chat(asked):
    """As /v1/chat/completions streams; with a comment, a role, reasons, and usage at the end."""
    pieces = [{"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]} for word in WORDS]
    first = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None, "reasoning_content": "hm"}}]}
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}}
    return b": ping\n\n" + sse(first, *pieces, last, usage)


def openai_completion(asked):
    return sse(
        *({"choices": [{"text": word}]} for word in WORDS), {"choices": [{"text": "", "finish_reason": "length"}]}
    )


def ollama_chat(asked):
    lines = [{"message": {"role": "assistant", "content": word}, "done": False} for word in WORDS]
    end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    counts = {"prompt_eval_count": 11, "eval_count": 5}
    return b"".join(json.dumps(one).encode() + b"\n" for one in [*lines, {**end, **counts}])


def ollama_generate(asked):
    lines = [{"response": word, "done": False} for word in WORDS]
    return b"".join(json.dumps(one).encode() + b"\n" for one in [*lines, {"response": "", "done": True}])


OLLAMA = {
    "/api/tags": {"models": [{"name": "qwen3:8b", "digest": DIGEST}]},
    "/api/show": {"capabilities": ["completion", "tools"]},
    "/api/chat": ollama_chat,
    "/api/generate": ollama_generate,
}
V1 = {"/v1/chat/completions": openai_chat, "/v1/completions": openai_completion}
LMSTUDIO = {"/api/v0/models": {"data": [{"id": "qwen3-8b", "type": "llm"}]}, **V1}
KINDS = {
    "ollama": (OLLAMA, "qwen3:8b", f"qwen3:8b@{DIGEST[:12]}"),
    "lmstudio": (LMSTUDIO, "qwen3-8b", "qwen3-8b"),
    "llama-server": ({"/v1/models": openai_models("q.gguf", owner="llamacpp"), **V1}, "q.gguf", "q.gguf"),
    "vllm": ({"/v1/models": openai_models("Qwen/Qwen3-8B", owner="vllm"), **V1}, "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
    "openai": ({"/v1/models": openai_models("jan"), **V1}, "jan", "jan"),
}


class Reading:
    """Takes what is said, unless told to hold."""

    def __init__(self, *, takes=True):
        self.come, self.takes = [], takes
        self.outlet = Outlet(self._put)

    def _put(self, content):
        self.come.append(content)
        if self.takes:
            self.outlet.took(len(content))

    @property
    def text(self):
        return b"".join(self.come).decode()


@pytest.fixture
async def sharing(tmp_path):
    store = Store(tmp_path / "agent.db")
    store.open()
    made = Sharing(store)

    async def changed():
        pass

    made.on_change = changed
    yield made
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_chat_model_is_tried_shared_and_streamed_and_only_known_fields_are_sent(sharing, kind):
    routes, name, model = KINDS[kind]
    with serving(routes) as engine:
        (shared,) = (await sharing.answer(ShareEngine(engine.url, (name,)))).shared
        assert (shared.kind, [(one.model, one.workload) for one in shared.models]) == (kind, [(model, "chat")])
        (offer,) = sharing.offers()
        assert offer.units_per_s > 0 and offer.units_per_s != UNTRIED_UNITS_PER_S
        reading = Reading()
        result = await sharing.work("chat", model, QUESTION, 10.0, reading.outlet)
        CHAT.check_result(QUESTION, result)
        assert reading.text == result.manifest["text"] == SAID
        assert {name: result.manifest[name] for name in ("model", "finish", "prompt_tokens", "tokens", "left_out")} == {
            "model": model, "finish": "stop", "prompt_tokens": 11, "tokens": 5, "left_out": 0,
        }  # fmt: skip
        path, body, _ = engine.asked[-1]
        assert body.pop("messages") == QUESTION.manifest["messages"]
        settings = {"temperature": 0, "seed": 3, "stop": ["END"]}
        if kind == "ollama":
            options = {"num_predict": 9, **settings}
            assert (path, body) == ("/api/chat", {"model": name, "stream": True, "options": options})
        else:
            more = {"cache_prompt": False} if kind == "llama-server" else {}
            stream = {"stream": True, "stream_options": {"include_usage": True}}
            assert (path, body) == (
                "/v1/chat/completions",
                {"model": name, "max_tokens": 9, **settings, **stream, **more},
            )
        going_on = await sharing.work("chat", model, prompt_payload("Once", max_tokens=9), 60.0)
        assert going_on.manifest["text"] == SAID
        assert engine.asked[-1][1]["prompt"] == "Once"
        await sharing.work("chat", model, prompt_payload("Once", so_far=" upon", max_tokens=9), 60.0)
        assert engine.asked[-1][1]["prompt"] == "Once upon"
        rest = payload_of([("user", "What?")], so_far="A harb", max_tokens=9)
        if kind in ("lmstudio", "openai"):
            for _ in range(FAILURES_MAX + 1):
                with pytest.raises(CannotGoOn):
                    await sharing.work("chat", model, rest, 60.0)
            assert sharing.offers(), "that is no reason to withdraw it"
            return
        await sharing.work("chat", model, rest, 60.0)
        body = engine.asked[-1][1]
        assert body["messages"][-1] == {"role": "assistant", "content": "A harb"}
        assert (body.get("continue_final_message"), body.get("add_generation_prompt")) == (
            (True, False) if kind == "vllm" else (None, None)
        )


async def test_json_is_asked_for_in_each_ones_words_and_a_long_chat_with_a_larger_window(sharing):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    with serving(OLLAMA) as ollama, serving(V1) as other:
        own, theirs = Asked(Upstream(ollama.url), "ollama", "m", "m"), Asked(Upstream(other.url), "openai", "m", "m")
        for wanted, format, response in (
            (True, "json", {"type": "json_object"}),
            (schema, schema, {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}),
        ):
            payload = payload_of([("user", "x" * 9000)], json=wanted)
            await chat(own, payload, 10.0, None)
            await chat(theirs, payload, 10.0, None)
            assert ollama.asked[-1][1]["format"] == format
            assert ollama.asked[-1][1]["options"] == {"num_predict": 512, "num_ctx": 8192}
            assert other.asked[-1][1]["response_format"] == response


async def test_of_an_engine_that_loads_on_demand_chat_models_are_shared_without_loading_them(sharing):
    with serving(OLLAMA) as engine:
        (shared,) = (await sharing.answer(ShareEngine(engine.url))).shared
        assert [(one.workload, one.units_per_s) for one in shared.models] == [("chat", UNTRIED_UNITS_PER_S)]
        assert not any(path == "/api/chat" for path, *_ in engine.asked)


def cut(asked):
    return openai_chat(asked).split(b'"finish_reason": "stop"')[0] + b'"x": 1}]}\n\n'


def complains(asked):
    return sse({"error": {"message": "secret words of the question", "code": 500}})


def never_ends(asked):
    return b"data: " + b"x" * (2 << 20)


def says_too_much(asked):
    return sse({"choices": [{"delta": {"content": "x" * 9 * 600}}]})


def half_a_letter(asked):
    return b'data: {"choices": [{"delta": {"content": "\\ud800"}}]}\n\n'


def deep(asked):
    return b"data: " + b"[" * 100_000 + b"\n"


def nothing(asked):
    return b""


@pytest.mark.parametrize("lie", [cut, complains, never_ends, says_too_much, half_a_letter, deep, nothing])
async def test_an_engine_that_breaks_off_or_lies_fails_its_job_and_nothing_else(lie):
    with serving({"/v1/chat/completions": lie}) as engine:
        with pytest.raises(UpstreamFailed) as failed:
            await chat(Asked(Upstream(engine.url), "openai", "m", "m"), QUESTION, 10.0, Reading().outlet)
        assert "secret" not in str(failed.value.wire())


async def test_a_redirect_is_not_followed_and_an_engine_that_fails_is_benched(sharing):
    routes, _, model = KINDS["vllm"]
    with serving(routes) as engine, serving(V1) as target:
        await sharing.answer(ShareEngine(engine.url))
        engine.status, engine.headers = 307, {"location": f"{target.url}/v1/chat/completions"}
        for _ in range(FAILURES_MAX):
            with pytest.raises(UpstreamFailed):
                await sharing.work("chat", model, QUESTION, 60.0)
        assert target.asked == [] and sharing.offers() == ()


REFUSALS = (
    {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 900, "n_ctx": 512}},
    {"error": {"code": "context_length_exceeded", "message": "..."}},
    {"object": "error", "message": "This model's maximum context length is 512 tokens."},
)


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_chat_over_the_window_is_the_askers_fault_and_is_trimmed_where_that_is_allowed(sharing, refusal):
    routes, _, model = KINDS["openai"]
    with serving(routes) as engine:
        await sharing.answer(ShareEngine(engine.url))

        def refuses(asked):
            short = len(asked["messages"]) <= 2
            engine.status = 200 if short else 400
            return openai_chat(asked) if short else refusal

        engine.routes["/v1/chat/completions"] = refuses
        said = [("system", "Be brief."), *[("user", "word " * 100), ("assistant", "yes")] * 3, ("user", "and?")]
        for _ in range(FAILURES_MAX):
            with pytest.raises(ChatTooLong):
                await sharing.work("chat", model, payload_of(said), 60.0)
        assert len(sharing.offers()) == 1, "the engine is not to blame"
        result = await sharing.work("chat", model, payload_of(said, trim=True), 60.0)
        assert (result.manifest["text"], result.manifest["left_out"]) == (SAID, 6)
        assert [one["content"] for one in engine.asked[-1][1]["messages"]] == ["Be brief.", "and?"]


async def test_a_reader_that_takes_nothing_holds_up_the_engine_and_one_that_leaves_closes_its_connection():
    word = b'data: {"choices": [{"delta": {"content": "' + b"x" * 1000 + b'"}}]}\n\n'
    held, gone = asyncio.Event(), asyncio.Event()

    async def endless(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        try:
            while True:
                writer.write(word)
                drain = asyncio.ensure_future(writer.drain())
                done, _ = await asyncio.wait((drain,), timeout=1.0)
                if not done:
                    held.set()
                    await drain
        except (ConnectionError, OSError):
            gone.set()
        finally:
            writer.close()

    async with await asyncio.start_server(endless, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        reading = Reading(takes=False)
        payload = payload_of([("user", "x")], max_tokens=32_768)
        talk = asyncio.ensure_future(chat(Asked(Upstream(url), "openai", "m", "m"), payload, 120.0, reading.outlet))
        async with asyncio.timeout(60):
            await held.wait()
            stood = len(reading.text)
            assert WINDOW_BYTES <= stood < WINDOW_BYTES + (1 << 20)
            reading.outlet.took(stood)
            await until(lambda: _more_than(reading, stood))
            talk.cancel()
            await asyncio.wait((talk,))
            await gone.wait()


async def _more_than(reading, stood):
    return len(reading.text) > stood


async def test_llama_cpps_own_server_answers_another_persons_chat_word_by_word_through_the_gateway(tmp_path):
    async with llama_server(tmp_path, "chats") as url, a_town(tmp_path) as (_town, ann, ben):
        worker = await ben.device("ben-box")
        (shared,) = (await worker.agent.sharing.answer(ShareEngine(url, key=LLAMA_KEY))).shared
        assert [(one.model, one.workload) for one in shared.models] == [(LLAMA_MODEL, "chat")]
        asker = await ann.device("ann-box", work=False, start=False)
        await asker.start(gateway=True)
        headers = {"authorization": f"Bearer {asker.ready.key}"}
        ask = {"model": LLAMA_MODEL, "messages": [{"role": "user", "content": "What is a harbour?"}], "temperature": 0}
        async with httpx2.AsyncClient(
            base_url=asker.ready.gateway, headers=headers, trust_env=False, timeout=60
        ) as http:
            body = {**ask, "max_tokens": 16}
            told = []

            async def answered():
                """Once the coordinator knows what Ben shares."""
                told.append(await http.post("/v1/chat/completions", json=body))
                return told[-1].status_code != 404

            await until(answered)
            assert told[-1].status_code == 200, told[-1].text
            assert {one.json()["error"]["code"] for one in told[:-1]} <= {"gateway.model_not_found"}
            whole = told[-1].json()
            text = whole["choices"][0]["message"]["content"]
            assert text and whole["usage"]["completion_tokens"] <= 16
            pieces, device = [], ""
            more = {"stream": True, "max_tokens": 16}
            async with http.stream("POST", "/v1/chat/completions", json={**ask, **more}) as answer:
                device = answer.headers["x-mesh-device"]
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        pieces += [one["delta"].get("content") for one in json.loads(line[6:])["choices"]]
            assert device == worker.id
            assert "".join(piece for piece in pieces if piece) == text
            long = [{"role": "user", "content": "7" * 900}]
            refused = await http.post("/v1/chat/completions", json={**ask, "messages": long})
            assert (refused.status_code, refused.json()["error"]["code"]) == (413, "input.chat_too_long")
        await asker.reported()
        await worker.reported()
