"""What waits for an admin's eye, and the acts that answer it.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from mesh.coordinator.acts import review as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.store.connection import Store
from mesh.ids import NetworkId
from mesh.sdk import answers

router = APIRouter()


class AnswerBody(BaseModel):
    """The item, and the act that answers it."""

    model_config = ConfigDict(extra="forbid")
    item: str
    act: str


@router.get("/v1/networks/{network}/review", dependencies=[needs("credits.change")])
async def listing(network: str, request: Request) -> Response:
    """What waits for review: devices in quarantine, misses of spot checks, marks, earnings that stand out."""
    parts = desk_of(request).parts
    found = await parts.database.read(acts.listed, NetworkId(network), parts.now_ms())
    return answer({"items": [one._asdict() for one in found]})


@router.get("/v1/networks/{network}/review/{item}", dependencies=[needs("credits.change")])
async def show(network: str, item: str, request: Request) -> Response:
    """One item, with the newest spot checks of its device."""
    parts = desk_of(request).parts
    shown = await parts.database.read(acts.show, NetworkId(network), item, parts.now_ms())
    return answer({**shown.item._asdict(), "checks": shown.checks})


@router.post("/v1/networks/{network}/review", dependencies=[needs("credits.change")])
async def decide(network: str, body: AnswerBody, request: Request) -> Response:
    """Answer an item by one of its acts; it goes into the log of decisions."""
    desk, by = desk_of(request), caller_of(request).member

    def act(store: Store, moment: Moment) -> tuple[answers.Done, acts.Answered]:
        return answers.Done(), acts.answer(store, NetworkId(network), (body.item, body.act), by, moment)

    response, answered = await desk.act(request, act)
    if answered is not None and answered.quarantined is not None:
        desk.parts.snapshot.put_quarantine(answered.device, answered.quarantined)
        desk.live.changed(NetworkId(network), "devices")
    if answered is not None and answered.network is not None:
        await desk.news.network_changed(answered.network)
    return response
