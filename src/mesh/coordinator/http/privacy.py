"""One's own data: all of it as a file, and deleting the account.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from mesh.coordinator.acts import deletion as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import bearer, caller_of, public, signed_in
from mesh.coordinator.http.desk import answer, desk_of, token_hash
from mesh.coordinator.keeping import personal_export
from mesh.coordinator.store.connection import Store
from mesh.sdk.answers import Done
from mesh.sdk.privacy import DeletionAsked, DeletionPlan, DeletionSeen, NetworkLeft, TableFate

router = APIRouter()


class ConfirmBody(BaseModel):
    """The caller's own name, typed: they mean it."""

    name: str = Field(max_length=200)


class ReceiptBody(BaseModel):
    """What was given when a deletion was asked for."""

    receipt: str = Field(min_length=1, max_length=128)


@router.get("/v1/me/export", dependencies=[signed_in(in_person=True)])
async def export(request: Request) -> StreamingResponse:
    """All that is kept about the caller, table by table, as one JSON document that ends with a report."""
    desk, caller = desk_of(request), caller_of(request)
    pieces = personal_export.written(desk.parts.database, caller.member, desk.parts.now_ms())
    named = {"content-disposition": 'attachment; filename="mesh-my-data.json"'}
    return StreamingResponse(pieces, media_type="application/json", headers=named)


@router.get("/v1/me/deletion", dependencies=[signed_in()])
async def plan(request: Request) -> Response:
    """What deleting the caller's account would mean, network by network and table by table; and whether it waits."""
    found = await desk_of(request).parts.database.read(acts.plan, caller_of(request).member)
    networks = tuple(NetworkLeft(**one._asdict()) for one in found.networks)
    tables = tuple(TableFate(**one._asdict()) for one in found.tables)
    return answer(DeletionPlan(found.asked_ms, found.due_ms, found.operator, networks, tables))


@router.post("/v1/me/deletion", dependencies=[signed_in(in_person=True)])
async def ask(body: ConfirmBody, request: Request) -> Response:
    """Delete the caller's account in 30 days. Their other sign-ins end now; signing in anywhere takes it back."""
    desk, caller = desk_of(request), caller_of(request)
    receipt, kept = desk.new_token("mesh_receipt_")
    here = token_hash(bearer(request))

    def act(store: Store, moment: Moment) -> tuple[DeletionAsked, None]:
        asked = acts.ask(store, caller.member, body.name, receipt_hash=kept, session_hash=here, moment=moment)
        return DeletionAsked(asked.asked_ms, asked.due_ms, receipt), None

    response, _ = await desk.act(request, act)
    return response


@router.delete("/v1/me/deletion", dependencies=[signed_in()])
async def cancel(request: Request) -> Response:
    """Take the deletion back: the account stays."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        acts.cancel(store, caller.member, moment)
        return Done(), None

    response, _ = await desk.act(request, act)
    return response


@router.post("/v1/deletions/look", dependencies=[public("the receipt is the permission")])
async def look(body: ReceiptBody, request: Request) -> Response:
    """How far a deletion is, for who has its receipt; and in the end what became of the rows of every table."""
    found, tables = await desk_of(request).parts.database.read(acts.look, token_hash(body.receipt))
    shown = tuple(TableFate(**one._asdict()) for one in tables)
    return answer(DeletionSeen(found.asked_ms, found.due_ms, found.closed_ms, found.done_ms, shown))
