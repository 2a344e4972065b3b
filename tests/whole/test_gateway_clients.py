"""Clients that people already use, unmodified, against the gateway: OpenAI's for Python 2 and Node, and Ollama's."""

import contextlib

import pytest

from agents import MODEL, a_town
from foreign import node_clients, python_clients, told_by_node, told_by_python
from gateways import SAID, a_gateway

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]  # a first time installs them
VECTOR = [1.0, 0.0, 0.0, 0.0]


@contextlib.asynccontextmanager
async def a_device(folder):
    """A device with a gateway whose jobs another person's device does."""
    async with a_town(folder) as (_, ann, ben):
        worker = await ben.device("ben-box")
        asker = await ann.device("ann-box", work=False, start=False)
        await asker.start(gateway=True)
        yield asker.ready, worker


async def test_openais_client_of_the_version_before_works_unchanged(tmp_path):
    python = await python_clients()
    async with a_device(tmp_path) as (ready, worker):
        told = await told_by_python("openai_python.py", python, URL=ready.gateway, KEY=ready.key)
    assert told["version"].startswith("2.")
    assert told["models"][:2] == ["mesh/auto", MODEL]
    assert told["model"] == "mesh/auto"
    assert (told["embeddings"], told["floats"], told["tokens"]) == ([VECTOR, VECTOR], VECTOR, 1)
    assert told["headers"]["x-mesh-device"] == worker.id
    assert int(told["headers"]["x-mesh-charge"]) > 0
    assert told["refused"] == {
        "model": ["NotFoundError", 404, "gateway.model_not_found"],
        "dimensions": ["BadRequestError", 400, "gateway.bad_request"],
        "tokens": ["BadRequestError", 400, "gateway.bad_request"],
    }
    assert told["wrong key"] == [401, "gateway.wrong_key"]


async def test_ollamas_client_works_unchanged(tmp_path):
    python = await python_clients()
    async with a_device(tmp_path) as (ready, _):
        told = await told_by_python("ollama_python.py", python, URL=ready.gateway, KEY=ready.key)
    assert told["models"][0] == MODEL
    assert told["capabilities"] == ["embedding"]
    assert (told["embeddings"], told["old"], told["long"]) == ([VECTOR, VECTOR], VECTOR, 1)
    assert [told["refused"][why][0] for why in ("model", "long", "key")] == [404, 400, 401]
    assert told["refused"]["long"][1].startswith("A text is too long")


async def test_openais_client_for_node_works_unchanged(tmp_path):
    node = await node_clients()
    async with a_device(tmp_path) as (ready, worker):
        told = await told_by_node("openai_node.mjs", node, URL_V1=f"{ready.gateway}/v1", KEY=ready.key)
    assert told["models"][:2] == ["mesh/auto", MODEL]
    assert (told["embeddings"], told["device"]) == ([VECTOR, VECTOR], worker.id)
    assert told["refused"] == {
        "model": ["NotFoundError", 404, "gateway.model_not_found"],
        "empty": ["BadRequestError", 400, "input.empty"],
        "key": ["AuthenticationError", 401, "gateway.wrong_key"],
    }


async def test_the_same_clients_chat_whole_and_streamed(tmp_path):
    python, node = await python_clients(), await node_clients()
    async with a_gateway(tmp_path) as served:
        here = {"URL": served.address.url, "KEY": served.address.key}
        openai = await told_by_python("openai_python_chat.py", python, **here)
        ollama = await told_by_python("ollama_python_chat.py", python, **here)
        by_node = await told_by_node("openai_node_chat.mjs", node, URL_V1=f"{here['URL']}/v1", KEY=here["KEY"])
    assert [openai[how] for how in ("whole", "streamed", "completed", "responded")] == [SAID] * 4
    assert (openai["usage"]["total_tokens"], openai["usage"]["charge"]) == (13, 67)
    assert [ollama[how] for how in ("whole", "streamed", "generated")] == [SAID] * 3
    assert ollama["done"] == [True, "stop", 4]
    assert [by_node[how] for how in ("whole", "streamed", "responded")] == [SAID] * 3
    assert by_node["usage"]["charge"] == 67
