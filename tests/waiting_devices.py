"""A network of agents that really talk to each other, with engines that only wait: devices of any speed on two cores.

The coordinator and every device are processes of their own; the devices reach each other over QUIC on loopback. A
device's engine has one slot and takes as long for a job as it is told to. Used by the benchmarks of dispatch.

Touches: processes, sockets, files (a temporary folder), clock.
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import structlog

from mesh.agent.asking.asked import Ask
from mesh.agent.join import join
from mesh.agent.main import Agent
from mesh.agent.options import Options
from mesh.errors import MeshError
from mesh.protocol import links
from mesh.protocol.values import ModelOffer
from mesh.sdk import calls
from mesh.sdk.client import Coordinator
from mesh.sdk.home import CoordinatorRecord, Home, HomeRecord, SessionRecord
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import payload_of, texts_of
from mesh.workloads.known import workload_named

EMBEDDINGS = workload_named("embeddings")
MODEL = EMBEDDINGS.default_model
WIDTH = 4
TEXT = "The ferry to the island leaves at nine in the morning and comes back before it is dark."


class WaitingEngine:
    """One slot; a job takes ``service_s``, whatever it is."""

    def __init__(self, service_s: float) -> None:
        self.service_s = service_s
        self.on_measured = None
        self._slot = asyncio.Lock()

    async def run(self, workload: str, model: str, payload: Payload, **_: Any) -> Payload:
        """Wait for the slot, then for the time that the job takes."""
        EMBEDDINGS.check(payload)
        async with self._slot:
            await asyncio.sleep(self.service_s)
        count = len(texts_of(payload))
        manifest = {"model": model, "dim": WIDTH, "count": count, "tokens": count}
        return Payload(manifest, (b"\0\0\x80\x3f\0\0\0\0\0\0\0\0\0\0\0\0" * count,))

    def expected_s(self, workload: str, model: str, units: int) -> float:
        """The time that a job takes."""
        return self.service_s

    async def prepare(self, workload: str, model: str, say: Any = None) -> None:
        """Nothing is loaded."""

    async def measure(self, workload: str, model: str) -> ModelOffer:
        """What was said is what it is."""
        return self.offer(workload, model)

    def offer(self, workload: str, model: str) -> ModelOffer:
        """The time that a job takes, as a rate for jobs of one text."""
        return ModelOffer("embeddings", MODEL, len(TEXT) / self.service_s, digest="made-up", warm=True)

    def assume(self, workload: str, model: str) -> None:
        """Everything is here."""

    def measured(self, workload: str, model: str) -> bool:
        """What was said is known."""
        return workload == EMBEDDINGS.name

    def unload(self, workload: str, model: str) -> None:
        """Nothing was loaded."""

    def recall(self, offer: ModelOffer) -> None:
        """Nothing is remembered."""

    def limit_others(self, share: float) -> None:
        """One slot cannot be shared."""

    def processes(self) -> dict[str, int]:
        """None."""
        return {}

    def warm(self) -> tuple[str, ...]:
        """Its one model."""
        return (MODEL,)

    def isolation(self, workload: str, model: str) -> None:
        """Nothing runs that could be confined."""


class Device:
    """An agent process. One that asks takes orders, a line each."""

    def __init__(self, home: Home, service_s: float) -> None:
        command = [sys.executable, __file__, "--home", str(home.path), "--service", str(service_s)]
        with (home.path / "bench.log").open("w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self.id = self.process.stdout.readline().strip()
        assert self.id, f"the device did not start: {(home.path / 'bench.log').read_text()[-2000:]}"

    def order(self, what: str, jobs: int, **terms: Any) -> dict[str, Any]:
        """Have jobs done: a ``bag`` at once, ``one`` by one, or ``open``: at a rate, whatever becomes of them.

        Answers seconds, jobs by device, codes of those that failed, how many of these said when to ask again, and the
        seconds that each good one took.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"what": what, "jobs": jobs, **terms}) + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def memory_mb(self) -> float:
        """What it holds in memory."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    def cpu_s(self) -> float:
        """The processor time that it has used."""
        return _cpu_s(self.process.pid)

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Stop it for good."""
        self.thaw()
        self.process.terminate()
        self.process.wait(20)


class Devices:
    """One person's network; leaving stops everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Any] = []
        serve = [sys.executable, "-m", "mesh.cli.main", "serve", "--data", str(folder / "data"), "--port", "0"]
        with (folder / "serve.log").open("w") as log:
            self._served = subprocess.Popen([*serve, "--json"], stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._served.stdout is not None
        claim = links.parse(json.loads(self._served.stdout.readline())["claim"])
        self._ann = sign_in(folder / "ann", claim, "Ann")
        with Coordinator.of(self._ann) as client:
            self._network = client.do(calls.create_network("bench")).network
            invite = client.do(calls.mint(self._network, calls.TokenTerms("member", role="member"))).link
        self._ben = sign_in(folder / "ben", links.parse(invite), "Ben")

    def coordinator_cpu_s(self) -> float:
        """The processor time that the coordinator and its relay have used."""
        return _cpu_s(self._served.pid)

    def asker(self, name: str) -> Device:
        """A device of Ann's that only asks."""
        return self._device(self._ann, name, 0.0)

    def worker(self, name: str, service_s: float) -> Device:
        """A device of Ben's, whose jobs take so long."""
        return self._device(self._ben, name, service_s)

    def _device(self, person: Home, name: str, service_s: float) -> Device:
        home = Home(self._folder / f"device-{name}")
        home.ensure()
        home.write(person.read())
        with Coordinator.of(person) as client:
            link = links.parse(client.do(calls.mint(self._network, calls.TokenTerms("device"))).link)
        join(home, link, name)
        device = Device(home, service_s)
        self._running.append(device)
        return device

    def __enter__(self) -> "Devices":
        return self

    def __exit__(self, *problem: object) -> None:
        for device in reversed(self._running):
            device.end()
        self._served.terminate()
        self._served.wait(20)


def _cpu_s(pid: int) -> float:
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(times.user + times.system for times in (one.cpu_times() for one in family))


def sign_in(path: Path, link: links.JoinLink, name: str) -> Home:
    """A home in which a person is signed in."""
    record = CoordinatorRecord(link.url, link.coordinator, link.tls_sha256)
    with Coordinator(record) as client:
        claimed = client.do(calls.claim(link.secret, name))
    home = Home(path)
    home.ensure()
    home.write(HomeRecord(coordinator=record, session=SessionRecord(claimed.token, claimed.member, claimed.name)))
    return home


def gini(counts: list[float]) -> float:
    """How unequal these are: 0 for all alike."""
    ordered, total = sorted(counts), sum(counts)
    ranked = sum((place + 1) * count for place, count in enumerate(ordered))
    return 2 * ranked / (len(ordered) * total) - (len(ordered) + 1) / len(ordered) if total else 0.0


async def play(path: Path, service_s: float) -> None:
    """Be one device until stdin ends; do what it says."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    @asynccontextmanager
    async def engines(home: Home, lanes: int) -> AsyncIterator[Any]:
        yield WaitingEngine(service_s)

    options = Options(work=service_s > 0, gateway=False, open_engines=engines)
    stop, ready = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        home = Home(path)
        agent = await Agent.build(home, home.read(), options, stack)
        group.create_task(agent.serve(home, lambda _: ready.set(), stop))
        await ready.wait()
        print(agent.parts.membership.me, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await obey(agent, **json.loads(line))), flush=True)
        stop.set()


async def obey(agent: Agent, what: str, jobs: int, limit_s: float = 600.0, rate: float = 1.0) -> dict[str, Any]:
    """Ask for jobs and say how they went."""
    devices: dict[str, int] = {}
    failed: dict[str, int] = {}
    hints, seconds = 0, []

    async def one() -> None:
        nonlocal hints
        began = time.perf_counter()
        try:
            ask = Ask(EMBEDDINGS, payload_of([TEXT]), limit_s=limit_s)
            device = (await agent.parts.requester.run(ask)).device
        except MeshError as error:
            failed[error.wire_code] = failed.get(error.wire_code, 0) + 1
            hints += isinstance(error.facts.get("retry_after_s"), int | float)
        else:
            devices[device] = devices.get(device, 0) + 1
            seconds.append(time.perf_counter() - began)

    started = time.perf_counter()
    if what == "bag":
        await asyncio.gather(*(one() for _ in range(jobs)))
    elif what == "open":
        draw = random.Random(jobs)
        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                await asyncio.sleep(draw.expovariate(rate))
                group.create_task(one())
    else:
        for _ in range(jobs):
            await one()
    took = time.perf_counter() - started
    return {"seconds": took, "devices": devices, "failed": failed, "hints": hints, "each": sorted(seconds)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--service", type=float, default=0.0)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    asyncio.run(play(arguments.home, arguments.service))
