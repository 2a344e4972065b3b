"""How long a device waits for its permit, over a real link on loopback, each permit durable; and what placing costs.

A coordinator serves in this process; one device asks over a WebSocket, others are only known to it. First one request
at a time, then 32 at once. Placing alone is measured beside it, for 3, 100 and 1,000 devices, without I/O.

Run: `python benchmarks/permits.py [--requests 300]`

Touches: sockets, files (a database in a temporary folder), clock.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import uvicorn

from coordinators import LAPTOP, NO_MODEL, Bench, Joined, a_coordinator, a_job, an_id
from mesh.coordinator import serving
from mesh.ids import DeviceId, MemberId
from mesh.jobs.placement import Ask, DeviceFacts, place
from mesh.protocol import link
from mesh.protocol.values import Condition
from mesh.transport.clock import CoordinatorClock
from mesh.transport.link import LinkClient, LinkTarget, Up

AT_ONCE = 32


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds at p50, p95 and p99."""
    cuts = statistics.quantiles(seconds, n=100)
    return {f"p{at}_ms": round(cuts[at - 1] * 1000, 3) for at in (50, 95, 99)}


def placing(devices: int) -> dict[str, float]:
    """One placement among so many devices."""
    facts = [
        DeviceFacts(DeviceId(an_id()), "0" * 64, MemberId(f"m{at % 7}"), "member", LAPTOP, Condition())
        for at in range(devices)
    ]
    ask = Ask(a_job(), MemberId("asker"), "member", None, 1110)
    took = []
    for _ in range(100):
        began = time.perf_counter()
        place(ask, facts, draw=12345)
        took.append(time.perf_counter() - began)
    return percentiles(took)


class Asker:
    """A device's end of a real link."""

    def __init__(self, client: LinkClient) -> None:
        self.client = client
        self.up = asyncio.Event()
        self.waiting: dict[str, asyncio.Future[Any]] = {}

    def hear(self, event: Any) -> None:
        """Resolve whoever waits for an answer."""
        if isinstance(event, Up):
            self.up.set()
        elif isinstance(event, link.Placed | link.Refused):
            self.waiting.pop(event.request).set_result(event)

    async def ask(self) -> float:
        """Seconds from a permit request to the permit."""
        request, began = an_id(), time.perf_counter()
        self.waiting[request] = asyncio.get_running_loop().create_future()
        answer = self.waiting[request]
        await self.client.send(link.PermitRequest(request, an_id(), a_job()))  # type: ignore[arg-type]
        placed = await answer
        assert isinstance(placed, link.Placed) and placed.permit is not None
        return time.perf_counter() - began


async def permits(folder: Path, requests: int) -> dict[str, Any]:
    """The round trips."""
    async with a_coordinator(folder) as bench:
        laptop = await _people(bench)
        listening = serving.bind("127.0.0.1", 0)
        server = serving.server(bench.coordinator.app, None)
        served = asyncio.create_task(server.serve(sockets=[listening]))
        await server.listening.wait()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        object.__setattr__(bench.coordinator.parts, "site", bench.coordinator.parts.site._replace(url=url))
        target = LinkTarget(url, bench.claim_link.coordinator, None, laptop.id)  # type: ignore[union-attr]
        asker = Asker(LinkClient(target, laptop.seed, CoordinatorClock(), Condition))
        linked = asyncio.create_task(asker.client.run(asker.hear))
        await asker.up.wait()
        for _ in range(20):
            await asker.ask()
        alone = [await asker.ask() for _ in range(requests)]
        began, together = time.perf_counter(), []
        for _ in range(0, requests, AT_ONCE):
            together += await asyncio.gather(*(asker.ask() for _ in range(AT_ONCE)))
        rate = len(together) / (time.perf_counter() - began)
        linked.cancel()
        server.should_exit = True
        await served
        return {"alone": percentiles(alone), "together": {**percentiles(together), "per_s": round(rate)}}


async def _people(bench: Bench) -> Joined:
    ann = await bench.claim()
    network = await bench.network(ann)
    bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
    for name in ("server", "second"):
        await bench.linked(await bench.device(network, bob, name))
    return await bench.device(network, ann, "laptop", NO_MODEL)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    arguments = parser.parse_args()
    conditions = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "uvicorn": uvicorn.__version__,
    }
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(permits(Path(folder), arguments.requests))
    placed = {f"place_{count}": placing(count) for count in (3, 100, 1000)}
    print(json.dumps({"conditions": conditions, "permits": measured, **placed}, indent=2))


if __name__ == "__main__":
    main()
