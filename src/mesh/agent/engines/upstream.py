"""An engine that runs on this machine already, spoken to over HTTP: found, listed, asked for embeddings.

Chat with one is in ``upstream_chat``.

The rules for such a program, which may be anybody's: only a plain address of this machine (or, where the owner insists,
of the local network), never a name that could be resolved elsewhere; no redirects, no proxies of the environment; every
answer bounded and of the shape that is expected; what is sent is built from known fields.

Touches: sockets (HTTP to engines), files (who listens on a port, Linux), the clock.
"""

import asyncio
import ipaddress
import os
import sys
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from mesh.errors import MeshError
from mesh.sdk.pinning import trusting_nobody
from mesh.sdk.sharing import EngineKind
from mesh.units import KIB, MIB
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import DIM_MAX, may_cut, texts_of

LISTING_BYTES_MAX = MIB
ANSWER_BYTES_MAX = 64 * MIB
NUMBER_BYTES = 26
"""A number in JSON, at its longest, with its comma."""

FIND_S = 0.3
"""A program of this machine answers at once; a port where nobody listens says so."""

LIST_S = 5.0
MODELS_MAX = 64
PERSON_UID_MIN = 1000
"""Users of people have such ids on Linux; programs that the system runs (Ollama's own user) have lower ones."""

USUAL: tuple[tuple[EngineKind, int], ...] = (
    ("ollama", 11434),
    ("lmstudio", 1234),
    ("llama-server", 8080),
    ("vllm", 8000),
    ("tei", 3000),
    ("openai", 1337),
    ("openai", 4891),
    ("openai", 5001),
    ("openai", 12434),
    ("openai", 30000),
)
"""Where such engines listen unless told otherwise. Others use these ports too: the shape of the answer decides."""


class BadEngineUrl(MeshError):
    """An engine to share is named by an address of this machine, such as http://127.0.0.1:11434, without a path."""

    code = "share.bad_url"
    kind = "invalid"


class NoEngine(MeshError):
    """Nothing that Mesh can use answers there. Start the engine, check its port and key, then try again."""

    code = "share.no_engine"
    kind = "unavailable"


class ForeignListener(MeshError):
    """Another user of this machine listens on that port, so nothing is sent there. Share an engine of your own."""

    code = "share.foreign_listener"
    kind = "forbidden"


class UpstreamFailed(MeshError):
    """The shared engine on this device did not do the job. It is tried elsewhere; its owner sees it in `mesh share`."""

    code = "engine.upstream_failed"


class Listed(NamedTuple):
    """A model as its engine lists it; ``workload`` None: the engine does not say what it is for, ``""``: for nothing
    that Mesh does.
    """

    name: str
    digest: str = ""
    workload: str | None = None


class _Tags(msgspec.Struct):
    class Model(msgspec.Struct):
        name: str
        digest: str = ""

    models: list[Model]


class _Shown(msgspec.Struct):
    capabilities: list[str] = []


class _LmStudio(msgspec.Struct):
    class Model(msgspec.Struct):
        id: str
        type: str

    data: list[Model]


class _Info(msgspec.Struct):
    model_id: str
    max_input_length: int
    model_sha: str | None = None


class _Models(msgspec.Struct):
    class Model(msgspec.Struct):
        id: str
        owned_by: str = ""

    data: list[Model]
    object: str


class _Vectors(msgspec.Struct):
    class Item(msgspec.Struct):
        embedding: list[float]
        index: int

    class Usage(msgspec.Struct):
        prompt_tokens: int = 0

    data: list[Item]
    usage: Usage | None = None


def checked_url(text: str, *, lan: bool) -> str:
    """The base of an engine's addresses: scheme, host as a number, port. Raises BadEngineUrl."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port or 80
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise BadEngineUrl from None
    if parts.scheme != "http" or parts.username or parts.password or parts.query or parts.fragment:
        raise BadEngineUrl
    if parts.path.rstrip("/") not in ("", "/v1"):
        raise BadEngineUrl
    if not (address.is_loopback or (lan and address.is_private and not address.is_link_local)):
        raise BadEngineUrl(
            "Only an engine on this machine can be shared; one of your local network with --lan, by its address.",
            lan=lan,
        )
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def refuse_foreign(url: str) -> None:
    """Refuse a port of this machine that another person holds (Linux; elsewhere it is not known). ForeignListener."""
    parts = urlsplit(url)
    if sys.platform != "linux" or not ipaddress.ip_address(parts.hostname or "").is_loopback:
        return
    for uid in listeners(parts.port or 80):
        if uid >= PERSON_UID_MIN and uid != os.getuid():
            raise ForeignListener(port=parts.port)


def listeners(port: int, tables: Sequence[str] = ("/proc/net/tcp", "/proc/net/tcp6")) -> set[int]:
    """The users that listen on a TCP port of this machine (Linux)."""
    users = set()
    for table in tables:
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                users.add(int(fields[7]))
    return users


class Upstream:
    """One engine. ``key`` is sent as a bearer where there is one."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self._key = key

    async def kind(self, limit_s: float = LIST_S) -> EngineKind | None:
        """Which engine answers here, by the shape of what it says; None for anything else."""
        probes: tuple[tuple[EngineKind, str, Any], ...] = (
            ("ollama", "/api/tags", _Tags),
            ("lmstudio", "/api/v0/models", _LmStudio),
            ("tei", "/info", _Info),
        )
        for kind, path, shape in probes:
            if await self._read(path, shape, limit_s) is not None:
                return kind
        models = await self._read("/v1/models", _Models, limit_s)
        if models is None:
            return None
        owners = {model.owned_by for model in models.data}
        return "vllm" if owners == {"vllm"} else "llama-server" if owners == {"llamacpp"} else "openai"

    async def models(self, kind: EngineKind, limit_s: float = LIST_S) -> list[Listed] | None:
        """What it lists, at most 64 models; None where it does not answer as it should."""
        if kind == "ollama":
            tags = await self._read("/api/tags", _Tags, limit_s)
            return None if tags is None else [Listed(one.name, one.digest) for one in tags.models[:MODELS_MAX]]
        if kind == "lmstudio":
            local = await self._read("/api/v0/models", _LmStudio, limit_s)
            if local is None:
                return None
            kinds = {"embeddings": "embeddings", "llm": "chat", "vlm": "chat"}
            return [Listed(one.id, "", kinds.get(one.type, "")) for one in local.data[:MODELS_MAX]]
        if kind == "tei":
            info = await self._read("/info", _Info, limit_s)
            return None if info is None else [Listed(info.model_id, info.model_sha or "", "embeddings")]
        models = await self._read("/v1/models", _Models, limit_s)
        return None if models is None else [Listed(one.id) for one in models.data[:MODELS_MAX]]

    async def workload(self, kind: EngineKind, model: Listed) -> str | None:
        """What a model is for, as far as its engine says: a workload, ``""`` for none of Mesh's, None: only trying
        tells.
        """
        if kind != "ollama":
            return model.workload
        shown = await self._read("/api/show", _Shown, LIST_S, {"model": model.name})
        if shown is None or not shown.capabilities:
            return None
        return (
            "embeddings" if "embedding" in shown.capabilities else "chat" if "completion" in shown.capabilities else ""
        )

    async def embed(self, name: str, id: str, payload: Payload, limit_s: float) -> tuple[Payload, float]:
        """Have texts embedded: the result, scaled to unit length, and seconds. Raises UpstreamFailed."""
        texts = texts_of(payload)
        if may_cut(payload):
            raise UpstreamFailed("A shared engine cannot be told to cut texts.", reason="cut")
        body = {"model": name, "input": texts, "encoding_format": "float"}
        most = min(ANSWER_BYTES_MAX, 64 * KIB + len(texts) * DIM_MAX * NUMBER_BYTES)
        started = time.monotonic()
        content = await self._ask("/v1/embeddings", body, limit_s, most)
        try:
            said = msgspec.json.decode(content, type=_Vectors)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamFailed(reason="shape") from None
        rows = sorted(said.data, key=lambda one: one.index)
        width = len(rows[0].embedding) if rows else 0
        if [one.index for one in rows] != list(range(len(texts))) or not 1 <= width <= DIM_MAX:
            raise UpstreamFailed(reason="count")
        values: array[float] = array("f")
        for row in rows:
            if len(row.embedding) != width:
                raise UpstreamFailed(reason="width")
            length = sum(value * value for value in row.embedding) ** 0.5
            if not 0 < length < float("inf"):
                raise UpstreamFailed(reason="numbers")
            values.extend([value / length for value in row.embedding])
        if sys.byteorder == "big":
            values.byteswap()
        tokens = 0 if said.usage is None else max(0, said.usage.prompt_tokens)
        manifest = {"model": id, "dim": width, "count": len(texts), "tokens": tokens}
        return Payload(manifest, (values.tobytes(),)), time.monotonic() - started

    async def _read(self, path: str, shape: Any, limit_s: float, body: Any = None) -> Any:
        """An answer of the expected shape, or None."""
        try:
            return msgspec.json.decode(await self._ask(path, body, limit_s, LISTING_BYTES_MAX), type=shape)
        except (UpstreamFailed, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    async def _ask(self, path: str, body: Any, limit_s: float, most: int) -> bytes:
        """One request and its whole answer. Raises UpstreamFailed, whose text never quotes the engine."""
        async with self.opened(path, body, limit_s) as answer:
            if answer.status_code != 200:
                raise UpstreamFailed(reason="status", status=answer.status_code)
            return await whole(answer, most)

    @asynccontextmanager
    async def opened(self, path: str, body: Any, limit_s: float) -> AsyncIterator[Any]:
        """One request under way, with its answer's head; a body makes it a POST. Raises UpstreamFailed."""
        import httpx2  # 8 MB, needed only where something is shared

        try:  # each time: an engine ends, and somebody else of this machine takes its port
            await asyncio.to_thread(refuse_foreign, self.url)
        except ForeignListener as error:
            raise UpstreamFailed(reason=error.code) from error
        headers = {"accept-encoding": "identity", "accept": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        method = "GET" if body is None else "POST"
        try:
            async with (
                asyncio.timeout(limit_s),
                httpx2.AsyncClient(
                    trust_env=False, follow_redirects=False, timeout=limit_s, verify=trusting_nobody()
                ) as client,
                client.stream(method, self.url + path, headers=headers, json=body) as answer,
            ):
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise UpstreamFailed(reason="encoding")
                yield answer
        except (httpx2.HTTPError, TimeoutError, OSError) as error:
            raise UpstreamFailed(reason=type(error).__name__) from error


async def whole(answer: Any, most: int) -> bytes:
    """All of an answer, of at most so many bytes. Raises UpstreamFailed."""
    content = bytearray()
    async for piece in answer.aiter_raw():
        content += piece
        if len(content) > most:
            raise UpstreamFailed(reason="size")
    return bytes(content)
