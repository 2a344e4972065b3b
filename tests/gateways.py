"""A gateway on loopback before jobs that are made up: for what its routes take, refuse and answer."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2

from agents import MODEL, WAIT_S, WIDTH, a_home
from mesh.agent.asking.asked import Ask, Begun, Result
from mesh.agent.engines.loading import Loading
from mesh.agent.gateway import server
from mesh.agent.gateway.calls import Front
from mesh.agent.gateway.keys import KeyBook
from mesh.agent.gateway.names import KnownModel
from mesh.agent.gateway.server import Address
from mesh.agent.store import Store
from mesh.ids import DeviceId, JobId
from mesh.jobs.placement import NowhereToRun
from mesh.protocol.values import Explanation
from mesh.sdk.naming import UnknownDevice
from mesh.workloads.catalogue import CHAT_DEFAULT as CHAT_MODEL
from mesh.workloads.catalogue import OCR_DEFAULT as OCR_MODEL
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import texts_of

SAID = "Ahoy, wörld!"
NOON_MS = 20_000 * 86_400_000 + 12 * 3_600_000


class Jobs:
    """Answers the gateway's jobs with made-up results; ``hold`` and ``result`` may be replaced."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = asyncio.Event()
        self.charge = 67
        self.breaks: Exception | None = None
        self.hold = self.wait
        self.result = self.made_up

    async def run(self, ask: Ask) -> Result:
        ask.workload.check(ask.payload)
        if ask.model not in (MODEL, CHAT_MODEL, OCR_MODEL):
            raise NowhereToRun(gates=[{"device": "D", "gate": "model", "reason": "does not offer it"}])
        self.asked.append(ask)
        if ask.workload.name == "chat":
            return await self.talk(ask)
        if ask.workload.name == "ocr":
            return self.read(ask)
        try:
            await self.hold(ask)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error:
            raise self.error
        return self.result(ask)

    async def talk(self, ask: Ask) -> Result:
        """An answer in two pieces, a letter cut in two; ``gate`` holds it before the first, ``breaks`` after it."""
        if self.error:
            raise self.error
        if ask.reader is not None:
            ask.reader.begin(Begun(JobId("C"), 1, DeviceId("D"), "direct", 500, CHAT_MODEL))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raw = SAID.encode()
        if ask.reader is not None:
            ask.reader.put(raw[:8])
            if self.breaks:
                raise self.breaks
            ask.reader.put(raw[8:])
        manifest = {"model": CHAT_MODEL, "text": SAID, "finish": "stop", "prompt_tokens": 9, "tokens": 4, "left_out": 0}
        payload = Payload(manifest)
        where = JobId("C"), DeviceId("D"), "direct"
        return Result(*where, self.charge, 18, CHAT_MODEL, payload, (), Explanation())

    def read(self, ask: Ask) -> Result:
        """A page without lines, that says how many were read before it."""
        if self.error:
            raise self.error
        page = {"width": 9, "height": 9, "turned": 0, "confidence": 1.0, "text": f"page {len(self.asked)}", "lines": []}
        payload = Payload({"model": OCR_MODEL, "pages": [page]})
        where = JobId(f"P{len(self.asked)}"), DeviceId("D"), "direct"
        return Result(*where, self.charge, 1, OCR_MODEL, payload, (), Explanation())

    async def wait(self, ask: Ask) -> None:
        await self.gate.wait()

    def made_up(self, ask: Ask, number: int = 0) -> Result:
        count = len(texts_of(ask.payload))
        vector = b"\0\0\x80\x3f" + b"\0" * 4 * (WIDTH - 1)
        manifest = {"model": ask.model, "dim": WIDTH, "count": count, "tokens": 5 * count}
        return Result(
            job=JobId(f"J{number or ''}"),
            device=DeviceId("D"),
            path="direct",
            charge=self.charge,
            units=18,
            model=MODEL,
            payload=Payload(manifest, (vector * count,)),
            attempts=(),
            explanation=Explanation(),
        )


class Town:
    """What is around the gateway: one model, one device."""

    def __init__(self) -> None:
        self.on_its_way: Loading | None = None
        self.warm = True

    def models(self) -> list[KnownModel]:
        return [
            KnownModel(MODEL, "embeddings", "Apache-2.0", size_bytes=9, devices=("attic",), warm=self.warm, dim=WIDTH),
            KnownModel(CHAT_MODEL, "chat", "Apache-2.0"),
            KnownModel(OCR_MODEL, "ocr", "Apache-2.0"),
        ]

    def device_named(self, text: str) -> DeviceId:
        if text not in ("attic", "01ATTIC"):
            raise UnknownDevice
        return DeviceId("01ATTIC")

    def loading(self, model: str) -> Loading | None:
        return self.on_its_way


class Served:
    """A gateway that runs: its jobs, surroundings, keys, address, and a client with its first key."""

    def __init__(self, jobs: Jobs, town: Town, keys: KeyBook, address: Address, http: httpx2.AsyncClient) -> None:
        self.jobs, self.town, self.keys, self.address, self.http = jobs, town, keys, address, http
        self.port = int(address.url.rpartition(":")[2])

    def bearer(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}


def since_noon() -> Callable[[], int]:
    """A clock that starts at noon and goes on as time does: no test is under way when a key's day ends."""
    begun = time.monotonic()
    return lambda: NOON_MS + int((time.monotonic() - begun) * 1000)


@contextlib.asynccontextmanager
async def a_gateway(folder: Any, *, devices: int = 1, clock: Any = None) -> AsyncIterator[Served]:
    """Serve one inside the block."""
    home = a_home(folder)
    store = Store(home.agent_db)
    store.open()
    keys = KeyBook(store, clock or since_noon())
    await keys.open()
    jobs, town = Jobs(), Town()
    front = Front(jobs.run, town, keys, lambda: devices)
    try:
        async with server.served(home, front) as address:
            headers = {"authorization": f"Bearer {address.key}"}
            limits = httpx2.Limits(max_connections=200)
            async with httpx2.AsyncClient(
                base_url=address.url, headers=headers, trust_env=False, timeout=WAIT_S, limits=limits
            ) as http:
                yield Served(jobs, town, keys, address, http)
    finally:
        await store.close()


def error_of(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal, in the shape of the route's own clients."""
    body = answer.json()
    if str(answer.request.url.path).startswith("/api/"):
        assert isinstance(body["error"], str)
        return answer.status_code, body["code"]
    assert set(body["error"]) >= {"message", "type", "param", "code"}
    return answer.status_code, body["error"]["code"]
