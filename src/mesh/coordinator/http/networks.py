"""Networks: make one, list mine, change what one is set to.

Touches: database (through the desk).
"""

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from mesh.coordinator.acts import networks as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import caller_of, needs, operator, signed_in
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.ids import NetworkId
from mesh.networks.names import machine_name
from mesh.sdk import answers

router = APIRouter()


class NetworkBody(BaseModel):
    """The name of a new network."""

    name: str


class SettingsBody(BaseModel):
    """What is to change. Unknown settings are refused: a typo must not pass."""

    model_config = ConfigDict(extra="forbid")
    credit_line: Literal["friends", "strict"] | None = None


@router.post("/v1/networks", dependencies=[operator()])
async def make(body: NetworkBody, request: Request) -> Response:
    """Make a network; the caller is its first admin."""
    desk, caller = desk_of(request), caller_of(request)
    machine_name(body.name)
    network = NetworkId(desk.parts.new_id())
    key = await asyncio.to_thread(desk.parts.keys.make_network, network)

    def act(store: Store, moment: Moment) -> tuple[answers.Made, Network]:
        made = acts.make(store, network=network, key=key, name=body.name, maker=caller.member, moment=moment)
        return answers.Made(made.id), made

    response, made = await desk.act(request, act)
    if made is not None:
        await desk.news.network_changed(made, acts.first_membership(made))
    return response


@router.get("/v1/networks", dependencies=[signed_in()])
async def mine(request: Request) -> Response:
    """The networks that the caller is in."""
    snapshot, caller = desk_of(request).parts.snapshot, caller_of(request)
    rows = [(network, snapshot.role(network.id, caller.member)) for network in snapshot.networks.values()]
    listed = [answers.Network(network.id, network.name, role) for network, role in rows if role is not None]
    return answer(answers.Networks(tuple(listed)))


@router.put("/v1/networks/{network}/settings", dependencies=[needs("network.change")])
async def settings(network: str, body: SettingsBody, request: Request) -> Response:
    """Change settings of a network."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[answers.Done, Network | None]:
        if body.credit_line is None:
            return answers.Done(), None
        line = body.credit_line
        return answers.Done(), acts.set_credit_line(store, NetworkId(network), line, by=caller.member, moment=moment)

    response, changed = await desk.act(request, act)
    if changed is not None:
        desk.parts.snapshot.put_network(changed)
    return response
