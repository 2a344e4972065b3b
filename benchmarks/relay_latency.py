"""How much time the relay adds to a small frame on its way, with 500 idle clients beside, and while strangers flood it.

Two raw clients in this process pass one frame of 1,200 bytes to and fro through the relay (a process of its own, on
loopback); the peer is the same frame to and fro over a plain TCP connection to an echo in a process of its own. A frame
that goes over the relay passes it once, a round trip twice: added is half of the difference of the medians. Must reach:
p50 added of at most 1.5 ms. Then the same while a process of its own knocks with unknown keys as fast as it can, 16
at a time: what that costs members, and whether the relay's memory grows.

Run: `python benchmarks/relay_latency.py [--idle 500] [--turns 2000]`

Touches: sockets, processes, clock.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from statistics import median, quantiles
from typing import Any

import relay_clients as parts
from nacl.signing import SigningKey
from picows import WSFrame, WSMsgType, WSTransport

from mesh.protocol import relayed

BODY = bytes(1200)
WARM_UP = 100
ADDED_MS_MAX = 1.5
STRANGERS = 16
TOGETHER = 32
"""Clients that connect at a time."""
LIMIT_S = 10.0
ECHO = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
there, _ = server.accept()
there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while data := there.recv(65536):
    there.sendall(data)
"""


def key_of(number: int) -> SigningKey:
    """A fixed key for each client."""
    return SigningKey(str(number).encode().ljust(32, b"."))


async def turns(count: int, there_and_back: Callable[[], Awaitable[None]]) -> list[float]:
    """Milliseconds of so many round trips, after some that are not counted."""
    took = []
    for number in range(WARM_UP + count):
        begin = time.perf_counter()
        async with asyncio.timeout(LIMIT_S):
            await there_and_back()
        if number >= WARM_UP:
            took.append((time.perf_counter() - begin) * 1000)
    return took


async def relayed_turns(relay: parts.RelayProcess, count: int, idle: int) -> tuple[list[float], dict[str, Any]]:
    """Through the relay, beside so many idle clients; and once more in a flood of strangers."""
    turn = asyncio.Semaphore(TOGETHER)

    async def connect(number: int) -> parts.RawClient:
        async with turn:
            return await parts.RawClient(key_of(number)).connect(relay.url)

    here, there, *_others = await asyncio.gather(*(connect(number) for number in range(2 + idle)))
    back = asyncio.Event()
    answer = relayed.send_datagrams(bytes(key_of(0).verify_key), BODY)

    def echo(frame: memoryview) -> None:
        if frame[0] == relayed.DATAGRAM:
            there.send(answer)

    there.on_frame = echo
    here.on_frame = lambda frame: back.set() if frame[0] == relayed.DATAGRAM else None
    asked = relayed.send_datagrams(bytes(key_of(1).verify_key), BODY)

    async def once() -> None:
        back.clear()
        here.send(asked)
        await back.wait()

    calm, memory = await turns(count, once), relay.seen.memory_info().rss
    flood = await asyncio.to_thread(start, "--flood", relay.url)
    try:
        assert flood.stdout is not None
        await asyncio.to_thread(flood.stdout.readline)
        flooded = await turns(count, once)
    finally:
        flood.kill()
        flood.wait()
    grown = relay.seen.memory_info().rss - memory
    return calm, {"round_trip_relayed": figures(flooded), "memory_grew_mb": round(grown / 1e6, 2)}


class Stranger(parts.RawClient):
    """A client whose key nobody admits: it answers the challenge, hears the refusal, and goes."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """The challenge first, then the refusal."""
        if frame.msg_type == WSMsgType.BINARY and frame.get_payload_as_memoryview()[0] == relayed.CHALLENGE:
            super().on_ws_frame(transport, frame)
        elif not self.ready.done():
            self.ready.set_result(None)
            transport.disconnect()


async def knock(url: str) -> None:
    """Be many strangers, without end: each proves a key that nobody admits, and is turned away."""

    async def stranger(number: int) -> None:
        turn = 0
        while True:
            turn += 1
            with suppress(OSError):
                await Stranger(key_of(1_000_000 * (number + 1) + turn)).connect(url)
            if turn == 10:
                print("knocking", flush=True)

    async with asyncio.TaskGroup() as group:
        for number in range(STRANGERS):
            group.create_task(stranger(number))


def start(*arguments: str) -> subprocess.Popen[str]:
    """This program in another role."""
    return subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)


def start_echo() -> subprocess.Popen[str]:
    """The other end of the plain connection; it says its port."""
    return subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)


async def plain_turns(count: int) -> list[float]:
    """Over a TCP connection."""
    echo = await asyncio.to_thread(start_echo)
    try:
        assert echo.stdout is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", int(echo.stdout.readline()))

        async def once() -> None:
            writer.write(BODY)
            await reader.readexactly(len(BODY))

        took = await turns(count, once)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return took
    finally:
        echo.kill()
        echo.wait()


def figures(took: list[float]) -> dict[str, float]:
    """Milliseconds at the middle and near the end."""
    return {"p50_ms": round(median(took), 3), "p99_ms": round(quantiles(took, n=100)[98], 3)}


async def measure(relay: parts.RelayProcess, count: int, idle: int) -> dict[str, Any]:
    """Both ways of travelling, and what the relay adds."""
    (over, flooded), plain = await relayed_turns(relay, count, idle), await plain_turns(count)
    added = (median(over) - median(plain)) / 2
    return {
        "turns": count,
        "idle_clients": idle,
        "round_trip_relayed": figures(over),
        "round_trip_tcp": figures(plain),
        "in_a_flood_of_strangers": flooded,
        "added_p50_ms": round(added, 3),
        "goal_ms": ADDED_MS_MAX,
        "reached": added <= ADDED_MS_MAX,
    }


def main() -> None:
    """Print conditions and results as JSON lines."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--idle", type=int, default=500)
    arguments.add_argument("--turns", type=int, default=2000)
    arguments.add_argument("--flood")
    chosen = arguments.parse_args()
    if chosen.flood:
        asyncio.run(knock(chosen.flood))
        return
    print(json.dumps({"conditions": parts.conditions()}))
    keys = [bytes(key_of(number).verify_key).hex() for number in range(2 + chosen.idle)]
    relay = parts.RelayProcess("mesh", {key: [1] for key in keys})
    try:
        print(json.dumps(asyncio.run(measure(relay, chosen.turns, chosen.idle))))
    finally:
        relay.stop()


if __name__ == "__main__":
    main()
