"""Parts of the relay benchmarks: raw clients, the relay under test, a plain peer, processes and conditions.

Touches: sockets, processes, clock.
"""

import asyncio
import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from blake3 import blake3
from nacl.signing import SigningKey
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mesh.ids import DeviceKey
from mesh.protocol import relayed
from mesh.relay.server import Relay


def derive_key(context: str, material: bytes) -> bytes:
    """The hash that the challenge's digest is made with."""
    return blake3(material, derive_key_context=context).digest()


class RawClient(WSListener):
    """A relay client without QUIC: proves its key, then passes each frame to ``on_frame``."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_frame = lambda frame: None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport; the relay speaks first."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer the challenge, then pass frames on."""
        if frame.msg_type != WSMsgType.BINARY:
            return
        message = frame.get_payload_as_memoryview()
        if self.ready.done():
            self.on_frame(message)
        elif message[0] == relayed.CHALLENGE:
            digest = relayed.challenge_digest(relayed.read_challenge(message), derive_key)
            signature = self.key.sign(digest).signature
            self.send(relayed.client_auth(bytes(self.key.verify_key), signature))
        else:
            assert relayed.read_verdict(message) is None
            self.ready.set_result(None)

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        self.transport.send(WSMsgType.BINARY, frame)

    def pause_writing(self) -> None:
        """Nothing: the benchmarks bound what is under way themselves."""

    def resume_writing(self) -> None:
        """Nothing, likewise."""

    async def connect(self, url: str) -> "RawClient":
        """Connect and prove the key."""
        extra = {"Sec-WebSocket-Protocol": "iroh-relay-v2"}
        await ws_connect(lambda: self, url.replace("http", "ws", 1) + "/relay", extra_headers=extra)
        async with asyncio.timeout(10):
            await self.ready
        return self


async def plain_peer(listener: socket.socket) -> None:
    """The peer to compare with: the least relay of this protocol that the `websockets` library makes; no checks."""
    clients: dict[bytes, ServerConnection] = {}

    async def serve_client(client: ServerConnection) -> None:
        await client.send(relayed.challenge_frame(os.urandom(16)))
        auth = relayed.read_client_auth(await client.recv())
        clients[auth.key] = client
        await client.send(relayed.ACCEPTED_FRAME)
        with contextlib.suppress(ConnectionClosed):
            async for frame in client:
                if frame[0] == relayed.PING:
                    await client.send(relayed.pong(frame[1:]))
                elif frame[0] in (relayed.SEND_DATAGRAM, relayed.SEND_BATCH) and frame[1:33] in clients:
                    await clients[frame[1:33]].send(relayed.forwarded_head(frame[0], auth.key) + frame[33:])

    def answer(client: ServerConnection, request: Any) -> Any:
        return client.respond(200, "") if request.path == "/ping" else None

    names = [name for name, _ in relayed.SUBPROTOCOLS]
    await serve(serve_client, sock=listener, subprotocols=names, compression=None, process_request=answer)
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.Event().wait()


async def mesh_relay(listener: socket.socket, networks: dict[str, list[int]], **limits: float) -> None:
    """The relay under test, on a socket that was bound elsewhere."""
    relay = Relay(**limits)
    relay.admissions([(DeviceKey(key), numbers) for key, numbers in networks.items()], full=True)
    await relay.serve(listener)
    print(json.dumps({"ready": True}), flush=True)
    await relay.run()


class RelayProcess:
    """A relay in a process of its own: ``mesh``, ``unlimited`` (mesh without its byte rate), or ``plain``."""

    def __init__(self, kind: str, networks: dict[str, list[int]]) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(512)
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            descriptor = listener.fileno()
            command = [sys.executable, __file__, kind, str(descriptor), json.dumps(networks)]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[descriptor])
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()) == {"ready": True}
        self.seen = psutil.Process(self.process.pid)

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        times = self.seen.cpu_times()
        return times.user + times.system

    def peak_rss(self) -> int:
        """The most resident memory so far, in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmHWM on this system")

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()


def conditions() -> dict[str, Any]:
    """What a reader must know to judge the figures."""
    return {
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("picows", "websockets", "iroh", "mesh")},
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main() -> None:
    """The relay process itself."""
    kind, networks = sys.argv[1], json.loads(sys.argv[3])
    listener = socket.socket(fileno=int(sys.argv[2]))
    if kind == "plain":
        asyncio.run(plain_peer(listener))
    else:
        asyncio.run(mesh_relay(listener, networks, **({} if kind == "mesh" else {"bytes_per_s": 1e12})))


if __name__ == "__main__":
    main()
