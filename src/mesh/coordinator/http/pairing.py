"""Joining by a code: a machine asks and waits, a member looks at what it is and says yes or no.

Touches: database, clock, randomness (through the desk).
"""

from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import pairing as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.pairing import Asking, Where, Yes
from mesh.coordinator.config import Site, is_loopback
from mesh.coordinator.http.access import Caller, caller_of, needs, public
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.store.connection import Store
from mesh.ids import DeviceKey, MemberId, NetworkId
from mesh.networks import pairing as rules
from mesh.networks.pairing import Pairing, WrongCode
from mesh.networks.tokens import JoinToken
from mesh.protocol import signed
from mesh.protocol.papers import JoinProof
from mesh.sdk.answers import Done, PairingAsked, PairingConfirmed, PairingShown, PairingState

router = APIRouter()
log = structlog.get_logger()
HANDLE_BYTES = 3
"""Random bytes of a handle: 20 bits are used."""


class AskBody(BaseModel):
    """A machine's name and key, what it is in a few words, the hash of its secret, its commitment, its JoinProof."""

    name: str = Field(max_length=63)
    key: str = Field(max_length=64)
    machine: str = Field(default="", max_length=rules.MACHINE_LENGTH_MAX, pattern=r"^[ -~]*$")
    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    commitment: str = Field(pattern=r"^[0-9a-f]{64}$")
    proof: str = Field(max_length=8192)


class NonceBody(BaseModel):
    """The random number that a machine had committed to; it alone knows it."""

    nonce: str = Field(pattern=r"^[0-9a-f]{64}$")


class CodeBody(BaseModel):
    """A code as a member typed it."""

    code: str = Field(max_length=64)


class YesBody(CodeBody):
    """A member's yes: the key that they were shown, whether it may be elsewhere, and terms as a link has them."""

    key: str = Field(max_length=64)
    elsewhere: bool = False
    approve: bool = False
    tags: list[str] = Field(default_factory=list, max_length=64)
    ephemeral: bool = False


class Tries:
    """Wrong codes of each member, as long as they count. A try is counted before its code is looked at."""

    def __init__(self) -> None:
        self._wrong: dict[MemberId, tuple[int, ...]] = {}

    def begin(self, member: MemberId, now_ms: int) -> None:
        """Count a try as wrong, until it is known to be right. Raises TooManyWrong."""
        self._wrong[member] = (*rules.may_try(self._wrong.get(member, ()), now_ms), now_ms)

    def right(self, member: MemberId) -> None:
        """The newest try was none of the wrong ones."""
        self._wrong[member] = self._wrong[member][:-1]


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
        coordinator_nonce=parts.random_bytes(rules.NONCE_BYTES).hex(),
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
        await parts.database.write(acts.reveal, pairing, body.nonce)
    if found.network is None:
        ended = rules.ended(found.pairing, parts.now_ms())
        if ended is not None:
            raise ended
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
    ended = rules.ended(found, parts.now_ms())
    if ended is not None:
        raise ended
    here = seen_from(request, parts.site)
    shown = PairingShown(
        pairing=found.id,
        name=found.name,
        machine=found.machine,
        key=found.key,
        fingerprint=rules.fingerprint(found.key),
        address=found.address,
        your_address=here,
        elsewhere=rules.is_elsewhere(found.address, here),
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
        acts.refuse(store, found.id, moment)
        return Done(), None

    response, _ = await desk_of(request).act(request, act)
    return response


async def _found(request: Request, code: str) -> Pairing:
    """The machine that shows a code and still waits. Raises BadCode, TooManyWrong, WrongCode, why it has ended."""
    parts, tries, caller = desk_of(request).parts, _tries(request), caller_of(request)
    halves, moment = rules.parse_code(code), parts.moment()
    tries.begin(caller.member, moment.now_ms)
    us = (parts.keys.public, parts.site.binding)
    found = await parts.database.write(acts.find, halves, us, moment)
    if found is None:
        log.info("pairing.wrong_code", member=caller.member)
        raise WrongCode
    tries.right(caller.member)
    return found


def _tries(request: Request) -> Tries:
    tries: Any = request.app.state.tries
    assert isinstance(tries, Tries)
    return tries


def _waits(caller: Caller, *, approve: bool) -> bool:
    """Whether the device must still wait for an admin: a code carries no approval but an admin's own."""
    return approve or not caller.may("devices.approve")


def seen_from(request: Request, site: Site) -> str | None:
    """The address that a request comes from; None where a proxy on this machine hides it.

    What a proxy writes into headers is not believed: not every proxy replaces what the client wrote there.
    """
    host = request.client.host if request.client else None
    behind_proxy = site.tls_sha256 is None and site.secure
    return None if host is None or (behind_proxy and is_loopback(host)) else host
