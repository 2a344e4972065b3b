"""Joining by a code: a machine asks and waits, a member looks at what it is and says yes or no.

Touches: database, clock, randomness (through the desk).
"""

from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import codes
from mesh.coordinator.acts import pairing as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.pairing import Asking, Where, Yes
from mesh.coordinator.http.access import Caller, caller_of, needs, public
from mesh.coordinator.http.codes import HANDLE_BYTES, CodeBody, NonceBody, Tries, found_by, still_open
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.limiting import seen_from
from mesh.coordinator.store.codes import PAIRINGS
from mesh.coordinator.store.connection import Store
from mesh.ids import DeviceKey, NetworkId
from mesh.networks import pairing as rules
from mesh.networks.codes import NONCE_BYTES, is_elsewhere
from mesh.networks.pairing import Pairing
from mesh.networks.tokens import JoinToken
from mesh.protocol import signed
from mesh.protocol.papers import JoinProof
from mesh.sdk.answers import Done, PairingAsked, PairingConfirmed, PairingShown, PairingState

router = APIRouter()
log = structlog.get_logger()


class AskBody(BaseModel):
    """A machine's name and key, what it is in a few words, the hash of its secret, its commitment, its JoinProof."""

    name: str = Field(max_length=63)
    key: str = Field(max_length=64)
    machine: str = Field(default="", max_length=rules.MACHINE_LENGTH_MAX, pattern=r"^[ -~]*$")
    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    commitment: str = Field(pattern=r"^[0-9a-f]{64}$")
    proof: str = Field(max_length=8192)


class YesBody(CodeBody):
    """A member's yes: the key that they were shown, whether it may be elsewhere, and terms as a link has them."""

    key: str = Field(max_length=64)
    elsewhere: bool = False
    approve: bool = False
    tags: list[str] = Field(default_factory=list, max_length=64)
    ephemeral: bool = False


@router.post(
    "/v1/pairings", dependencies=[public("admits nobody: a member must type the code and say yes; few may wait")]
)
async def ask(body: AskBody, request: Request) -> Response:
    """A machine asks for a code, proving the key that it made itself."""
    desk = desk_of(request)
    parts, key = desk.parts, DeviceKey(body.key)
    proof = signed.verify(body.proof, JoinProof, key, "")
    claimed = (proof.key, proof.coordinator, proof.secret_sha256, proof.name)
    if claimed != (key, parts.keys.public, body.secret_sha256, body.name):
        raise acts.BadRequest
    asking = Asking(
        key=key,
        name=body.name,
        machine=body.machine,
        address=seen_from(request, parts.site),
        secret_hash=body.secret_sha256,
        commitment=body.commitment,
        coordinator_nonce=parts.random_bytes(NONCE_BYTES).hex(),
        random=lambda: parts.random_bytes(HANDLE_BYTES),
    )

    def act(store: Store, moment: Moment) -> tuple[PairingAsked, None]:
        made, site = acts.start(store, asking, moment), parts.site
        times = (moment.now_ms, made.expires_ms)
        return PairingAsked(
            made.id, made.handle, made.coordinator_nonce, *times, site.url, site.tls_sha256, site.more
        ), None

    response, _ = await desk.act(request, act, anonymous=body.key)
    return response


@router.post("/v1/pairings/{pairing}/state", dependencies=[public("a number that only the asking machine knows")])
async def state(pairing: str, body: NonceBody, request: Request) -> Response:
    """What became of a machine's request; the first time its code begins to count."""
    parts = desk_of(request).parts
    found = await parts.database.read(acts.look, pairing, body.nonce)
    if found.pairing.nonce is None:
        await parts.database.write(codes.reveal, PAIRINGS, pairing, body.nonce)
    if found.network is None:
        still_open(found.pairing, parts.now_ms())
        return answer(PairingState("waiting"))
    network = parts.snapshot.networks[found.network]
    return answer(PairingState("confirmed", network.id, network.name, network.key, found.by))


@router.post("/v1/pairings/{pairing}/withdraw", dependencies=[public("a number that only the asking machine knows")])
async def withdraw(pairing: str, body: NonceBody, request: Request) -> Response:
    """A machine stops waiting: its code is worth nothing any more."""

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        acts.withdraw(store, pairing, body.nonce)
        return Done(), None

    response, _ = await desk_of(request).act(request, act, anonymous=body.nonce)
    return response


@router.post("/v1/networks/{network}/pairings/look", dependencies=[needs("devices.invite")])
async def look(network: str, body: CodeBody, request: Request) -> Response:
    """Which machine shows this code, where it asks from, and what a yes would grant. Changes nothing."""
    parts, caller = desk_of(request).parts, caller_of(request)
    found = await _found(request, body.code)
    still_open(found, parts.now_ms())
    here = seen_from(request, parts.site)
    shown = PairingShown(
        pairing=found.id,
        name=found.name,
        machine=found.machine,
        key=found.key,
        fingerprint=rules.fingerprint(found.key),
        address=found.address,
        your_address=here,
        elsewhere=is_elsewhere(found.address, here),
        asked_ms=found.created_ms,
        expires_ms=found.expires_ms,
        time_ms=parts.now_ms(),
        network=NetworkId(network),
        network_name=parts.snapshot.networks[NetworkId(network)].name,
        state="pending" if _waits(caller, approve=False) else "ready",
    )
    return answer(shown)


@router.post("/v1/networks/{network}/pairings/confirm", dependencies=[needs("devices.invite")])
async def confirm(network: str, body: YesBody, request: Request) -> Response:
    """Say yes: the machine joins as the caller's device, by a join token for it alone. Once."""
    desk, caller = desk_of(request), caller_of(request)
    found = await _found(request, body.code)
    waits = _waits(caller, approve=body.approve)
    yes = Yes(found.id, DeviceKey(body.key), body.elsewhere, waits, tuple(body.tags), body.ephemeral)
    where = Where(NetworkId(network), caller.member, seen_from(request, desk.parts.site))

    def act(store: Store, moment: Moment) -> tuple[PairingConfirmed, JoinToken]:
        token = acts.confirm(store, yes, where, moment)
        return PairingConfirmed(token.id, found.name, "pending" if waits else "ready"), token

    response, token = await desk.act(request, act)
    if token is not None:
        log.info("pairing.confirmed", pairing=found.id, network=network, token=token.id)
    return response


@router.post("/v1/networks/{network}/pairings/refuse", dependencies=[needs("devices.invite")])
async def refuse(network: str, body: CodeBody, request: Request) -> Response:
    """Say no: the machine is told, and its code is worth nothing any more."""
    found = await _found(request, body.code)

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        codes.refuse(store, PAIRINGS, found.id, moment)
        return Done(), None

    response, _ = await desk_of(request).act(request, act)
    return response


async def _found(request: Request, code: str) -> Pairing:
    """The machine that shows a code. Raises BadCode, TooManyWrong, WrongCode."""
    tries: Any = request.app.state.tries
    assert isinstance(tries, Tries)
    return await found_by(request, PAIRINGS, rules.parse_code(code), caller_of(request).member, tries)


def _waits(caller: Caller, *, approve: bool) -> bool:
    """Whether the device must still wait for an admin: a code carries no approval but an admin's own."""
    return approve or not caller.may("devices.approve")
