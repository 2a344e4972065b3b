"""Networks: make one, list mine, change what one is set to.

Touches: database (through the desk).
"""

import asyncio
from collections.abc import Callable
from typing import Literal, TypeVar, cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from mesh.coordinator.acts import networks as acts
from mesh.coordinator.acts import replaying
from mesh.coordinator.acts.credit_line import set_credit_line
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import caller_of, needs, operator, signed_in
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.coordinator.store.successions import History
from mesh.ids import NetworkId
from mesh.jobs.weights import terms_of
from mesh.networks.applicants import APPROVE_PEOPLE
from mesh.networks.names import machine_name
from mesh.networks.retention import retention_of
from mesh.networks.rotation import GRACE_MS
from mesh.networks.tokens import APPROVE_DEVICES
from mesh.sdk import answers, weighing
from mesh.sdk.prices import Price, Tariff

router = APIRouter()
T = TypeVar("T")


class NetworkBody(BaseModel):
    """The name of a new network."""

    name: str


class SettingsBody(BaseModel):
    """What is to change. Unknown settings are refused: a typo must not pass."""

    model_config = ConfigDict(extra="forbid")
    credit_line: Literal["friends", "strict"] | None = None
    weights: dict[str, float] | None = None
    permits_per_member: int | None = None
    approve_devices: bool | None = None
    approve_people: bool | None = None
    keep_jobs_days: int | None = None
    keep_decisions_days: int | None = None


class WeightsBody(BaseModel):
    """Weights to be tried; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid")
    weights: dict[str, float]


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


@router.get("/v1/networks", dependencies=[signed_in(keys=True)])
async def mine(request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """The networks that the caller is in."""
    snapshot, caller = desk_of(request).parts.snapshot, caller_of(request)
    rows = [
        (network, snapshot.role(network.id, caller.member))
        for network in snapshot.networks.values()
        if caller.key is None or caller.key.network == network.id
    ]
    listed = [answers.Network(network.id, network.name, role) for network, role in rows if role is not None]
    return answer(answers.Networks(*page(listed, lambda one: one.network, limit=limit, cursor=cursor)))


@router.post("/v1/networks/{network}/rotate-key", dependencies=[needs("network.change")])
async def rotate_key(network: str, request: Request) -> Response:
    """Replace the network's key: both are good for a day, and everything keeps running."""
    writing = _Writing(request)
    await desk_of(request).rotating.network(NetworkId(network), caller_of(request).member, writing)
    return writing.response


@router.post("/v1/rotate-key", dependencies=[operator()])
async def rotate_coordinator_key(request: Request) -> Response:
    """Replace the coordinator's own key, for all its networks: both are good for a day."""
    writing = _Writing(request)
    await desk_of(request).rotating.coordinator(caller_of(request).member, writing)
    return writing.response


class _Writing:
    """Writes a change of a key down for a request, and keeps the answer."""

    response: Response

    def __init__(self, request: Request) -> None:
        self._request = request

    async def __call__(self, act: Callable[[Store, Moment], tuple[T, History]]) -> tuple[T, History] | None:
        def run(store: Store, moment: Moment) -> tuple[answers.Rotated, tuple[T, History]]:
            turned = act(store, moment)
            change = turned[1].changes[-1]
            return answers.Rotated(change.new, change.old, change.number, change.at_ms + GRACE_MS), turned

        self.response, turned = await desk_of(self._request).act(self._request, run)
        return cast("tuple[T, History] | None", turned)


@router.get("/v1/networks/{network}/settings", dependencies=[needs("network.read")])
async def settings(network: str, request: Request) -> Response:
    """What a network is set to."""
    found = desk_of(request).parts.snapshot.networks[NetworkId(network)]
    terms = terms_of(found.settings)
    approve = bool(found.settings.get(APPROVE_DEVICES))
    kept, tariff = retention_of(found.settings), found.tariff
    prices = tuple(Price(name, *price) for name, price in sorted(tariff.priced.items()))
    since_ms = found.created_ms if found.priced_ms is None else found.priced_ms
    return answer(
        answers.Settings(
            found.credit_line,
            terms.weights._asdict(),
            terms.permits_per_member,
            approve,
            kept.jobs_days,
            kept.decisions_days,
            Tariff(tariff.version, prices, since_ms, tariff.fee_ppm),
            bool(found.settings.get(APPROVE_PEOPLE)),
        )
    )


@router.post("/v1/networks/{network}/settings/try", dependencies=[needs("network.change")])
async def try_out(network: str, body: WeightsBody, request: Request) -> Response:
    """Replay the newest placements with other weights: which would have gone elsewhere; nothing is saved."""
    found = await desk_of(request).parts.database.read(replaying.tried, NetworkId(network), body.weights)
    moved = [weighing.Moved(*one[:-1], one.found.chosen_then, one.found.chosen, one.found.best) for one in found.moved]
    return answer(weighing.Tried(found.weights._asdict(), found.replayed, found.unknown, tuple(moved)))


@router.put("/v1/networks/{network}/settings", dependencies=[needs("network.change")])
async def change(network: str, body: SettingsBody, request: Request) -> Response:
    """Change settings of a network; what is not named stays."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[answers.Done, Network | None]:
        changed = None
        if body.credit_line is not None:
            line = body.credit_line
            changed = set_credit_line(store, NetworkId(network), line, by=caller.member, moment=moment)
        if body.weights is not None or body.permits_per_member is not None:
            terms = (body.weights, body.permits_per_member)
            changed = acts.set_terms(store, NetworkId(network), terms, by=caller.member, moment=moment)
        if body.approve_devices is not None:
            on = body.approve_devices
            changed = acts.set_approval(store, NetworkId(network), on, by=caller.member, moment=moment)
        if body.approve_people is not None:
            on = body.approve_people
            changed = acts.set_people_wait(store, NetworkId(network), on, by=caller.member, moment=moment)
        if body.keep_jobs_days is not None or body.keep_decisions_days is not None:
            days = (body.keep_jobs_days, body.keep_decisions_days)
            changed = acts.set_retention(store, NetworkId(network), days, by=caller.member, moment=moment)
        return answers.Done(), changed

    response, changed = await desk.act(request, act)
    if changed is not None:
        desk.parts.snapshot.put_network(changed)
    return response
