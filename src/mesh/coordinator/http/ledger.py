"""The ledger: lines, one's balance, the proof that everything adds up, and all of it as a file.

Touches: database (through the desk), threads (a proof tells how far it is).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from mesh.coordinator.acts import charting, exporting
from mesh.coordinator.acts import ledger as acts
from mesh.coordinator.http.access import Caller, caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import Cursor, Limit
from mesh.coordinator.keeping import exports
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.exporting import Wanted
from mesh.coordinator.store.ledger_pages import FOREVER_MS
from mesh.coordinator.store.ledger_pages import Wanted as LinesWanted
from mesh.coordinator.store.ledger_sums import By
from mesh.credits.accounts import PostingKind
from mesh.errors import MeshError
from mesh.ids import NetworkId

router = APIRouter()
LIMIT_DEFAULT = 50
NUMBER_MAX = 2**53
TOLD_EVERY_S = 0.5


class UnknownEvent(MeshError):
    """There is no such event in the ledger. The message names those that there are."""

    code = "ledger.unknown_event"
    kind = "invalid"


class LinesQuery(BaseModel):
    """Which page, and what its lines are narrowed down to; empty: all of them."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None
    member: str = Field(default="", max_length=26)
    device: str = Field(default="", max_length=26)
    kind: PostingKind | Literal[""] = ""
    since_ms: int = Field(default=0, ge=0, le=FOREVER_MS)
    until_ms: int = Field(default=FOREVER_MS, ge=0, le=FOREVER_MS)


class ChartQuery(BaseModel):
    """Whose charts, and what they are narrowed down to; empty: the last 30 days of all."""

    by: By = "member"
    member: str = Field(default="", max_length=26)
    device: str = Field(default="", max_length=26)
    kind: PostingKind | Literal[""] = ""
    since_ms: int = Field(default=0, ge=0, le=FOREVER_MS)
    until_ms: int = Field(default=FOREVER_MS, ge=0, le=FOREVER_MS)


@router.get("/v1/networks/{network}/ledger", dependencies=[needs("ledger.read_own")])
async def lines(network: str, request: Request, asked: Annotated[LinesQuery, Query()]) -> Response:
    """Lines newest first: one's own, for admins everybody's or one ``member``'s.

    ``device`` (asked or worked), ``kind`` and the two moments narrow down; a long ledger is as quick as a short one.
    """
    whose = _whose(caller_of(request), asked.member)
    wanted = LinesWanted(NetworkId(network), whose, asked.device, asked.kind, asked.since_ms, asked.until_ms)
    page = await desk_of(request).parts.database.read(acts.show, wanted, cursor=asked.cursor, limit=asked.limit)
    return answer({"lines": [line._asdict() for line in page.lines], "cursor": page.cursor})


@router.get("/v1/networks/{network}/ledger/chart", dependencies=[needs("ledger.read_own")])
async def chart(network: str, request: Request, asked: Annotated[ChartQuery, Query()]) -> Response:
    """What each member, or each device, earned and spent in each step of a stretch of time: the last 30 days, if no
    other is asked for. Narrowed down as lines are; the 100 who moved most.
    """
    desk = desk_of(request)
    whose = _whose(caller_of(request), asked.member)
    wanted = LinesWanted(NetworkId(network), whose, asked.device, asked.kind, asked.since_ms, asked.until_ms)
    async with _alone(request, "charting"):
        drawn = await desk.parts.database.read(charting.chart, wanted, asked.by, desk.parts.now_ms())
    return answer({**drawn._asdict(), "series": [one._asdict() for one in drawn.series]})


@router.get("/v1/networks/{network}/ledger/verify", dependencies=[needs("ledger.read_own")])
async def verify(
    network: str, request: Request, number: Annotated[int | None, Query(ge=1, le=NUMBER_MAX)] = None
) -> StreamingResponse:
    """Derive every hash and balance anew: whether all is well, up to where it is sealed, else the first wrong row.

    ``number``: of a head that the caller kept, to be told the hash there now. The answer is one JSON object, with white
    space before it while the proof takes: nobody has to wait in silence. One proof at a time.
    """
    proof = _proof(desk_of(request).parts.database, NetworkId(network), number, _alone(request, "proving"))
    return StreamingResponse(proof, media_type="application/json")


def _alone(request: Request, what: str) -> asyncio.Lock:
    """What reads a whole ledger goes one at a time: the other readers stay free."""
    state = request.app.state
    if not hasattr(state, what):
        setattr(state, what, asyncio.Lock())
    lock: asyncio.Lock = getattr(state, what)
    return lock


async def _proof(
    database: Database, network: NetworkId, number: int | None, alone: asyncio.Lock
) -> AsyncIterator[bytes]:
    async with alone:
        proving = asyncio.ensure_future(database.read(acts.verify, network, number=number))
        while True:
            done, _ = await asyncio.wait([proving], timeout=TOLD_EVERY_S)
            if done:
                break
            yield b" "
        proof = proving.result()
    wrong = None if proof.wrong is None else proof.wrong._asdict()
    head = None if proof.head is None else proof.head._asdict()
    shown: dict[str, Any] = {**proof._asdict(), "wrong": wrong, "head": head}
    yield msgspec.json.encode({**shown, "problems": [] if wrong is None else [wrong]})


@router.get("/v1/networks/{network}/ledger/export", dependencies=[needs("ledger.read_own")])
async def export(
    network: str,
    request: Request,
    format: exports.Format = "jsonl",
    event: Annotated[list[str] | None, Query(max_length=len(exporting.KINDS))] = None,
    since_ms: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
    until_ms: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = NUMBER_MAX,
) -> StreamingResponse:
    """The ledger and its jobs as a file, oldest first: one's own, for admins everybody's or one ``member``'s.

    ``event`` (repeatable), ``device`` and the two moments narrow it down.
    """
    caller, asked = caller_of(request), request.query_params
    unknown = [one for one in event or () if one not in exporting.KINDS]
    if unknown:
        raise UnknownEvent(f"There is no event {unknown[0][:40]!r}. There are: {', '.join(exporting.KINDS)}.")
    wanted = Wanted(
        NetworkId(network), _whose(caller, asked.get("member", "")), asked.get("device", ""), since_ms, until_ms
    )
    found = exports.read(desk_of(request).parts.database, wanted, frozenset(event or ()))
    kind = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    named = {"content-disposition": f'attachment; filename="ledger.{format}"'}
    return StreamingResponse(exports.written(found, format), media_type=kind, headers=named)


def _whose(caller: Caller, member: str) -> str:
    """Whose lines a caller gets who asks for these: only admins get others'. Raises NotAllowed, KeyConfined."""
    if caller.may("ledger.read_all"):
        return member
    if member not in ("", caller.member):
        caller.need("ledger.read_all")
    return caller.member


@router.get("/v1/networks/{network}/balances", dependencies=[needs("ledger.read_own")])
async def balances(network: str, request: Request) -> Response:
    """Every account with its amount: they sum to zero. A guest sees their own."""
    caller = caller_of(request)
    found = await desk_of(request).parts.database.read(acts.accounts, NetworkId(network))
    shown = [one._asdict() for one in found if caller.role != "guest" or one.member == caller.member]
    return answer({"accounts": shown})


@router.get("/v1/networks/{network}/balance", dependencies=[needs("ledger.read_own")])
async def balance(network: str, request: Request) -> Response:
    """One's credits."""
    caller = caller_of(request)
    found = await desk_of(request).parts.database.read(acts.balance, NetworkId(network), caller.member)
    return answer(found._asdict())
