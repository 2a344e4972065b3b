"""The gateway: who gets in, what it answers, and that OpenAI's own client works with it unchanged."""

import asyncio
import base64
import contextlib
import itertools
import os

import httpx2
import openai
import pytest

from agents import MODEL, WAIT_S, WIDTH, a_home, a_town
from mesh.agent.asked import AllBusy, Result
from mesh.agent.gateway import server
from mesh.agent.gateway.server import PortTaken
from mesh.ids import DeviceId, JobId
from mesh.protocol.values import Explanation
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import Embeddings, texts_of

pytestmark = pytest.mark.anyio


class Jobs:
    """Answers the gateway's jobs with made-up results."""

    def __init__(self):
        self.asked = []
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = asyncio.Event()

    async def run(self, ask):
        Embeddings().check(ask.payload)
        self.asked.append(ask)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error:
            raise self.error
        count = len(texts_of(ask.payload))
        vector = b"\0\0\x80\x3f" + b"\0" * 4 * (WIDTH - 1)
        manifest = {"model": ask.model, "dim": WIDTH, "count": count, "tokens": 5 * count}
        return Result(
            job=JobId("J"),
            device=DeviceId("D"),
            path="direct",
            charge=67,
            units=18,
            model=MODEL,
            payload=Payload(manifest, (vector * count,)),
            attempts=(),
            explanation=Explanation(),
        )


@contextlib.asynccontextmanager
async def a_gateway(tmp_path):
    jobs = Jobs()
    async with server.served(a_home(tmp_path), jobs.run) as address:
        headers = {"authorization": f"Bearer {address.key}"}
        async with httpx2.AsyncClient(base_url=address.url, headers=headers, trust_env=False, timeout=WAIT_S) as http:
            yield jobs, address, http


def error_of(answer):
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    return answer.status_code, answer.json()["error"]["code"]


async def test_every_route_asks_for_key_host_and_no_origin(tmp_path):
    async with a_gateway(tmp_path) as (jobs, address, http):
        port = address.url.rpartition(":")[2]
        bad = [
            ({"authorization": ""}, (401, "gateway.wrong_key")),
            ({"authorization": "Bearer wrong"}, (401, "gateway.wrong_key")),
            ({"authorization": address.key}, (401, "gateway.wrong_key")),
            ({"host": "evil.example"}, (403, "gateway.wrong_host")),
            ({"host": f"evil.example:{port}"}, (403, "gateway.wrong_host")),
            ({"host": "127.0.0.1"}, (403, "gateway.wrong_host")),
            ({"origin": "https://evil.example"}, (403, "gateway.from_page")),
            ({"origin": address.url}, (403, "gateway.from_page")),
            ({"origin": "null"}, (403, "gateway.from_page")),
        ]
        routes = ("/v1/embeddings", "/v1/models", "/", "/nothing", "/v1/../control")
        for (headers, expected), route, method in itertools.product(bad, routes, ("GET", "POST", "OPTIONS", "DELETE")):
            answer = await http.request(method, route, headers=headers, json={"model": MODEL, "input": "x"})
            assert error_of(answer) == expected, (method, route, headers)
            assert not [name for name in answer.headers if name.startswith("access-control")]
        for host in ("127.0.0.1", "localhost", "[::1]"):
            assert (await http.get("/v1/models", headers={"host": f"{host}:{port}"})).status_code == 200
        assert jobs.asked == []


async def test_an_embeddings_answer_in_both_encodings_with_where_it_ran(tmp_path):
    async with a_gateway(tmp_path) as (_, _, http):
        answer = await http.post("/v1/embeddings", json={"model": MODEL, "input": ["a", "b"]})
        assert answer.status_code == 200
        assert answer.json() == {
            "object": "list",
            "data": [{"object": "embedding", "index": place, "embedding": [1.0, 0.0, 0.0, 0.0]} for place in (0, 1)],
            "model": MODEL,
            "usage": {"prompt_tokens": 10, "total_tokens": 10},
        }
        told = {name: answer.headers[f"x-mesh-{name}"] for name in ("job", "device", "path", "charge")}
        assert told == {"job": "J", "device": "D", "path": "direct", "charge": "67"}
        body = {"model": MODEL, "input": "a", "encoding_format": "base64"}
        packed = (await http.post("/v1/embeddings", json=body)).json()["data"][0]["embedding"]
        assert base64.b64decode(packed) == b"\0\0\x80\x3f" + b"\0" * 12


async def test_bad_requests_are_told_in_openais_shape(tmp_path):
    async with a_gateway(tmp_path) as (jobs, _, http):
        cases = [
            ({"model": "gpt", "input": "x"}, (404, "gateway.model_not_found")),
            ({"input": "x"}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": [[1, 2]]}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": [1, 2]}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": 7}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": "x", "encoding_format": "hex"}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": "x", "dimensions": 7}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": []}, (400, "input.empty")),
            ({"model": MODEL, "input": ""}, (400, "input.empty")),
            ({"model": MODEL, "input": ["x"] * 10_001}, (413, "input.too_many_texts")),
        ]
        for body, expected in cases:
            assert error_of(await http.post("/v1/embeddings", json=body)) == expected, body
        json = {"content-type": "application/json"}
        for content in (b"{", b"\xff", b'{"model":"\xff"}', b"[" * 10_000):
            status, _ = error_of(await http.post("/v1/embeddings", content=content, headers=json))
            assert status == 400, content
        plain = {"content-type": "text/plain"}
        assert error_of(await http.post("/v1/embeddings", content=b"{}", headers=plain)) == (400, "gateway.not_json")
        assert error_of(await http.get("/v1/chat")) == (404, "gateway.no_route")
        jobs.error = AllBusy(retry_after_s=2.6)
        busy = await http.post("/v1/embeddings", json={"model": MODEL, "input": "x"})
        assert (*error_of(busy), busy.headers["retry-after"]) == (429, "job.all_busy", "3")


async def test_a_client_that_goes_cancels_its_job(tmp_path):
    async with a_gateway(tmp_path) as (jobs, _, http):
        jobs.gate.clear()
        with pytest.raises(httpx2.TimeoutException):
            await http.post("/v1/embeddings", json={"model": MODEL, "input": "x"}, timeout=0.3)
        async with asyncio.timeout(WAIT_S):
            await jobs.cancelled.wait()


async def test_the_port_and_key_are_kept_and_a_taken_port_is_an_error_that_names_its_owner(tmp_path):
    home = a_home(tmp_path)
    async with server.served(home, Jobs().run) as first:
        with pytest.raises(PortTaken) as taken:
            async with server.served(home, Jobs().run):
                raise AssertionError("two listen on one port")
        assert str(taken.value.facts["port"]) in first.url
        assert f"process {os.getpid()}" in taken.value.message
    assert home.gateway_file.stat().st_mode & 0o777 == 0o600
    async with server.served(home, Jobs().run) as second:
        assert second == first


async def test_openais_client_works_unchanged_over_two_devices(tmp_path):
    async with a_town(tmp_path) as (_, ann, ben):
        worker = await ben.device("ben-box")
        asker = await ann.device("ann-box", work=False, start=False)
        await asker.start(gateway=True)

        def ask():
            with openai.OpenAI(base_url=f"{asker.ready.gateway}/v1", api_key=asker.ready.key, max_retries=0) as client:
                listed = [model.id for model in client.models.list()]
                answer = client.embeddings.with_raw_response.create(model=listed[0], input=["a", "b"])
                with pytest.raises(openai.NotFoundError):
                    client.embeddings.create(model="other", input="a")
                return answer.parse(), answer.headers

        answer, headers = await asyncio.to_thread(ask)
        assert [one.embedding for one in answer.data] == [[1.0, 0.0, 0.0, 0.0]] * 2
        assert headers["x-mesh-device"] == worker.id
        assert int(headers["x-mesh-charge"]) > 0
