"""Engines that run already: found, shared only when the owner says so, looked after, and never trusted further.

The engines here are small servers with the documented shapes of the real ones. Chat is in ``test_sharing_chat``.
"""

import asyncio
import json
import os
import threading

import pytest

from agents import EMBEDDINGS, a_town, until
from mesh.agent.engines import upstream
from mesh.agent.engines.sharing import FAILURES_MAX, NotShared, NoUsableModel, Sharing
from mesh.agent.engines.upstream import BadEngineUrl, NoEngine, Upstream, UpstreamFailed, checked_url, listeners
from mesh.agent.store import Store
from mesh.errors import MeshError
from mesh.sdk.sharing import FindEngines, ShareEngine, UnshareEngine
from mesh.workloads.embeddings import payload_of, vectors_of
from upstreams import LLAMA_KEY, LLAMA_MODEL, llama_server, openai_models, serving

pytestmark = pytest.mark.anyio
DIGEST = "0a109f422b47e3a30ba2b10eca18548e944e8a23073ee3f3e947efcf3c45e59f"


def vectors(asked):
    """As /v1/embeddings answers: the length of each text, and not of unit length."""
    data = [
        {"object": "embedding", "index": index, "embedding": [float(len(text)), 3.0, 4.0]}
        for index, text in enumerate(asked["input"])
    ]
    return {"object": "list", "data": data[::-1], "model": asked["model"], "usage": {"prompt_tokens": 7}}


def ollama(digest=DIGEST):
    tags = {
        "models": [
            {"name": "nomic-embed-text:latest", "digest": digest, "size": 1},
            {"name": "llama3.2:3b", "digest": "ff"},
        ]
    }

    def show(asked):
        return {"capabilities": ["embedding"] if "embed" in asked["model"] else ["completion", "tools"]}

    return {"/api/tags": tags, "/api/show": show, "/v1/embeddings": vectors, "/v1/models": openai_models("llama3.2:3b")}


KINDS = {
    "ollama": (ollama(), f"nomic-embed-text:latest@{DIGEST[:12]}"),
    "lmstudio": (
        {
            "/api/v0/models": {
                "data": [{"id": "text-embedding-nomic", "type": "embeddings"}, {"id": "qwen", "type": "llm"}]
            },
            "/v1/embeddings": vectors,
        },
        "text-embedding-nomic",
    ),
    "llama-server": (
        {"/v1/models": openai_models("bge.gguf", owner="llamacpp"), "/v1/embeddings": vectors},
        "bge.gguf",
    ),
    "vllm": ({"/v1/models": openai_models("BAAI/bge-m3", owner="vllm"), "/v1/embeddings": vectors}, "BAAI/bge-m3"),
    "tei": (
        {
            "/info": {"model_id": "BAAI/bge-small", "model_sha": "5c38ec7c405ec4b4", "max_input_length": 512},
            "/v1/embeddings": vectors,
        },
        "BAAI/bge-small@5c38ec7c405e",
    ),
    "openai": ({"/v1/models": openai_models("any-embedder"), "/v1/embeddings": vectors}, "any-embedder"),
}


@pytest.fixture
async def sharing(tmp_path):
    store = Store(tmp_path / "agent.db")
    store.open()
    made = Sharing(store)
    made.told = 0

    async def changed():
        made.told += 1

    made.on_change = changed
    made.usual, made.find_s = (), 20.0
    yield made
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_engine_is_known_by_its_shape_and_its_embedding_models_are_shared(sharing, kind):
    routes, model = KINDS[kind]
    named = (model.partition("@")[0],) if kind in ("ollama", "lmstudio") else ()
    with serving(routes) as engine:
        (shared,) = (await sharing.answer(ShareEngine(engine.url, named))).shared
        assert (shared.kind, shared.state, [one.model for one in shared.models]) == (kind, "ready", [model])
        (offer,) = sharing.offers()
        assert (offer.workload, offer.model, offer.warm) == ("embeddings", model, True)
        assert offer.units_per_s > 0 and sharing.told == 1
        payload = payload_of(["four", "seven77"])
        result = await sharing.work("embeddings", model, payload, 60.0)
        EMBEDDINGS.check_result(payload, result)
        first, second = vectors_of(result)
        assert first == pytest.approx([4 / 41**0.5, 3 / 41**0.5, 4 / 41**0.5])
        assert second[0] > first[0] and result.manifest["tokens"] == 7
        assert set(engine.asked[-1][1]) == {"model", "input", "encoding_format"}


async def test_what_is_found_is_shown_and_nothing_of_it_is_shared(sharing):
    with serving(KINDS["ollama"][0]) as engine, serving({"/": b"<html>a web server</html>"}) as other:
        sharing.usual = (("ollama", engine.port), ("openai", other.port), ("openai", 1))
        answer = await sharing.answer(FindEngines())
        assert [(one.url, one.kind, one.models) for one in answer.found] == [
            (engine.url, "ollama", ("nomic-embed-text:latest", "llama3.2:3b"))
        ]
        assert answer.shared == () and sharing.offers() == ()
        assert not any(path == "/v1/embeddings" for path, *_ in engine.asked)


async def test_an_engine_that_fails_is_benched_told_and_comes_back(sharing):
    with serving(KINDS["tei"][0]) as engine:
        await sharing.answer(ShareEngine(engine.url))
        (model,) = [offer.model for offer in sharing.offers()]
        engine.status = 500
        for _ in range(FAILURES_MAX):
            with pytest.raises(UpstreamFailed):
                await sharing.work("embeddings", model, payload_of(["x"]), 60.0)
        assert sharing.offers() == () and sharing.told == 2
        with pytest.raises(UpstreamFailed):
            await sharing.work("embeddings", model, payload_of(["x"]), 60.0)
        engine.status = 200
        await sharing.look()
        assert [offer.model for offer in sharing.offers()] == [model] and sharing.told == 3
    for _ in range(FAILURES_MAX):
        await sharing.look()
    assert sharing.offers() == () and sharing.told == 4


async def test_other_weights_under_the_same_name_are_another_model(sharing):
    with serving(ollama()) as engine:
        named = ("nomic-embed-text:latest",)
        await sharing.answer(ShareEngine(engine.url, named))
        engine.routes.update(ollama("b" * 64))
        await sharing.look()
        assert sharing.offers() == () and sharing.told == 2
        answer = await sharing.answer(ShareEngine(engine.url, named))
        assert [one.model for one in answer.shared[0].models] == ["nomic-embed-text:latest@bbbbbbbbbbbb"]


async def test_what_is_shared_is_kept_and_offered_again_once_it_answers(sharing):
    with serving(KINDS["vllm"][0]) as engine:
        await sharing.answer(ShareEngine(engine.url, key="sesame"))
        assert {headers.get("authorization") for _, _, headers in engine.asked} == {"Bearer sesame"}
        again = await Sharing.recalled(sharing._store)
        again.on_change = sharing.on_change
        assert again.offers() == (), "nobody knows yet whether it runs"
        await again.look()
        assert again.offers() == sharing.offers()
        await again.answer(UnshareEngine(engine.url))
        with pytest.raises(NotShared):
            await again.answer(UnshareEngine(engine.url))
        third = await Sharing.recalled(sharing._store)
        await third.look()
        assert third.offers() == ()


@pytest.mark.parametrize(
    "url",
    ["http://example.com:80", "https://127.0.0.1:1", "http://10.0.0.7:11434", "http://me:pw@127.0.0.1:1", "ftp://127.0.0.1",
     "http://127.0.0.1:1/admin", "http://127.0.0.1:1?x=1", "http://169.254.169.254", "http://0x7f.1:80", "", "http://[::"],
)  # fmt: skip
async def test_only_addresses_of_this_machine_are_taken(sharing, url):
    with pytest.raises(BadEngineUrl):
        await sharing.answer(ShareEngine(url))


def test_the_local_network_is_taken_where_the_owner_insists():
    assert checked_url("localhost:11434", lan=False) == "http://127.0.0.1:11434"
    assert checked_url("http://[::1]:8080/v1/", lan=False) == "http://[::1]:8080"
    assert checked_url("http://192.168.1.9:11434", lan=True) == "http://192.168.1.9:11434"
    for url in ("http://169.254.169.254", "http://8.8.8.8", "http://nas.local:11434"):
        with pytest.raises(BadEngineUrl):
            checked_url(url, lan=True)


async def test_redirects_are_not_followed_and_proxies_not_asked(sharing, monkeypatch):
    with (
        serving({"/v1/models": openai_models("m"), "/v1/embeddings": vectors}) as target,
        serving({"/v1/models": {}}) as engine,
    ):
        monkeypatch.setenv("HTTP_PROXY", target.url)
        monkeypatch.setenv("ALL_PROXY", target.url)
        engine.status, engine.headers = 302, {"location": f"{target.url}/v1/models"}
        with pytest.raises(NoEngine):
            await sharing.answer(ShareEngine(engine.url))
        assert target.asked == []


def cut(_):
    return vectors({"model": "m", "input": ["only one"]})


def endless(_):
    return b'{"data": [' + b" " * (3 << 20)


def wrong_numbers(asked):
    return json.dumps(vectors(asked)).replace("3.0", "1e999").encode()


def uneven(asked):
    said = vectors(asked)
    said["data"][0]["embedding"].append(1.0)
    return said


def deep(_):
    return b"[" * 100_000


@pytest.mark.parametrize(
    "lie", [cut, endless, wrong_numbers, uneven, deep, lambda _: b"no json", lambda _: {"data": []}]
)
async def test_an_engine_that_lies_fails_its_job_and_nothing_else(lie):
    with serving({"/v1/embeddings": lie}) as engine:
        with pytest.raises(UpstreamFailed) as failed:
            await Upstream(engine.url).embed("m", "m", payload_of(["a text", "another"]), 60.0)
        assert "only one" not in str(failed.value.wire())


async def test_packed_answers_and_silence_are_refused():
    with serving({"/v1/embeddings": vectors}) as engine:
        engine.headers = {"content-encoding": "gzip"}
        with pytest.raises(UpstreamFailed):
            await Upstream(engine.url).embed("m", "m", payload_of(["a"]), 60.0)
    held = threading.Event()
    with serving({"/v1/embeddings": lambda _: held.wait(10) and {}}) as engine:
        with pytest.raises(UpstreamFailed):
            await Upstream(engine.url).embed("m", "m", payload_of(["a"]), 0.2)
        held.set()


async def test_a_model_that_only_chats_is_not_shared(sharing):
    chats = {"/v1/models": openai_models("chatter"), "/v1/embeddings": {"error": "no"}}
    with serving(chats) as engine:
        with pytest.raises(NoUsableModel) as refused:
            await sharing.answer(ShareEngine(engine.url))
        assert refused.value.facts["listed"] == ["chatter"]
        assert (await sharing.find()) == ()


def test_who_listens_is_read_from_the_systems_table(tmp_path):
    table = tmp_path / "tcp"
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    row = "   0: 0100007F:2CAA 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  {uid}        0 1\n"
    table.write_text(head + row.format(state="0A", uid=1001) + row.format(state="01", uid=7))
    assert listeners(11434, (str(table), str(tmp_path / "none"))) == {1001}
    assert listeners(11435, (str(table),)) == set()


async def test_a_port_that_another_person_of_this_machine_holds_is_sent_nothing(sharing, monkeypatch):
    with serving({"/v1/models": openai_models("m"), "/v1/embeddings": vectors}) as engine:
        monkeypatch.setattr(upstream, "PERSON_UID_MIN", 0)  # whoever runs this test is a person
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        with pytest.raises(upstream.ForeignListener):
            await sharing.answer(ShareEngine(engine.url))
        sharing.usual = (("openai", engine.port),)
        with pytest.raises(UpstreamFailed):  # one that was shared before somebody else took its port
            await Upstream(engine.url, "a key").embed("m", "m", payload_of(["a text"]), 60.0)
        assert (await sharing.answer(FindEngines())).found == ()
        assert engine.asked == []


async def test_a_job_of_another_person_runs_on_a_shared_engine_and_is_paid(tmp_path):
    with serving(KINDS["ollama"][0]) as engine:
        model = KINDS["ollama"][1]
        async with a_town(tmp_path) as (_town, ann, ben):
            asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
            with pytest.raises(MeshError):
                await asker.run("before it is shared", model=model)
            await worker.agent.sharing.answer(ShareEngine(engine.url))

            async def runs():
                try:
                    return await asker.run("a harbour at night", model=model)
                except MeshError as error:
                    assert error.wire_kind == "nowhere"
                    return None

            result = None
            async with asyncio.timeout(20):
                while result is None:
                    result = await runs()
            assert (result.device, result.model, result.charge > 0) == (worker.id, model, True)
            assert result.payload.manifest["dim"] == 3
            asked = len(engine.asked)
            with pytest.raises(MeshError):
                await asker.run("for few eyes", model=model, sensitivity="sensitive")
            assert len(engine.asked) == asked
            await worker.agent.sharing.answer(UnshareEngine("all"))
            await until(lambda: _nowhere(asker, model))
            await asker.reported()
            await worker.reported()


async def _nowhere(asker, model):
    try:
        await asker.run("after it was withdrawn", model=model)
    except MeshError as error:
        return error.wire_kind == "nowhere"
    return False


async def test_the_real_server_of_llama_cpp_is_shared_by_its_key_and_benched_when_it_dies(sharing, tmp_path):
    async with llama_server(tmp_path, "embeds") as url:
        with pytest.raises(NoEngine):
            await sharing.answer(ShareEngine(url))
        (shared,) = (await sharing.answer(ShareEngine(url, key=LLAMA_KEY))).shared
        assert (shared.kind, [(one.model, one.workload) for one in shared.models]) == (
            "llama-server",
            [(LLAMA_MODEL, "embeddings")],
        )
        texts = ["A cat sits on the mat.", "A kitten rests on the mat.", "The central bank raised interest rates."]
        result = await sharing.work("embeddings", LLAMA_MODEL, payload_of(texts), 60.0)
        EMBEDDINGS.check_result(payload_of(texts), result)
        cat, kitten, bank = vectors_of(result)
        assert result.manifest["dim"] == 576
        assert sum(a * b for a, b in zip(cat, kitten, strict=True)) > sum(a * b for a, b in zip(cat, bank, strict=True))
    for _ in range(FAILURES_MAX):
        await sharing.look()
    assert sharing.offers() == ()
