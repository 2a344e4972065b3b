"""Engines that run already, for tests: small servers with the shapes of the real ones, and llama.cpp's own for real.

Touches: sockets, threads, processes.
"""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mesh.workloads.catalogue import BUILTIN, CHAT_DEFAULT
from modelfolder import shared_model_files


class Engine:
    """A server whose answers are made of ``routes``: path → what it says of a body (JSON, or bytes as they are)."""

    def __init__(self, routes: dict[str, Any]) -> None:
        self.routes = dict(routes)
        self.asked: list[tuple[str, Any, dict[str, str]]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.port = 0
        self.url = ""


@contextmanager
def serving(routes: dict[str, Any]) -> Iterator[Engine]:
    """Run one inside the block."""
    engine = Engine(routes)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = json.loads(body) if body else {}
            engine.asked.append((self.path, asked, dict(self.headers)))
            route = engine.routes.get(self.path)
            said = route(asked) if callable(route) else route
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(engine.status if route is not None else 404)
            for name, value in engine.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    engine.port = server.server_address[1]
    engine.url = f"http://127.0.0.1:{engine.port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def openai_models(*ids: str, owner: str = "organization_owner") -> dict[str, Any]:
    """As /v1/models answers."""
    return {"object": "list", "data": [{"id": id, "object": "model", "owned_by": owner} for id in ids]}


SERVER = """
import sys
import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
if sys.argv[2] == "embeds":
    params.embedding, params.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
params.n_ctx = params.n_batch = params.n_ubatch = 512
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.api_keys = ["sesame"]
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
LLAMA_MODEL = "SmolLM2-135M.gguf"
LLAMA_KEY = "sesame"


@asynccontextmanager
async def llama_server(folder: Path, mode: str) -> AsyncIterator[str]:
    """llama.cpp's own server with a window of 512 tokens; ``mode``: ``embeds`` or ``chats``. Killed on leaving."""
    files = await shared_model_files().ensure(BUILTIN.entry("chat", CHAT_DEFAULT))
    model = folder / LLAMA_MODEL
    model.symlink_to(next(path for name, path in files.items() if name.endswith(".gguf")))
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, str(model), mode),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert server.stdout is not None
        async with asyncio.timeout(60.0):
            url = (await server.stdout.readline()).decode().strip()
        yield url
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()
