"""What the mesh adds to a warm embeddings job over calling the same engine child directly: direct and relayed.

A coordinator with its relay, and two people's devices, each an agent process of its own on this machine. The asking
process times whole jobs (permit from the coordinator, signed papers, the other device's engine, receipt on disk, result
checked); in turns with that, the worker's process times the same text given straight to the very same engine child. The
added latency is the difference of the medians. Must reach: p50 of at most 3 ms direct and 6 ms relayed.

With ``--own`` both devices are one person's: certificates alone, no permit.

Run: `python benchmarks/job_latency.py [--jobs 300] [--path both|direct|relayed] [--own]`

Touches: processes, sockets, files (a temporary folder; models under .dev/models), clock.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles

import structlog

from mesh.agent.asking.asked import Ask
from mesh.agent.join import join
from mesh.agent.main import Agent
from mesh.agent.options import Options
from mesh.ids import DeviceId
from mesh.protocol import links
from mesh.protocol.values import Routing
from mesh.sdk import calls
from mesh.sdk.client import Coordinator
from mesh.sdk.home import CoordinatorRecord, Home, HomeRecord, SessionRecord
from mesh.workloads.embeddings import payload_of
from mesh.workloads.known import workload_named

MODELS = Path(__file__).resolve().parents[1] / ".dev" / "models"
TEXT = "The ferry to the island leaves at nine in the morning and comes back before it is dark."
WARM_UP = 20
TARGET_MS = {"direct": 3.0, "relayed": 6.0}


def main() -> None:
    """Dispatch between the bench itself and the processes that it starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--path", choices=("both", "direct", "relayed"), default="both")
    parser.add_argument("--role", choices=("bench", "worker", "asker"), default="bench")
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--to", default="")
    arguments = parser.parse_args()
    if arguments.role == "bench":
        for path in ("direct", "relayed") if arguments.path == "both" else (arguments.path,):
            bench(path, arguments.jobs, own=arguments.own)
    else:
        asyncio.run(play(arguments.role, arguments.home, DeviceId(arguments.to), direct=arguments.path == "direct"))


def bench(path: str, jobs: int, *, own: bool) -> None:
    """One network on one path: measure in turns, print a line of JSON."""
    with tempfile.TemporaryDirectory() as folder, Programs() as programs:
        ask, work = programs.network(Path(folder), path, own=own)
        whole, direct = [], []
        for number in range(WARM_UP + jobs):
            job_ms, took = ask.turn()
            engine_ms, _ = work.turn()
            assert took == path, f"the job travelled {took}"
            if number >= WARM_UP:
                whole.append(job_ms)
                direct.append(engine_ms)
        added = median(whole) - median(direct)
        print(
            json.dumps(
                {
                    "path": path,
                    "own": own,
                    "jobs": jobs,
                    "job_p50_ms": round(median(whole), 2),
                    "job_p99_ms": round(quantiles(whole, n=100)[98], 2),
                    "engine_p50_ms": round(median(direct), 2),
                    "engine_p99_ms": round(quantiles(direct, n=100)[98], 2),
                    "added_p50_ms": round(added, 2),
                    "target_ms": TARGET_MS[path],
                    "reached": added <= TARGET_MS[path],
                    "load_average": os.getloadavg()[0],
                    "cores": os.cpu_count(),
                }
            ),
            flush=True,
        )


class Role:
    """A process that takes a turn for every line it is sent."""

    def __init__(self, name: str, home: Path, to: str, path: str) -> None:
        command = [sys.executable, sys.argv[0], "--role", name, "--home", str(home), "--to", to, "--path", path]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def turn(self) -> tuple[float, str]:
        """Milliseconds of one job, and its path."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        seconds, path = self.process.stdout.readline().split()
        return float(seconds) * 1000, path


class Programs:
    """The coordinator and the two roles; leaving stops them."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def network(self, folder: Path, path: str, *, own: bool) -> tuple[Role, Role]:
        """Start everything: Ann asks, and Ben's device works, or a second one of hers."""
        serve = [sys.executable, "-m", "mesh.cli.main", "serve", "--data", str(folder / "data"), "--port", "0"]
        with (folder / "serve.log").open("w") as log:
            coordinator = subprocess.Popen([*serve, "--json"], stdout=subprocess.PIPE, stderr=log, text=True)
        self.processes.append(coordinator)
        assert coordinator.stdout is not None
        claim = links.parse(json.loads(coordinator.stdout.readline())["claim"])
        ann = sign_in(folder / "ann", claim, "Ann")
        with Coordinator.of(ann) as client:
            network = client.do(calls.create_network("bench")).network
            terms = calls.TokenTerms("member", role="member")
            invite = links.parse(client.do(calls.mint(network, terms)).link)
        ben = home_of(folder / "second", ann.read()) if own else sign_in(folder / "ben", invite, "Ben")
        for home in (ann, ben):
            with Coordinator.of(home) as client:
                device = links.parse(client.do(calls.mint(network, calls.TokenTerms("device"))).link)
            join(home, device, home.path.name)
        device_record = ben.read().device
        assert device_record is not None
        worker = Role("worker", ben.path, device_record.id, path)
        asker = Role("asker", ann.path, device_record.id, path)
        self.processes += [worker.process, asker.process]
        return asker, worker

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *problem: object) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(20)


def sign_in(path: Path, link: links.JoinLink, name: str) -> Home:
    """A home in which a person is signed in."""
    record = CoordinatorRecord(link.url, link.coordinator, link.tls_sha256)
    with Coordinator(record) as client:
        claimed = client.do(calls.claim(link.secret, name))
    session = SessionRecord(claimed.token, claimed.member, claimed.name)
    return home_of(path, HomeRecord(coordinator=record, session=session))


def home_of(path: Path, record: HomeRecord) -> Home:
    """A home that knows this, with the models that all benchmarks share."""
    home = Home(path)
    MODELS.mkdir(parents=True, exist_ok=True)
    home.ensure()
    home.models.symlink_to(MODELS)
    home.write(record)
    return home


async def play(role: str, path: Path, to: DeviceId, *, direct: bool) -> None:
    """Be one agent, and time one turn for every line on stdin."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    workload = workload_named("embeddings")
    ask = Ask(workload, payload_of([TEXT]), routing=Routing("device", to))
    async with running(Home(path), Options(work=role == "worker", gateway=False, direct=direct)) as agent:
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            started = time.perf_counter()
            if role == "asker":
                took = (await agent.parts.requester.run(ask)).path
            else:
                model = workload.default_model
                await agent.engines.run("embeddings", model, ask.payload, limit_s=60.0)
                took = "engine"
            print(time.perf_counter() - started, took, flush=True)


@asynccontextmanager
async def running(home: Home, options: Options) -> AsyncIterator[Agent]:
    """An agent that runs inside the block, ready for jobs."""
    stop, ready = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        agent = await Agent.build(home, home.read(), options, stack)
        group.create_task(agent.serve(home, lambda _: ready.set(), stop))
        try:
            await ready.wait()
            yield agent
        finally:
            stop.set()


if __name__ == "__main__":
    main()
