"""What a streamed token costs the processors on its way from an engine to a program, through the gateway.

One coordinator; Ann's device and a second person's, both with an engine that says so many words a second, joined as a
real engine's process joins them (``workloads.breath``). A program streams chats from Ann's gateway, answered by her own
device (``own``) and by the other one (``other``). The cost of a token is the processor time of both agents and the
coordinator from the first word to the last, less what they use when nothing is asked, by the words. Must reach: 50 µs a
token through the gateway of the own device, at a pace where it matters to a processor (1,000 a second); people read 20
pieces a second at most, so at the pace of a small model a token's share of a piece is larger, and is shown.

Run: `python benchmarks/gateway_tokens.py [--seconds 8]`

Touches: processes, sockets, files (a temporary folder), clock.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from gateway import Trivial, agent, connection, network, starting

RATES = (30, 100, 1000)
TARGET_US = 50.0
TARGET_RATE = 1000
WORD = b"word "


def main() -> None:
    """Dispatch between the bench itself and the agents that it starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--role", choices=("bench", "agent"), default="bench")
    parser.add_argument("--home", type=Path)
    arguments = parser.parse_args()
    if arguments.role == "agent":
        asyncio.run(agent(arguments.home, Speaking()))
    else:
        bench(arguments.seconds)


def bench(seconds: float) -> None:
    """Start everything, stream at every pace, print a line of JSON per way and pace."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        run, told = starting(folder, stack)
        coordinator, ann, ben = network(folder, run, told)
        me = (sys.executable, __file__, "--role", "agent", "--home")
        other = run(*me, str(ben), log="ben.log")
        second = told(other)
        asker = run(*me, str(ann), log="ann.log")
        first = told(asker)
        processes = [psutil.Process(one.pid) for one in (coordinator, other, asker)]
        asyncio.run(streamed(first, first["device"], 30, 1.0, []))  # warm
        before = cpu_s(processes)
        time.sleep(seconds)
        idle = (cpu_s(processes) - before) / seconds
        for way, device in (("own", first["device"]), ("other", second["device"])):
            asyncio.run(streamed(first, device, 30, 1.0, []))  # warm
            for rate in RATES:
                words, pieces, used_s = asyncio.run(streamed(first, device, rate, seconds, processes))
                report(way, rate, words, pieces, max(0.0, used_s - idle * words / rate))


def report(way: str, rate: int, words: int, pieces: int, used_s: float) -> None:
    """One way at one pace."""
    cost_us = used_s / words * 1e6
    line: dict[str, Any] = {"way": way, "tokens_per_s": rate, "tokens": words, "pieces": pieces}
    line |= {"cpu_us_per_token": round(cost_us, 1), "cpu_us_per_piece": round(used_s / pieces * 1e6)}
    if way == "own" and rate == TARGET_RATE:
        line |= {"target_us": TARGET_US, "reached": cost_us <= TARGET_US}
    print(json.dumps(line | {"load_average": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}), flush=True)


async def streamed(
    to: dict[str, Any], device: str, rate: int, seconds: float, processes: list[psutil.Process]
) -> tuple[int, int, float]:
    """Stream one chat: the words and pieces that came after the first one, and the CPU seconds they took."""
    tokens = int(rate * seconds)
    asked = {"model": f"device:{device}/auto", "stream": True, "max_tokens": tokens, "seed": rate}
    body = json.dumps({**asked, "messages": [{"role": "user", "content": "Say something."}]})
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{to['port']}\r\nAuthorization: Bearer {to['key']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    words = pieces = 0
    before = after = 0.0
    async with connection(to["port"]) as (reader, writer):
        writer.write((head + body).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer + await reader.read(500)
        async for line in reader:
            if WORD not in line:
                assert b'"error"' not in line, line
                if b"[DONE]" in line:
                    break
                continue
            if before:
                words, pieces, after = words + line.count(WORD), pieces + 1, cpu_s(processes)
            else:
                before = cpu_s(processes)
    assert words, "nothing was streamed"
    return words, pieces, after - before


def cpu_s(processes: list[psutil.Process]) -> float:
    """CPU seconds that these processes have used, by themselves."""
    times = [process.cpu_times() for process in processes]
    return sum(one.user + one.system for one in times) or 1e-9


class Speaking(Trivial):
    """An engine that says one word over and over, at the pace that the request's seed names."""

    def __init__(self) -> None:
        super().__init__()
        from mesh.protocol.values import ModelOffer
        from mesh.workloads.known import workload_named

        model = workload_named("chat").default_model
        self._offer = ModelOffer("chat", model, 1e6, overhead_s=0.0001, warm=True, digest="trivial")

    async def run(self, workload: str, model: str, payload: Any, **how: Any) -> Any:
        """The words that are due, twenty times a second: as a real engine's process joins them."""
        from mesh.workloads.breath import GAP_S
        from mesh.workloads.contract import Payload

        outlet, clock = how["listener"].outlet, asyncio.get_running_loop().time
        count, rate, said, began_s = payload.manifest["max_tokens"], payload.manifest["seed"], 0, clock()
        while said < count:
            await asyncio.sleep(GAP_S)
            due = min(count, int((clock() - began_s) * rate))
            outlet.put(WORD * (due - said))
            said = due
        text = (WORD * count).decode()
        counts = {"prompt_tokens": 3, "tokens": count, "left_out": 0}
        return Payload({"model": model, "text": text, "finish": "length", **counts})


if __name__ == "__main__":
    main()
