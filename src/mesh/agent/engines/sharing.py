"""The engines that this device's owner shares: kept over restarts, looked after, offered while they answer.

An engine that fails is benched: its models are withdrawn, and come back when it answers again. A model that its engine
no longer lists, or lists with another digest, is withdrawn by itself.

Touches: the agent's store (through its argument); what ``upstream`` touches.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
import structlog

from mesh.agent.engines import upstream_chat
from mesh.agent.engines.slots import units_of_time
from mesh.agent.engines.upstream import (
    FIND_S,
    USUAL,
    BadEngineUrl,
    Listed,
    NoEngine,
    Upstream,
    UpstreamFailed,
    checked_url,
    refuse_foreign,
)
from mesh.agent.store import Store
from mesh.errors import MeshError
from mesh.protocol.values import ModelOffer
from mesh.sdk.sharing import (
    AnySharingRequest,
    EngineKind,
    Engines,
    FindEngines,
    FoundEngine,
    SharedEngine,
    SharedModel,
    ShareEngine,
)
from mesh.workloads.catalogue import BUILTIN
from mesh.workloads.chat import Chat
from mesh.workloads.contract import BadInput, Outlet, Payload, Workload
from mesh.workloads.embeddings import Embeddings
from mesh.workloads.speed import Sample, Speed, speed_from

LOOK_S = 20.0
FAILURES_MAX = 2
"""Looks or jobs in a row that fail before an engine is benched: one may be a restart."""

TRIAL_S = 60.0
"""An engine may load the model first."""

TRIAL_TEXTS = 16
DIGEST_CHARS = 12
SHARES_MAX = 8
ID_CHARS_MAX = 63
_PATH = re.compile(r"[/\\~.]|[A-Za-z]:\\")
"""llama-server names a model by the path of its file, which is nobody else's business."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,62}")
"""What a model may be called in a network."""
_WORKLOADS: dict[str, Workload] = {one.name: one for one in (Embeddings(), Chat())}
LOADS_ON_DEMAND = ("ollama", "lmstudio")
"""Engines that load a model when it is first asked for, for which they may put out another."""
UNTRIED_UNITS_PER_S = 1 / Chat.assumed_s
"""Bytes of chat a second of a model that was not tried: its first job tells more."""

log = structlog.get_logger()


class NoUsableModel(MeshError):
    """None of this engine's models can be shared: Mesh uses those for embeddings and chat. `mesh share` lists all."""

    code = "share.no_model"
    kind = "not_found"


class NotShared(MeshError):
    """No engine is shared under this address. `mesh share list` shows those that are."""

    code = "share.not_shared"
    kind = "not_found"


class TooManyShares(MeshError):
    """A device shares up to 8 engines. Withdraw one first: `mesh unshare URL`."""

    code = "share.too_many"
    kind = "conflict"


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shared engine as it is kept; its key never leaves the device."""

    url: str
    kind: EngineKind
    models: tuple[SharedModel, ...]
    key: str = ""
    lan: bool = False


class _Share:
    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.upstream = Upstream(kept.url, kept.key)
        self.failures = 0
        self.speeds = {one.model: Speed(one.units_per_s, one.overhead_s) for one in kept.models}
        self.there = {one.model for one in kept.models}

    @property
    def benched(self) -> bool:
        return self.failures >= FAILURES_MAX

    def offered(self) -> list[SharedModel]:
        return [] if self.benched else [one for one in self.kept.models if one.model in self.there]

    def view(self) -> SharedEngine:
        return SharedEngine(
            url=self.kept.url,
            kind=self.kept.kind,
            state="benched" if self.benched else "ready",
            models=tuple(self._view(one) for one in self.kept.models),
        )

    def _view(self, one: SharedModel) -> SharedModel:
        rate = self.speeds[one.model].units_per_s_now
        return msgspec.structs.replace(one, there=one.model in self.there, units_per_s=rate)


class _Found(NamedTuple):
    share: _Share
    model: SharedModel


_kept: msgspec.json.Decoder[tuple[Kept, ...]] = msgspec.json.Decoder(tuple[Kept, ...])


class Sharing:
    """All engines that are shared."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shares: dict[str, _Share] = {}
        self.usual: tuple[tuple[EngineKind, int], ...] = USUAL
        self.find_s = FIND_S
        self.on_change: Callable[[], Awaitable[None]]
        """Called when what is offered changes; set by the wiring."""

    @classmethod
    async def recalled(cls, store: Store) -> "Sharing":
        """Take up what was shared. It is offered once it has answered."""
        made = cls(store)
        content = await store.kept("shares")
        for kept in () if content is None else _kept.decode(content):
            share = made._shares[kept.url] = _Share(kept)
            share.failures = FAILURES_MAX
        return made

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """See of each engine whether it answers, and what it lists now; tell where that changes what is offered."""
        before = self.offers()
        for share in list(self._shares.values()):
            listed = await share.upstream.models(share.kept.kind)
            if listed is None:
                share.failures += 1
                continue
            share.failures = 0
            now = {one.name: one.digest for one in listed}
            share.there = {one.model for one in share.kept.models if now.get(one.name) == one.digest}
        await self._tell_if_other(before)

    def offers(self) -> tuple[ModelOffer, ...]:
        """What is offered of them now."""
        return tuple(
            ModelOffer(
                workload=one.workload,
                model=one.model,
                units_per_s=share.speeds[one.model].units_per_s_now,
                overhead_s=share.speeds[one.model].overhead_s_now,
                warm=True,
                digest=one.digest,
            )
            for share in self._shares.values()
            for one in share.offered()
        )

    def has(self, workload: str, model: str) -> bool:
        """Whether a model is one of a shared engine, benched or not."""
        return self._find(workload, model) is not None

    def expected_s(self, workload: str, model: str, units: int) -> float:
        """Seconds of work in a job of so many units."""
        found = self._find(workload, model)
        assert found is not None
        return found.share.speeds[model].expected_s(units)

    async def work(
        self, workload: str, model: str, payload: Payload, limit_s: float, outlet: Outlet | None = None
    ) -> Payload:
        """Have a shared engine do a job; a chat's words are put into ``outlet``. Raises BadInput, UpstreamFailed."""
        found = self._find(workload, model)
        assert found is not None
        _WORKLOADS[workload].check(payload)
        share = found.share
        if share.benched:
            raise UpstreamFailed(reason="benched")
        try:
            result, seconds = await _done(share.upstream, share.kept.kind, found.model, payload, limit_s, outlet)
        except BadInput:
            raise  # that is the job's own fault
        except MeshError:
            before = self.offers()
            share.failures += 1
            await self._tell_if_other(before)
            raise
        share.failures = 0
        share.speeds[model] = share.speeds[model].after(units_of_time(_WORKLOADS[workload], payload, result), seconds)
        return result

    async def answer(self, request: AnySharingRequest) -> Engines:
        """What the owner asks of it. Raises BadEngineUrl, NoEngine, NoUsableModel, NotShared and more."""
        found: tuple[FoundEngine, ...] = ()
        if isinstance(request, FindEngines):
            found = await self.find()
        elif isinstance(request, ShareEngine):
            await self.share(request)
        else:
            await self.unshare(request.url)
        return Engines(found, tuple(share.view() for share in self._shares.values()))

    async def find(self) -> tuple[FoundEngine, ...]:
        """Look at the usual ports, at once; nothing is sent but questions of what is there."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_look_at(port, self.find_s)) for _, port in self.usual]
        found = [task.result() for task in tasks]
        return tuple(one for one in found if one is not None and one.url not in self._shares)

    async def share(self, request: ShareEngine) -> None:
        """Try each model that may be meant, and publish those that work."""
        url = checked_url(request.url, lan=request.lan)
        refuse_foreign(url)
        if url not in self._shares and len(self._shares) >= SHARES_MAX:
            raise TooManyShares
        upstream = Upstream(url, request.key)
        kind = await upstream.kind()
        listed = None if kind is None else await upstream.models(kind)
        if kind is None or listed is None:
            raise NoEngine
        wanted = [one for one in listed if not request.models or one.name in request.models]
        models = []
        for one in wanted:
            tried = await self._tried(upstream, kind, one, named=bool(request.models))
            if tried is not None:
                models.append(tried)
        if not models:
            raise NoUsableModel(listed=[one.name for one in listed])
        before = self.offers()
        self._shares[url] = _Share(Kept(url, kind, tuple(models), request.key, request.lan))
        await self._keep()
        await self._tell_if_other(before)

    async def unshare(self, text: str) -> None:
        """Withdraw one, by its address; ``all`` of them."""
        if text == "all":
            wanted = list(self._shares)
        else:
            try:
                wanted = [url for url in [checked_url(text, lan=True)] if url in self._shares]
            except BadEngineUrl:
                wanted = []
        if not wanted:
            raise NotShared
        before = self.offers()
        for url in wanted:
            del self._shares[url]
        await self._keep()
        await self._tell_if_other(before)

    async def _tried(self, upstream: Upstream, kind: EngineKind, one: Listed, *, named: bool) -> SharedModel | None:
        """A model with its measured speed, if it can be shared. One that may be of another kind is tried if named."""
        id = _id_of(one)
        if not _ID.fullmatch(id) or any(entry.id == id for entry in BUILTIN):
            return None
        meant = await upstream.workload(kind, one)
        if meant == "" or (meant is None and not named and kind in LOADS_ON_DEMAND):
            return None  # trying would make the engine load a model that may be of no use here
        model = SharedModel(id, one.name, meant or "", one.digest, UNTRIED_UNITS_PER_S)
        if meant == "chat" and not named and kind in LOADS_ON_DEMAND:
            return model  # trying them all would load one after another, each of many gigabytes
        for workload in _WORKLOADS if meant is None else (meant,):
            tried = await _rehearsed(upstream, kind, msgspec.structs.replace(model, workload=workload))
            if tried is not None:
                return tried
        return None

    def _find(self, workload: str, model: str) -> _Found | None:
        for share in self._shares.values():
            for one in share.kept.models:
                if (one.workload, one.model) == (workload, model):
                    return _Found(share, one)
        return None

    async def _keep(self) -> None:
        await self._store.keep("shares", msgspec.json.encode(tuple(share.kept for share in self._shares.values())))

    async def _tell_if_other(self, before: tuple[ModelOffer, ...]) -> None:
        if {one.model for one in before} != {one.model for one in self.offers()}:
            await self.on_change()


async def _rehearsed(upstream: Upstream, kind: EngineKind, model: SharedModel) -> SharedModel | None:
    """A model with its measured speed, if it does this work."""
    workload = _WORKLOADS[model.workload]
    samples = []
    try:
        for texts in (1, TRIAL_TEXTS):
            payload = workload.rehearsal(texts)
            assert payload is not None
            result, seconds = await _done(upstream, kind, model, payload, TRIAL_S, None)
            samples.append(Sample(units_of_time(workload, payload, result), seconds))
    except MeshError as error:
        log.info("share.model_not_used", workload=model.workload, code=error.wire_code)
        return None
    speed = speed_from(*samples)
    return msgspec.structs.replace(model, units_per_s=speed.units_per_s, overhead_s=speed.overhead_s)


async def _done(
    upstream: Upstream, kind: EngineKind, model: SharedModel, payload: Payload, limit_s: float, outlet: Outlet | None
) -> tuple[Payload, float]:
    """One job, its checked result and the seconds that it took. Raises BadInput, UpstreamFailed."""
    if model.workload == "chat":
        asked = upstream_chat.Asked(upstream, kind, model.name, model.model)
        result, seconds = await upstream_chat.chat(asked, payload, limit_s, outlet)
    else:
        result, seconds = await upstream.embed(model.name, model.model, payload, limit_s)
    try:
        _WORKLOADS[model.workload].check_result(payload, result)
    except MeshError as error:
        raise UpstreamFailed(reason=error.code) from error
    return result, seconds


def _id_of(one: Listed) -> str:
    """What a model is called in the network: its name, of a path the last part, and its digest where it has one."""
    name = re.split(r"[/\\]", one.name)[-1] if _PATH.match(one.name) else one.name
    digest = one.digest.removeprefix("sha256:")[:DIGEST_CHARS]
    return f"{name}@{digest}" if digest else name[:ID_CHARS_MAX]


async def _look_at(port: int, limit_s: float) -> FoundEngine | None:
    upstream = Upstream(f"http://127.0.0.1:{port}")
    try:
        refuse_foreign(upstream.url)
    except MeshError:
        return None
    kind = await upstream.kind(limit_s)
    listed = None if kind is None else await upstream.models(kind, limit_s)
    if kind is None or listed is None:
        return None
    return FoundEngine(upstream.url, kind, tuple(one.name for one in listed))
