"""How many short texts a second one device embeds for 64 clients at once, against one session of two threads alone.

Clients send one text of 20 tokens each and wait for its vector. The peer is the plain way to serve them: one
onnxruntime session of two threads, a text at a time. Ours is the engine's process with its queue and lanes, pipes
included. Both run in this one run, in turns, so that other work on the machine hits both. Must reach 1.8 times the
peer.

Run: `python benchmarks/embeddings_batching.py [--seconds 6] [--rounds 3] [--lanes 2]`

Touches: processes, files (model files under .dev/models), clock, environment.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
import structlog
from tokenizers import Tokenizer

from mesh.agent.engines.own import Engines
from mesh.workloads.catalogue import BUILTIN, EMBEDDINGS_DEFAULT
from mesh.workloads.embeddings import Embeddings, payload_of, texts_of
from mesh.workloads.files import ModelFiles

FOLDER = Path(__file__).resolve().parents[1] / ".dev" / "models"
CLIENTS = 64
TARGET = 1.8

Embed = Callable[[str], Awaitable[object]]


class PlainSession:
    """The peer: tokenise, run, pool, one text at a time, two threads inside the session."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        """Load both files."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 2
        self._session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._executor = ThreadPoolExecutor(1)

    async def embed(self, text: str) -> object:
        """Embed one text after those that came before it."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._now, text)

    def _now(self, text: str) -> bytes:
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean = self._session.run(["last_hidden_state"], inputs)[0][0].mean(axis=0)
        return bytes((mean / np.linalg.norm(mean)).tobytes())


async def measure(embed: Embed, texts: list[str], seconds: float) -> dict[str, float]:
    """Let the clients ask for so long: texts a second, and the median and 99th percentile of their waits."""
    waits: list[float] = []
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        while time.perf_counter() < until:
            started = time.perf_counter()
            await embed(texts[number % len(texts)])
            waits.append(time.perf_counter() - started)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as clients:
        for number in range(CLIENTS):
            clients.create_task(client(number))
    waits.sort()
    return {
        "texts_per_s": round(len(waits) / (time.perf_counter() - started), 1),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
    }


async def compare(seconds: float, rounds: int, lanes: int) -> dict[str, object]:
    """Run both in turns and take the medians."""
    files = ModelFiles(FOLDER, os.environ)
    paths = await files.ensure(BUILTIN.entry("embeddings", EMBEDDINGS_DEFAULT))
    texts = texts_of(Embeddings().rehearsal(CLIENTS))
    plain = PlainSession(paths["model.onnx"], paths["tokenizer.json"])
    results: dict[str, list[dict[str, float]]] = {"plain": [], "mesh": []}
    async with Engines(files, lanes=lanes) as engines:

        async def through_mesh(text: str) -> object:
            return await engines.run("embeddings", EMBEDDINGS_DEFAULT, payload_of([text]), limit_s=60)

        for embed in (plain.embed, through_mesh):
            await measure(embed, texts, 1.0)
        for _ in range(rounds):
            results["plain"].append(await measure(plain.embed, texts, seconds))
            results["mesh"].append(await measure(through_mesh, texts, seconds))
    best = {name: median(one["texts_per_s"] for one in rows) for name, rows in results.items()}
    ratio = best["mesh"] / best["plain"]
    return {
        "question": "texts of 20 tokens a second for 64 clients",
        "conditions": {
            "cores": os.cpu_count(),
            "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
            "machine": platform.machine(),
            "lanes": lanes,
            "onnxruntime": ort.__version__,
        },
        "rounds": results,
        "median": best,
        "ratio": round(ratio, 2),
        "target": TARGET,
        "reached": ratio >= TARGET,
    }


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lanes", type=int, default=2)
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    print(json.dumps(asyncio.run(compare(options.seconds, options.rounds, options.lanes)), indent=2))


if __name__ == "__main__":
    main()
