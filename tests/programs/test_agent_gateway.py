"""The gateway: who gets in, what it answers, and that OpenAI's own client works with it unchanged."""

import asyncio
import base64
import itertools
import os

import openai
import pytest

from agents import MODEL, WAIT_S, WIDTH, a_home, a_town, until
from gateways import CHAT_MODEL, OCR_MODEL, Jobs, Town, a_gateway, error_of
from mesh.agent.asking.asked import AllBusy
from mesh.agent.engines.loading import Loading
from mesh.agent.gateway import loading as gateway_loading
from mesh.agent.gateway import server
from mesh.agent.gateway.calls import Front
from mesh.agent.gateway.keys import KeyBook
from mesh.agent.gateway.routes import ROUTES
from mesh.agent.gateway.server import PortTaken
from mesh.jobs import loading
from mesh.jobs.placement import NowhereToRun
from mesh.protocol.values import LoadingModel
from mesh.workloads.contract import Payload

pytestmark = pytest.mark.anyio

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
PATHS = sorted({route.path for route in ROUTES} | {"/", "/nothing", "/api/nothing", "/v1/../control", "/v1/models/x"})
EMBED = {"model": MODEL, "input": "x"}


async def test_every_route_and_method_asks_for_host_no_origin_and_a_key(tmp_path):
    async with a_gateway(tmp_path) as served:
        port, key = served.port, served.address.key
        bad = [
            ({"authorization": ""}, (401, "gateway.wrong_key")),
            ({"authorization": "Bearer wrong"}, (401, "gateway.wrong_key")),
            ({"authorization": "Bearer"}, (401, "gateway.wrong_key")),
            ({"authorization": f"Bearer {key}x"}, (401, "gateway.wrong_key")),
            ({"authorization": f"Basic {key}"}, (401, "gateway.wrong_key")),
            ({"authorization": key}, (401, "gateway.wrong_key")),
            ({"host": "evil.example"}, (403, "gateway.wrong_host")),
            ({"host": f"evil.example:{port}"}, (403, "gateway.wrong_host")),
            ({"host": f"127.0.0.1.evil.example:{port}"}, (403, "gateway.wrong_host")),
            ({"host": "127.0.0.1"}, (403, "gateway.wrong_host")),
            ({"host": f"127.0.0.1:{port + 1}"}, (403, "gateway.wrong_host")),
            ({"origin": "https://evil.example"}, (403, "gateway.from_page")),
            ({"origin": served.address.url}, (403, "gateway.from_page")),
            ({"origin": "null"}, (403, "gateway.from_page")),
        ]
        for (headers, expected), path, method in itertools.product(bad, PATHS, METHODS):
            answer = await served.http.request(method, path, headers=headers, json=EMBED)
            assert error_of(answer) == expected, (method, path, headers)
            assert not [name for name in answer.headers if name.startswith("access-control")]
        for path in PATHS:  # the same without a body to read
            for headers, expected in bad:
                assert (await served.http.head(path, headers=headers)).status_code == expected[0]
        for host in ("127.0.0.1", "localhost", "LocalHost", "[::1]"):
            assert (await served.http.get("/v1/models", headers={"host": f"{host}:{port}"})).status_code == 200
        assert served.jobs.asked == []


async def test_with_the_key_only_what_is_in_the_table_exists(tmp_path):
    async with a_gateway(tmp_path) as served:
        there = {(route.method, route.path) for route in ROUTES}
        for path, method in itertools.product(PATHS, METHODS):
            if (method, path) in there or path.startswith("/v1/models/"):
                continue
            answer = await served.http.request(method, path, json=EMBED)
            assert error_of(answer) == (404, "gateway.no_route"), (method, path)
        assert served.jobs.asked == []


async def test_every_route_that_takes_a_body_takes_json_alone(tmp_path):
    async with a_gateway(tmp_path) as served:
        kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json"]
        for route, kind in itertools.product(ROUTES, kinds):
            if route.method == "POST":
                headers = {"content-type": kind} if kind else {}
                answer = await served.http.post(route.path, content=b'{"model":"x"}', headers=headers)
                assert error_of(answer) == (400, "gateway.not_json"), (route.path, kind)
        assert served.jobs.asked == []


async def test_an_embeddings_answer_in_both_encodings_with_where_it_ran(tmp_path):
    async with a_gateway(tmp_path) as served:
        answer = await served.http.post("/v1/embeddings", json={"model": MODEL, "input": ["a", "b"]})
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
        packed = (await served.http.post("/v1/embeddings", json=body)).json()["data"][0]["embedding"]
        assert base64.b64decode(packed) == b"\0\0\x80\x3f" + b"\0" * 12


async def test_bad_requests_are_told_in_openais_shape(tmp_path):
    async with a_gateway(tmp_path) as served:
        cases = [
            ({"model": "gpt", "input": "x"}, (404, "gateway.model_not_found")),
            ({"model": "device:cellar/auto", "input": "x"}, (404, "device.unknown")),
            ({"model": "device:attic", "input": "x"}, (404, "gateway.model_not_found")),
            ({"input": "x"}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": [[1, 2]]}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": [1, 2]}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": 7}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": "x", "encoding_format": "hex"}, (400, "gateway.bad_request")),
            ({"model": MODEL, "input": []}, (400, "input.empty")),
            ({"model": MODEL, "input": ""}, (400, "input.empty")),
            ({"model": MODEL, "input": "x" * 16385}, (400, "input.text_too_long")),
            ({"model": MODEL, "input": ["x"] * 10_001}, (413, "input.too_many_texts")),
        ]
        for body, expected in cases:
            assert error_of(await served.http.post("/v1/embeddings", json=body)) == expected, body
        json = {"content-type": "application/json; charset=utf-8"}
        for content in (b"", b"{", b"[]", b"\xff", b'{"model":"\xff"}', b"[" * 10_000):
            status, _ = error_of(await served.http.post("/v1/embeddings", content=content, headers=json))
            assert status == 400, content
        served.jobs.error = AllBusy(retry_after_s=2.6)
        busy = await served.http.post("/v1/embeddings", json=EMBED)
        assert (*error_of(busy), busy.headers["retry-after"]) == (429, "job.all_busy", "3")


async def test_other_dimensions_are_refused_before_anything_runs(tmp_path):
    async with a_gateway(tmp_path) as served:
        for path, model in itertools.product(("/v1/embeddings", "/api/embed"), (MODEL, "mesh/auto")):
            body = {"model": model, "input": "x", "dimensions": WIDTH - 1}
            assert error_of(await served.http.post(path, json=body)) == (400, "gateway.bad_request")
        assert served.jobs.asked == []
        body = {"model": MODEL, "input": "x", "dimensions": WIDTH}
        assert (await served.http.post("/v1/embeddings", json=body)).status_code == 200


async def test_a_models_name_chooses_the_model_and_the_device(tmp_path):
    async with a_gateway(tmp_path) as served:
        for name in (MODEL, f"{MODEL}:latest", "mesh/auto", "auto", "mesh/auto:latest"):
            assert (await served.http.post("/v1/embeddings", json={"model": name, "input": "x"})).json()[
                "model"
            ] == name
        for name in (f"device:attic/{MODEL}", "device:01ATTIC/auto", f"device:attic/{MODEL}:latest"):
            assert (await served.http.post("/api/embed", json={"model": name, "input": "x"})).status_code == 200
        assert {ask.model for ask in served.jobs.asked} == {MODEL}
        assert [ask.routing.device for ask in served.jobs.asked] == [None] * 5 + ["01ATTIC"] * 3


async def test_a_large_input_is_spread_and_comes_back_in_order(tmp_path):
    async with a_gateway(tmp_path, devices=2) as served:
        held = {}

        def numbered(ask):
            """Vectors that carry their texts' numbers, so that the order can be told."""
            result = served.jobs.made_up(ask, int(ask.payload.manifest["texts"][0]) + 1)
            blob = b"".join(bytes([0, 0, int(text), 0]) * WIDTH for text in ask.payload.manifest["texts"])
            return result._replace(payload=Payload(result.payload.manifest, (blob,)), charge=10)

        async def last_first(ask):
            held[int(ask.payload.manifest["texts"][0])] = mine = asyncio.get_running_loop().create_future()
            if len(held) == 4:  # all parts are under way: the last one ends first
                for first in sorted(held, reverse=True):
                    held[first].set_result(None)
            await mine

        served.jobs.result, served.jobs.hold = numbered, last_first
        texts = [f"{number:03}" for number in range(128)]
        body = {"model": MODEL, "input": texts, "encoding_format": "base64"}
        answer = await served.http.post("/v1/embeddings", json=body)
        rows = [base64.b64decode(one["embedding"]) for one in answer.json()["data"]]
        assert rows == [bytes([0, 0, number, 0]) * WIDTH for number in range(128)]
        assert len(held) == 4
        assert answer.headers["x-mesh-job"] == ",".join(f"J{first + 1}" for first in sorted(held))
        assert (answer.headers["x-mesh-device"], answer.headers["x-mesh-charge"]) == ("D", "40")
        served.jobs.hold = served.jobs.wait
        for whole in ({"model": MODEL, "input": texts[:63]}, {"model": "device:attic/auto", "input": texts}):
            answer = await served.http.post("/v1/embeddings", json=whole)
            assert answer.headers["x-mesh-job"] == "J1"


async def test_a_part_that_fails_ends_the_others_and_is_told(tmp_path):
    async with a_gateway(tmp_path, devices=2) as served:

        async def hold(ask):
            if ask.payload.manifest["texts"][0] == "bad":
                raise AllBusy(retry_after_s=4)
            await served.jobs.wait(ask)

        served.jobs.hold = hold
        served.jobs.gate.clear()
        answer = await served.http.post("/v1/embeddings", json={"model": MODEL, "input": [*["x"] * 64, *["bad"] * 64]})
        assert (*error_of(answer), answer.headers["retry-after"]) == (429, "job.all_busy", "4")
        assert served.jobs.cancelled.is_set()


async def test_a_client_that_goes_cancels_its_job(tmp_path):
    async with a_gateway(tmp_path) as served:
        served.jobs.gate.clear()
        asking = asyncio.create_task(served.http.post("/v1/embeddings", json=EMBED))
        await until(lambda: served.jobs.asked)
        asking.cancel()
        async with asyncio.timeout(WAIT_S):
            await served.jobs.cancelled.wait()
        await asyncio.wait([asking])


async def test_while_a_model_is_fetched_who_asks_is_told_how_far_it_is(tmp_path):
    async with a_gateway(tmp_path) as served:
        served.jobs.error = NowhereToRun()
        assert error_of(await served.http.post("/v1/embeddings", json=EMBED)) == (422, "placement.nowhere")
        served.town.on_its_way = Loading("downloading", 0.42, 12.4)
        answer = await served.http.post("/v1/embeddings", json=EMBED)
        assert (*error_of(answer), answer.headers["retry-after"]) == (503, "model.loading", "12")
        assert (answer.json()["error"]["percent"], answer.json()["error"]["eta_s"]) == (42, 12.4)
        served.town.on_its_way = Loading("checking", 0.0, None)
        answer = await served.http.post("/api/embed", json=EMBED)
        assert (*error_of(answer), answer.headers["retry-after"]) == (503, "model.loading", "5")
        assert "eta_s" not in answer.json()


@pytest.mark.parametrize(("path", "eta_s", "retry"), [("/v1/embeddings", 17.8, "18"), ("/api/embed", None, "5")])
async def test_while_another_device_fetches_a_model_who_asks_is_told_how_far_that_is(tmp_path, path, eta_s, retry):
    async with a_gateway(tmp_path) as served:
        model = LoadingModel(MODEL, "downloading", 0.6, eta_s)
        served.jobs.error = NowhereToRun(loading=loading.facts("D", model))
        answer = await served.http.post(path, json=EMBED)
        assert (*error_of(answer), answer.headers["retry-after"]) == (503, "model.loading", retry)
        body = answer.json()
        told = body["error"] if path.startswith("/v1") else body
        assert (told["percent"], told.get("eta_s")) == (60, eta_s)


async def test_a_job_whose_model_takes_long_to_come_is_given_back_and_a_short_load_is_waited_out(tmp_path, monkeypatch):
    async with a_gateway(tmp_path) as served:

        async def loads(ask):
            ask.on_progress("J", "downloading", 0.3)
            await served.jobs.wait(ask)

        served.jobs.hold = loads
        assert (await served.http.post("/v1/embeddings", json=EMBED)).status_code == 200
        served.jobs.gate.clear()
        monkeypatch.setattr(gateway_loading, "WAIT_S", 0.0)
        answer = await served.http.post("/v1/embeddings", json=EMBED)
        assert (*error_of(answer), answer.json()["error"]["percent"]) == (503, "model.loading", 30)
        assert served.jobs.cancelled.is_set()


async def test_models_are_listed_for_both_families_of_clients(tmp_path):
    async with a_gateway(tmp_path) as served:
        listed = (await served.http.get("/v1/models")).json()["data"]
        assert [one["id"] for one in listed] == ["mesh/auto", MODEL, CHAT_MODEL, OCR_MODEL]
        assert (listed[1]["licence"], listed[1]["warm"], listed[1]["devices"]) == ("Apache-2.0", True, ["attic"])
        for name in ("mesh/auto", MODEL):
            assert (await served.http.get(f"/v1/models/{name}")).json()["id"] == name
        assert error_of(await served.http.get("/v1/models/gpt-4")) == (404, "gateway.model_not_found")
        tags = (await served.http.get("/api/tags")).json()["models"]
        assert [(one["model"], one["size"]) for one in tags] == [(MODEL, 9), (CHAT_MODEL, 0), (OCR_MODEL, 0)]
        assert len((await served.http.get("/api/ps")).json()["models"]) == 1
        served.town.warm = False
        assert (await served.http.get("/api/ps")).json() == {"models": []}
        for name in (MODEL, f"{MODEL}:latest", "mesh/auto"):
            shown = (await served.http.post("/api/show", json={"model": name})).json()
            assert (shown["license"], shown["capabilities"]) == ("Apache-2.0", ["embedding"])
        assert error_of(await served.http.post("/api/show", json={"name": "llama3"})) == (
            404,
            "gateway.model_not_found",
        )
        assert error_of(await served.http.post("/api/show", json={})) == (400, "gateway.bad_request")
        assert set((await served.http.get("/api/version")).json()) == {"version"}


async def test_ollamas_embed_cuts_unless_told_not_to(tmp_path):
    async with a_gateway(tmp_path) as served:
        long = "é" * 16384
        answer = await served.http.post("/api/embed", json={"model": MODEL, "input": [long, "b"]})
        body = answer.json()
        assert (answer.status_code, len(body["embeddings"]), body["prompt_eval_count"]) == (200, 2, 10)
        assert answer.headers["x-mesh-job"] == "J"
        manifest = served.jobs.asked[0].payload.manifest
        assert (manifest["cut"], len(manifest["texts"][0].encode()), manifest["texts"][1]) == (True, 16384, "b")
        whole = {"model": MODEL, "input": long, "truncate": False}
        assert error_of(await served.http.post("/api/embed", json=whole)) == (400, "input.text_too_long")
        await served.http.post("/api/embed", json={**whole, "input": "short"})
        assert "cut" not in served.jobs.asked[1].payload.manifest
        old = await served.http.post("/api/embeddings", json={"model": MODEL, "prompt": "a"})
        assert old.json() == {"embedding": [1.0, 0.0, 0.0, 0.0]}


async def test_the_port_and_key_are_kept_and_a_taken_port_is_an_error_that_names_its_owner(tmp_path):
    home, front = a_home(tmp_path), Front(Jobs().run, Town(), KeyBook())
    async with server.served(home, front) as first:
        with pytest.raises(PortTaken) as taken:
            async with server.served(home, front):
                raise AssertionError("two listen on one port")
        assert str(taken.value.facts["port"]) in first.url
        assert f"process {os.getpid()}" in taken.value.message
    assert home.gateway_file.stat().st_mode & 0o777 == 0o600
    async with server.served(home, front) as second:
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
                pinned = client.embeddings.with_raw_response.create(model="device:ben-box/auto", input="a")
                return answer.parse(), answer.headers, pinned.headers

        answer, headers, pinned = await asyncio.to_thread(ask)
        assert [one.embedding for one in answer.data] == [[1.0, 0.0, 0.0, 0.0]] * 2
        assert headers["x-mesh-device"] == pinned["x-mesh-device"] == worker.id
        assert int(headers["x-mesh-charge"]) > 0
