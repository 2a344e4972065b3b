"""`mesh share` and `mesh unshare` as people and scripts use them, beside a running agent."""

import asyncio
import json
import os
import subprocess

import pytest

from agents import a_town
from mesh.cli.programs import MESH
from upstreams import openai_models, serving

pytestmark = pytest.mark.anyio
LIMIT_S = 60.0


def vectors(asked):
    data = [{"index": place, "embedding": [1.0, 2.0]} for place, _ in enumerate(asked["input"])]
    return {"data": data, "usage": {"prompt_tokens": 3}}


async def test_an_engine_is_shared_listed_and_withdrawn_by_commands(tmp_path):
    with serving({"/v1/models": openai_models("any-embedder"), "/v1/embeddings": vectors}) as engine:
        async with a_town(tmp_path) as (_, ann, _):
            device = await ann.device("attic")
            device.agent.sharing.usual = ()

            def mesh(*arguments, stdin=""):
                return subprocess.run(
                    [*MESH, *arguments, "--json"],
                    env={**os.environ, "MESH_HOME": str(device.home.path)},
                    input=stdin,
                    capture_output=True,
                    text=True,
                    timeout=LIMIT_S,
                )

            async def told(*arguments, stdin="", code=0):
                done = await asyncio.to_thread(mesh, *arguments, stdin=stdin)
                assert done.returncode == code, done.stderr
                return json.loads(done.stdout)

            assert await told("share") == {"found": [], "shared": []}
            (shared,) = (await told("share", engine.url, "--key-stdin", stdin="sesame\n"))["shared"]
            assert (shared["url"], shared["kind"], shared["state"]) == (engine.url, "openai", "ready")
            assert [(one["model"], one["workload"]) for one in shared["models"]] == [("any-embedder", "embeddings")]
            assert "sesame" not in json.dumps(shared)
            assert {headers.get("authorization") for _, _, headers in engine.asked} == {"Bearer sesame"}
            assert [one["url"] for one in (await told("share", "list"))["shared"]] == [engine.url]
            refused = {
                ("share", "http://example.com"): (2, "share.bad_url"),
                ("share", "http://127.0.0.1:1"): (1, "share.no_engine"),
                ("share", engine.url, "--model", "other"): (1, "share.no_model"),
                ("share", engine.url, "--key-stdin"): (2, "share.no_key"),
                ("unshare", "http://127.0.0.1:1"): (1, "share.not_shared"),
            }
            for arguments, (code, name) in refused.items():
                assert (await told(*arguments, code=code))["error"]["code"] == name, arguments
            assert (await told("unshare", engine.url))["shared"] == []
            assert (await told("share", "list"))["shared"] == []
