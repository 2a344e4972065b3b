"""What the gateway costs over its engine called directly, beside a plain proxy of 30 lines and LiteLLM's.

One coordinator; Ann's device, whose own trivial engine answers (``own``), and a second person's device on the same
machine (``other``). Each is asked for one short text over HTTP, over and over, in turns with: the trivial engine behind
a bare web server (``engine``), a plain proxy before that server (``plain``: reads the JSON, checks a key, forwards),
and LiteLLM's proxy before it (``litellm``, where --litellm names an interpreter that has it). One connection gives the
added latency, 32 give requests per second; CPU is what all processes of that way use per request, the coordinator's and
the other device's included. Must reach: own p50 +3 ms and p99 +10 ms, other p50 +6 ms, 250 requests/s, 2 ms CPU.

Run: `python benchmarks/gateway.py [--rounds 5] [--litellm .dev/litellm/bin/python]`

Touches: processes, sockets, files (a temporary folder), clock.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import psutil

SERIAL = 200
PARALLEL = 32
PARALLEL_S = 3.0
KEY = "bench-key"
MODEL = "text-embedding-bench"
TEXT = "The ferry to the island leaves at nine in the morning and comes back before it is dark."
WIDTH = 384
START_S = 90.0
LITELLM_RATIO = 5.0
"""So many times less processor time per request than LiteLLM's proxy, in the same run."""


class Way(NamedTuple):
    """Something that answers /v1/embeddings: where, what to send, and whose CPU it takes."""

    name: str
    port: int
    request: bytes
    processes: tuple[psutil.Process, ...]


class Round(NamedTuple):
    """One round of one way: latencies of single requests (ms), requests/s and CPU ms per request at 32 connections."""

    latencies: list[float]
    per_s: float
    cpu_ms: float


def main() -> None:
    """Dispatch between the bench itself and the processes that it starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--litellm", type=Path, help="a Python that has litellm[proxy]")
    parser.add_argument("--role", choices=("bench", "engine", "plain", "agent"), default="bench")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.role == "bench":
        bench(arguments.rounds, arguments.litellm)
    elif arguments.role == "agent":
        asyncio.run(agent(arguments.home))
    else:
        serve_http(arguments.role, arguments.port)


def bench(rounds: int, litellm: Path | None) -> None:
    """Start everything, measure in turns, print a line of JSON per way."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        ways = started(Path(folder), stack, litellm)
        results: dict[str, list[Round]] = {way.name: [] for way in ways}
        for way in ways:
            asyncio.run(measured(way, serial=20, parallel_s=0.5))  # warm
        for _ in range(rounds):
            for way in ways:
                results[way.name].append(asyncio.run(measured(way, SERIAL, PARALLEL_S)))
        report(results)


def report(results: dict[str, list[Round]]) -> None:
    """Say what was measured, and what of it is added to the engine."""
    single = {name: [one for each in rounds for one in each.latencies] for name, rounds in results.items()}
    for name, rounds in results.items():
        p50, p99 = median(single[name]), quantiles(single[name], n=100)[98]
        line = {
            "way": name,
            "p50_ms": round(p50, 2),
            "p99_ms": round(p99, 2),
            "added_p50_ms": round(p50 - median(single["engine"]), 2),
            "added_p99_ms": round(p99 - quantiles(single["engine"], n=100)[98], 2),
            "requests_per_s": round(median(one.per_s for one in rounds)),
            "requests_per_s_range": [round(min(one.per_s for one in rounds)), round(max(one.per_s for one in rounds))],
            "cpu_ms_per_request": round(median(one.cpu_ms for one in rounds), 2),
            "load_average": round(os.getloadavg()[0], 1),
            "cores": os.cpu_count(),
        }
        print(json.dumps(line), flush=True)
    if "litellm" in results:
        ours, theirs = (median(one.cpu_ms for one in results[name]) for name in ("own", "litellm"))
        ratio = {"litellm_cpu_over_own": round(theirs / ours, 1), "target": LITELLM_RATIO}
        print(json.dumps({**ratio, "reached": theirs >= LITELLM_RATIO * ours}), flush=True)


# --- measuring --------------------------------------------------------------------------------------------------------


async def measured(way: Way, serial: int, parallel_s: float) -> Round:
    """Ask one way alone, then over 32 connections."""
    latencies = []
    async with connection(way.port) as (reader, writer):
        for _ in range(serial):
            started_s = time.perf_counter()
            await asked(reader, writer, way.request)
            latencies.append((time.perf_counter() - started_s) * 1000)
    before, started_s = cpu_s(way), time.perf_counter()
    counts = await asyncio.gather(*(keep_asking(way, started_s + parallel_s) for _ in range(PARALLEL)))
    took_s, count = time.perf_counter() - started_s, sum(counts)
    return Round(latencies, count / took_s, (cpu_s(way) - before) * 1000 / count)


async def keep_asking(way: Way, until_s: float) -> int:
    """One connection's requests, one after another."""
    count = 0
    async with connection(way.port) as (reader, writer):
        while time.perf_counter() < until_s:
            await asked(reader, writer, way.request)
            count += 1
    return count


@contextlib.asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """One connection that is kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    """One request and its whole answer; anything but 200 ends the bench."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head + await reader.read(500)
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))


async def one_answer(port: int, request: bytes) -> None:
    """One request on a connection of its own."""
    async with connection(port) as (reader, writer):
        await asked(reader, writer, request)


def cpu_s(way: Way) -> float:
    """CPU seconds that a way's processes have used, with their children."""
    used = 0.0
    for process in way.processes:
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            used += times.user + times.system
    return used


def request_to(port: int, key: str, model: str) -> bytes:
    """The bytes of one request."""
    body = json.dumps({"model": model, "input": TEXT, "encoding_format": "base64"})
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


# --- starting ---------------------------------------------------------------------------------------------------------


def starting(folder: Path, stack: contextlib.ExitStack) -> tuple[Any, Any]:
    """How a process is started that ends with ``stack``, and how its first line of JSON is read."""

    def run(*command: str, log: str, heard: bool = True, **more: Any) -> subprocess.Popen[str]:
        """``heard``: its first line is read; one that goes on printing would stand still once nobody reads it."""
        error = stack.enter_context((folder / log).open("w"))
        process = subprocess.Popen(command, stdout=subprocess.PIPE if heard else error, stderr=error, text=True, **more)
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        return process

    def told(process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            logs = "".join(log.read_text()[-1000:] for log in sorted(folder.glob("*.log")) if log.stat().st_size)
            raise SystemExit(f"A process ended before it was ready. The logs end with:\n{logs}")
        return dict(json.loads(line))

    return run, told


def started(folder: Path, stack: contextlib.ExitStack, litellm: Path | None) -> list[Way]:
    """Start all processes; the ways in the order in which they take turns."""
    run, told = starting(folder, stack)
    me = (sys.executable, __file__)
    engine = run(*me, "--role", "engine", log="engine.log")
    upstream = told(engine)["port"]
    plain = run(*me, "--role", "plain", "--port", str(upstream), log="plain.log")
    plain_port = told(plain)["port"]
    coordinator, ann, ben = network(folder, run, told)
    other = run(*me, "--role", "agent", "--home", str(ben), log="ben.log")
    second = told(other)
    asker = run(*me, "--role", "agent", "--home", str(ann), log="ann.log")
    first = told(asker)
    pinned = f"device:{second['device']}/auto"
    agent_process, others = psutil.Process(asker.pid), (psutil.Process(coordinator.pid), psutil.Process(other.pid))
    upstream_process = psutil.Process(engine.pid)
    here = first["port"], first["key"]
    ways = [
        Way("engine", upstream, request_to(upstream, KEY, MODEL), (upstream_process,)),
        Way("own", here[0], request_to(*here, f"device:{first['device']}/auto"), (agent_process, *others)),
        Way("other", here[0], request_to(*here, pinned), (agent_process, *others)),
        Way("plain", plain_port, request_to(plain_port, KEY, MODEL), (psutil.Process(plain.pid), upstream_process)),
    ]
    if litellm is not None:
        port, process = run_litellm(folder, litellm, upstream, run)
        ways.append(Way("litellm", port, request_to(port, KEY, MODEL), (process, upstream_process)))
    return ways


def network(folder: Path, run: Any, told: Any) -> tuple[subprocess.Popen[str], Path, Path]:
    """A coordinator, and the homes of two people's devices."""
    from mesh.agent.join import join
    from mesh.protocol import links
    from mesh.sdk import calls
    from mesh.sdk.client import Coordinator
    from mesh.sdk.home import CoordinatorRecord, Home, HomeRecord, SessionRecord

    serve = (sys.executable, "-m", "mesh.cli.main", "serve", "--data", str(folder / "data"), "--port", "0", "--json")
    coordinator = run(*serve, log="serve.log")
    claim = links.parse(told(coordinator)["claim"])

    def home_of(link: links.JoinLink, name: str) -> Home:
        record = CoordinatorRecord(link.url, link.coordinator, link.tls_sha256)
        with Coordinator(record) as client:
            claimed = client.do(calls.claim(link.secret, name))
        home = Home(folder / name.lower())
        home.ensure()
        home.write(HomeRecord(coordinator=record, session=SessionRecord(claimed.token, claimed.member, claimed.name)))
        return home

    ann = home_of(claim, "Ann")
    with Coordinator.of(ann) as client:
        made = client.do(calls.create_network("bench")).network
        ben = home_of(links.parse(client.do(calls.mint(made, calls.TokenTerms("member", role="member"))).link), "Ben")
    for home in (ann, ben):
        with Coordinator.of(home) as client:
            link = links.parse(client.do(calls.mint(made, calls.TokenTerms("device"))).link)
        join(home, link, home.path.name)
    return coordinator, ann.path, ben.path


def run_litellm(folder: Path, python: Path, upstream: int, run: Any) -> tuple[int, psutil.Process]:
    """LiteLLM's proxy with one worker, no database, no callbacks, no retries."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n- model_name: {MODEL}\n  litellm_params:\n    model: openai/{MODEL}\n"
        f"    api_base: http://127.0.0.1:{upstream}/v1\n    api_key: {KEY}\n"
        f"litellm_settings:\n  num_retries: 0\n  telemetry: false\n"
        f"general_settings:\n  master_key: {KEY}\n"
    )
    command = (str(python.parent / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port))
    process = run(*command, log="litellm.log", heard=False, env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"})
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        try:
            asyncio.run(one_answer(port, request_to(port, KEY, MODEL)))
            return port, psutil.Process(process.pid)
        except (OSError, asyncio.IncompleteReadError, AssertionError):  # not up yet, or up and not ready
            time.sleep(0.5)
    raise SystemExit("litellm did not start:\n" + (folder / "litellm.log").read_text()[-2000:])


def free_port() -> int:
    """A port that was free a moment ago."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- the processes ----------------------------------------------------------------------------------------------------


def serve_http(role: str, upstream: int) -> None:
    """The trivial engine behind a bare web server, or a plain proxy before it."""
    app = engine_app() if role == "engine" else plain_app(upstream)

    async def run() -> None:
        from mesh.agent.gateway.server import bind, serving

        listener = bind(0)
        assert listener is not None
        async with serving(listener, app):
            print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
            await asyncio.Event().wait()

    asyncio.run(run())


def engine_app() -> Any:
    """Answers every request with the same vector."""
    import base64

    from mesh.agent.gateway.app import answer
    from mesh.agent.gateway.calls import Reply

    vector = base64.b64encode(bytes(4 * WIDTH)).decode()
    usage = {"prompt_tokens": 20, "total_tokens": 20}
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    body = json.dumps({"object": "list", "data": data, "model": MODEL, "usage": usage}).encode()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            while (await receive()).get("more_body"):
                pass
            await answer(send, Reply(body))

    return app


def plain_app(upstream: int) -> Any:
    """The floor: what any proxy in Python must do. Checks a key, reads the JSON, forwards it, reads that JSON too."""
    import httpx2
    import msgspec

    from mesh.agent.gateway.app import answer
    from mesh.agent.gateway.calls import Reply

    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
    client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{upstream}", trust_env=False, limits=limits)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        assert (b"authorization", f"Bearer {KEY}".encode()) in scope["headers"]
        request = msgspec.json.decode(body)
        got = await client.post(scope["path"], content=msgspec.json.encode(request))
        await answer(send, Reply(msgspec.json.encode(msgspec.json.decode(got.content))))

    return app


async def agent(path: Path, engine: Any = None) -> None:
    """An agent whose engine is trivial (or the one given), until it is told to end."""
    import signal

    import structlog

    from mesh.agent.main import Ready, run
    from mesh.agent.options import Options
    from mesh.sdk.home import Home

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def ready(now: Ready) -> None:
        assert now.gateway is not None
        port = int(now.gateway.rpartition(":")[2])
        print(json.dumps({"device": now.device, "port": port, "key": now.key}), flush=True)

    @contextlib.asynccontextmanager
    async def engines(home: Home, lanes: int) -> AsyncIterator[Any]:
        yield engine or Trivial()

    await run(Home(path), ready, options=Options(open_engines=engines), stop=stop)


class Trivial:
    """An engine that knows every answer."""

    def __init__(self) -> None:
        from mesh.protocol.values import ModelOffer
        from mesh.workloads.known import workload_named

        model = workload_named("embeddings").default_model
        self.on_measured: Any = None
        self._offer = ModelOffer("embeddings", model, 1e6, overhead_s=0.0001, warm=True, digest="trivial")

    async def run(self, workload: str, model: str, payload: Any, **how: Any) -> Any:
        """A vector of ones per text."""
        from mesh.workloads.contract import Payload

        count = len(payload.manifest["texts"])
        manifest = {"model": model, "dim": WIDTH, "count": count, "tokens": 20 * count}
        return Payload(manifest, (b"\0\0\x80\x3f" * WIDTH * count,))

    async def prepare(self, workload: str, model: str, say: Any = None) -> None:
        """Nothing to do."""

    def assume(self, workload: str, model: str) -> None:
        """It does embeddings and nothing else. Raises UnknownModel."""
        from mesh.workloads.catalogue import UnknownModel

        raise UnknownModel(workload=workload, model=model)

    def measured(self, workload: str, model: str) -> bool:
        """It is."""
        return True

    async def measure(self, workload: str, model: str) -> Any:
        """As it is."""
        return self._offer

    def offer(self, workload: str, model: str) -> Any:
        """As it is."""
        return self._offer

    def recall(self, offer: Any) -> None:
        """Nothing to remember."""

    def expected_s(self, workload: str, model: str, units: int) -> float:
        """At once."""
        return 0.0001

    def unload(self, workload: str, model: str) -> None:
        """It takes no room."""

    def limit_others(self, share: float) -> None:
        """There is enough for all."""

    def processes(self) -> dict[str, int]:
        """None of its own."""
        return {}

    def warm(self) -> tuple[str, ...]:
        """Always."""
        return (self._offer.model,)

    def isolation(self, workload: str, model: str) -> None:
        """It does nothing."""
        return


if __name__ == "__main__":
    main()
