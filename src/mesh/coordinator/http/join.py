"""A device joins a network by its invite, proving the key that it made itself.

Touches: database (through the desk).
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import join as acts
from mesh.coordinator.acts import relays as relay_acts
from mesh.coordinator.acts.join import Asked, Joined
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import public
from mesh.coordinator.http.desk import Desk, desk_of
from mesh.coordinator.store import successions, tokens
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.relays import Relay
from mesh.devices.capability import check
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey, MemberId, NetworkId
from mesh.networks.tokens import TokenUnknown, TokenWrongPurpose
from mesh.protocol import signed
from mesh.protocol.links import secret_hash
from mesh.protocol.papers import JoinProof
from mesh.protocol.values import Capability

router = APIRouter()


class BadJoin(MeshError):
    """What the device sent to join does not fit together. Update Mesh on it and join again."""

    code = "device.bad_join"
    kind = "invalid"


class JoinBody(BaseModel):
    """The link's secret, the device's name and public key, its JoinProof, the network that the link named, and what
    the device is.
    """

    secret: str = Field(min_length=1, max_length=128)
    name: str = Field(default="", max_length=63)
    key: str = Field(max_length=64)
    proof: str = Field(max_length=8192)
    network_key: str = Field(default="", max_length=64)
    capability: dict[str, Any] | None = None


class JoinedAnswer(msgspec.Struct, frozen=True):
    """What a device is after joining. ``state`` is ``ready`` or ``pending``; pending devices have no certificate."""

    device: DeviceId
    name: str
    network: NetworkId
    network_name: str
    network_key: DeviceKey
    member: MemberId
    state: str
    certificate: str | None
    relays: tuple[str, ...]
    successions: tuple[str, ...] = ()


@router.post("/v1/join", dependencies=[public("the secret of the link is the permission")])
async def join(body: JoinBody, request: Request) -> Response:
    """Let a device (or a relay) in; the same one with the same link gets the same answer."""
    desk = desk_of(request)
    _check_proof(body, desk.parts.keys.public)
    named = DeviceKey(body.network_key) if body.network_key else None
    asked = Asked(secret_hash(body.secret), body.name, DeviceKey(body.key), _capability(body), named)
    token = await desk.parts.database.read(tokens.by_secret, asked.secret_hash)
    if token is None:
        raise TokenUnknown
    if token.network is None:
        raise TokenWrongPurpose(purpose=token.purpose)  # the claim link of the installation
    if token.purpose == "relay":
        return await _join_relay(desk, asked, request)
    issue = desk.parts.issuer(token.network)
    relays = tuple(relay.url for relay in desk.news.relays)

    def act(store: Store, moment: Moment) -> tuple[JoinedAnswer, Joined]:
        joined = acts.join(store, asked, issue, moment)
        return _answer(joined, relays, successions.history(store, "network", joined.network.id).chain), joined

    response, joined = await desk.act(request, act, anonymous=body.key)
    if joined is not None:
        await desk.news.device_joined(joined)
    return response


async def _join_relay(desk: Desk, asked: Asked, request: Request) -> Response:
    def act(store: Store, moment: Moment) -> tuple[JoinedAnswer, Relay]:
        relay = relay_acts.join(store, asked, moment)
        nowhere = NetworkId("")
        return JoinedAnswer(relay.id, relay.name, nowhere, "", DeviceKey(""), MemberId(""), "ready", None, ()), relay

    response, relay = await desk.act(request, act, anonymous=asked.key)
    if relay is not None:
        desk.relays.joined(relay)
    return response


def _check_proof(body: JoinBody, coordinator: DeviceKey) -> None:
    """The key is sound, and its holder means this very link and name. Raises BadKey, BadToken, BadJoin."""
    key = DeviceKey(body.key)
    proof = signed.verify(body.proof, JoinProof, key, "")
    claimed = (proof.key, proof.coordinator, proof.secret_sha256, proof.name)
    if claimed != (key, coordinator, secret_hash(body.secret), body.name):
        raise BadJoin


def _capability(body: JoinBody) -> Capability | None:
    if body.capability is None:
        return None
    try:
        capability = msgspec.convert(body.capability, Capability)
    except msgspec.ValidationError as error:
        raise BadJoin from error
    check(capability)
    return capability


def _answer(joined: Joined, relays: tuple[str, ...], chain: tuple[str, ...]) -> JoinedAnswer:
    device, network = joined.device, joined.network
    return JoinedAnswer(
        device=device.id,
        name=device.name,
        network=network.id,
        network_name=network.name,
        network_key=network.key,
        member=device.owner,
        state="ready" if device.standing == "active" else "pending",
        certificate=None if joined.certificate is None else joined.certificate.signed,
        relays=relays,
        successions=chain,
    )
