"""Devices of a network: list, approve, name, steer, remove.

Touches: database and clock (through the desk).
"""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mesh.coordinator.acts import devices as acts
from mesh.coordinator.acts.join import Joined
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.http.visible import round_trips, visible
from mesh.coordinator.store import devices
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.errors import MeshError
from mesh.ids import DeviceId, NetworkId
from mesh.protocol.link import Drain
from mesh.sdk.answers import Device, Devices, Done

router = APIRouter()


@router.get("/v1/networks/{network}/devices", dependencies=[needs("devices.read")])
async def listing(network: str, request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """The devices and how they are. Guests see their own, and those that the policy lets them use.

    ``round_trips`` to other devices are shown to the owners of both ends, and to admins.
    """
    desk, caller = desk_of(request), caller_of(request)
    snapshot, now_ms = desk.parts.snapshot, desk.parts.now_ms()
    shown = [
        Device(
            device=seen.kept.id,
            name=seen.kept.name,
            owner=seen.kept.owner,
            state=snapshot.state(seen, now_ms),
            tier=None if seen.kept.capability is None else seen.kept.capability.tier,
            last_seen_ms=seen.last_beat_ms or seen.kept.seen_ms,
            tags=seen.kept.tags,
            ephemeral=seen.kept.leaves_after_s is not None,
            held=seen.kept.held,
            round_trips=round_trips(snapshot, seen, caller),
        )
        for seen in snapshot.devices(NetworkId(network))
        if visible(snapshot, seen, caller)
    ]
    return answer(Devices(*page(shown, lambda one: one.device, limit=limit, cursor=cursor)))


@router.post("/v1/networks/{network}/devices/{device}/approve", dependencies=[needs("devices.approve")])
async def approve(network: str, device: str, request: Request) -> Response:
    """Let a pending device in."""
    desk, caller = desk_of(request), caller_of(request)
    issue = desk.parts.issuer(NetworkId(network))

    def act(store: Store, moment: Moment) -> tuple[Done, Joined]:
        joined = acts.approve(store, NetworkId(network), DeviceId(device), by=caller.member, issue=issue, moment=moment)
        return Done(), joined

    response, joined = await desk.act(request, act)
    if joined is not None:
        await desk.news.device_joined(joined)
    return response


class DeviceAway(MeshError):
    """The device is not connected now, so nothing can be told to it. Do it at the device, or when it is back."""

    code = "device.away"
    kind = "unavailable"


class StateBody(BaseModel):
    """What the device is to do."""

    state: Literal["ready", "paused", "draining"]


@router.post("/v1/networks/{network}/devices/{device}/state", dependencies=[needs("devices.steer_own")])
async def steer(network: str, device: str, body: StateBody, request: Request) -> Response:
    """Pause, drain or resume a device: one's own, or any as an admin. An admin lifts only what an admin set."""
    desk, caller = desk_of(request), caller_of(request)
    seen = desk.parts.snapshot.device(DeviceId(device))
    if seen is None or seen.kept.network != network:
        raise acts.DeviceUnknown
    own = seen.kept.owner == caller.member
    if not own:
        caller.need("devices.steer_any")
    link = desk.live.of(seen.kept.id)
    if link is None or seen.kept.standing != "active":
        raise DeviceAway

    def act(store: Store, moment: Moment) -> tuple[Done, Drain]:
        by: Literal["owner", "admin"] = "owner" if own else "admin"
        return Done(), Drain(resume=body.state == "ready", pause=body.state == "paused", by=by)

    response, said = await desk.act(request, act)
    if said is not None:
        link.say(said)
    return response


class NameBody(BaseModel):
    """What the device is to be called: 1 to 63 of a-z, 0-9 and hyphens inside."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=63)


@router.put("/v1/networks/{network}/devices/{device}/name", dependencies=[needs("devices.steer_own")])
async def rename(network: str, device: str, body: NameBody, request: Request) -> Response:
    """Call a device something else: one's own, or any as an admin. Its address for jobs, `device:NAME`, follows."""
    desk, caller = desk_of(request), caller_of(request)
    seen = desk.parts.snapshot.device(DeviceId(device))
    if seen is not None and seen.kept.network == network and seen.kept.owner != caller.member:
        caller.need("devices.steer_any")
    issue = desk.parts.issuer(NetworkId(network))

    def act(store: Store, moment: Moment) -> tuple[Done, tuple[devices.Device, devices.Issued | None]]:
        by = (caller.member, moment)
        return Done(), acts.rename(store, NetworkId(network), DeviceId(device), body.name, issue, by)

    response, renamed = await desk.act(request, act)
    if renamed is not None:
        desk.news.device_renamed(*renamed)
    return response


@router.delete("/v1/networks/{network}/devices/{device}", dependencies=[needs("devices.remove_own")])
async def remove(network: str, device: str, request: Request) -> Response:
    """Take a device out: one's own, or any as an admin. It is cut off at once."""
    desk, caller = desk_of(request), caller_of(request)
    seen = desk.parts.snapshot.device(DeviceId(device))
    if seen is not None and seen.kept.owner != caller.member:
        caller.need("devices.remove_any")

    def act(store: Store, moment: Moment) -> tuple[Done, tuple[devices.Device, Network]]:
        network_after = acts.remove(store, NetworkId(network), DeviceId(device), by=caller.member, moment=moment)
        kept = devices.get(store, DeviceId(device))
        assert kept is not None
        return Done(), (kept, network_after)

    response, removed = await desk.act(request, act)
    if removed is not None:
        await desk.news.device_removed(*removed)
    return response
