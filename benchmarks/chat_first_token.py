"""What the mesh adds to the first token of a chat, and what each streamed token costs the processors on its way.

Two people's devices, each an agent process of its own on this machine (`job_latency.py` makes them). In turns the
asking process streams a chat from the other's device, and the worker's process has the very same engine answer the same
question directly. The added time is the difference of the medians of the first tokens. The cost of a token is the
processor time of both agents (the engine's process is not in it) over a stream, by its tokens. Must reach: first token
at most 15 ms after the engine's own, 50 µs of processor time per token.

Run: `python benchmarks/chat_first_token.py [--jobs 15] [--tokens 100] [--path direct|relayed]`

Touches: processes, sockets, files (a temporary folder; models under .dev/models), clock.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import structlog
from job_latency import Programs, running

from mesh.agent.asking.asked import Ask
from mesh.agent.asking.streaming import streamed
from mesh.agent.options import Options
from mesh.ids import DeviceId
from mesh.protocol.values import Routing
from mesh.sdk.home import Home
from mesh.workloads.chat import payload_of
from mesh.workloads.contract import Listener, Outlet
from mesh.workloads.known import workload_named

QUESTION = "Tell a long story about a harbour."
WARM_UP = 2
FIRST_MS, TOKEN_US = 15.0, 50.0


def main() -> None:
    """Dispatch between the bench itself and the processes that it starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--path", choices=("direct", "relayed"), default="direct")
    parser.add_argument("--role", choices=("bench", "worker", "asker"), default="bench")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--to", default="")
    arguments = parser.parse_args()
    os.environ.setdefault("MESH_BENCH_TOKENS", str(arguments.tokens))
    if arguments.role == "bench":
        bench(arguments.path, arguments.jobs)
    else:
        asyncio.run(play(arguments.role, arguments.home, DeviceId(arguments.to), direct=arguments.path == "direct"))


def bench(path: str, jobs: int) -> None:
    """Measure in turns, print a line of JSON."""
    with tempfile.TemporaryDirectory() as folder, Programs() as programs:
        ask, work = programs.network(Path(folder), path, own=False)
        whole, direct, token_us = [], [], []
        for number in range(WARM_UP + jobs):
            _, before = work.turn()  # the direct turn of this round: its figures, and the processor time by its end
            first_ms, said = ask.turn()
            _, after = work.turn()
            engine, worker_began = (json.loads(before)[key] for key in ("first_s", "ended_cpu_s"))
            worker_cpu_s = json.loads(after)["began_cpu_s"] - worker_began
            asked = json.loads(said)
            if number >= WARM_UP:
                whole.append(first_ms)
                direct.append(engine * 1000)
                token_us.append((worker_cpu_s + asked["cpu_s"]) / asked["tokens"] * 1e6)
        added = median(whole) - median(direct)
        value = {
            "path": path,
            "jobs": jobs,
            "first_token_p50_ms": round(median(whole), 2),
            "engine_first_token_p50_ms": round(median(direct), 2),
            "added_p50_ms": round(added, 2),
            "target_ms": FIRST_MS,
            "cpu_per_token_us": round(median(token_us), 1),
            "target_us": TOKEN_US,
            "reached": added <= FIRST_MS and median(token_us) <= TOKEN_US,
            "load_average": os.getloadavg()[0],
            "cores": os.cpu_count(),
        }
        print(json.dumps(value), flush=True)


class Times:
    """When each saying of an engine came."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.outlet = Outlet(self._put)

    def _put(self, content: bytes) -> None:
        self.times.append(time.perf_counter())
        self.outlet.took(len(content))


async def play(role: str, path: Path, to: DeviceId, *, direct: bool) -> None:
    """Be one agent, and do one turn for every line on stdin."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    workload = workload_named("chat")
    tokens = int(os.environ["MESH_BENCH_TOKENS"])
    payload = payload_of([("user", QUESTION)], max_tokens=tokens, temperature=0.0)
    ask = Ask(workload, payload, routing=Routing("device", to))
    async with running(Home(path), Options(work=role == "worker", gateway=False, direct=direct)) as agent:
        if role == "worker":
            await agent.engines.prepare("chat", workload.default_model)
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            began, cpu_s = time.perf_counter(), time.process_time()
            first_s, said = None, 0
            if role == "asker":
                async with streamed(agent.parts.requester.run, ask) as answer:
                    async for _ in answer:
                        first_s = first_s or time.perf_counter() - began
                said = int(answer.result.payload.manifest["tokens"])
            else:
                come = Times()
                listener = Listener(outlet=come.outlet)
                await agent.engines.run("chat", workload.default_model, payload, limit_s=120.0, listener=listener)
                first_s = come.times[0] - began
            ended = time.process_time()
            figures = {"first_s": first_s, "tokens": said, "cpu_s": ended - cpu_s}
            line = json.dumps({**figures, "began_cpu_s": cpu_s, "ended_cpu_s": ended}, separators=(",", ":"))
            print(first_s, line, flush=True)


if __name__ == "__main__":
    main()
