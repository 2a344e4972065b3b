"""Passkeys over HTTP: signing in by one, and adding one to one's own ways in.

Touches: database and clock (through the desk).
"""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import ways_in as acts
from mesh.coordinator.acts.claim import SignedIn
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.sessions import Opened
from mesh.coordinator.http import flow as flows
from mesh.coordinator.http.access import caller_of, public, signed_in
from mesh.coordinator.http.desk import Desk, answer, desk_of
from mesh.coordinator.http.flow import Back, Flow, FlowLost
from mesh.coordinator.http.ways import PAGE_ONLY, entered, from_page, tries_of
from mesh.coordinator.signing_in import passkeys
from mesh.coordinator.signing_in.passkeys import NoPasskeys, PasskeyRefused, Where
from mesh.coordinator.signing_in.ways import PASSKEY
from mesh.coordinator.store import ways_in
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.ways_in import Passkey
from mesh.networks.names import person_name
from mesh.sdk.answers import Done
from mesh.sdk.ways_in import Entered

router = APIRouter()
log = structlog.get_logger()
Credential = Annotated[dict[str, Any], Field(max_length=32)]


class BeginBody(BaseModel):
    """Somebody signs in: what their place calls itself, and where that leads."""

    label: str = Field(max_length=63)
    back: Back = "/"


class CredentialBody(BaseModel):
    """What the browser made or signed, as WebAuthn has it in JSON."""

    credential: Credential


class NewBody(CredentialBody):
    """A new passkey, and what it is called in its owner's list."""

    label: str = Field(min_length=1, max_length=63)


@router.post("/v1/page/passkeys/begin", dependencies=[public("a random number to be signed; signs nobody in")])
async def begin(body: BeginBody, request: Request) -> Response:
    """Begin to sign in by a passkey: what the browser is to have signed."""
    desk = from_page(request)
    asked = passkeys.to_enter(_where(desk))
    until_ms = flows.until_ms(desk)
    flow = Flow(PASSKEY, until_ms, challenge=asked.challenge, label=body.label or None, back=body.back)
    return flows.begin(answer(asked.options), desk, flow)


@router.post("/v1/page/passkeys/finish", dependencies=[public(PAGE_ONLY)])
async def finish(body: CredentialBody, request: Request) -> Response:
    """Sign in as whose passkey signed: always by a new session."""
    desk = from_page(request)
    where, flow = _where(desk), flows.under_way(request, (PASSKEY,), None)
    _once(request, flow)
    passkey = await desk.parts.database.read(ways_in.passkey, passkeys.credential_of(body.credential))
    if passkey is None:
        raise PasskeyRefused(reason="unknown")
    uses = passkeys.uses(where, flow.challenge, body.credential, passkey)
    token, kept = desk.new_token()

    def act(store: Store, moment: Moment) -> tuple[Entered, SignedIn]:
        signed = acts.enter_by_passkey(store, passkey, uses, Opened(kept, flow.label), moment)
        return Entered(signed.member, signed.name, None, flow.back), signed

    response, signed = await desk.act(request, act, anonymous=kept)
    return entered(response, desk, token, signed)


@router.post("/v1/ways-in/passkeys/begin", dependencies=[signed_in(in_person=True)])
async def begin_new(request: Request) -> Response:
    """Begin to add a passkey: what the browser is to make."""
    desk, caller = desk_of(request), caller_of(request)
    known = await desk.parts.database.read(ways_in.passkeys_of, caller.member)
    asked = passkeys.to_make(_where(desk), caller.member, caller.name, known)
    flow = Flow(PASSKEY, flows.until_ms(desk), caller.member, challenge=asked.challenge)
    return flows.begin(answer(asked.options), desk, flow)


@router.post("/v1/ways-in/passkeys/finish", dependencies=[signed_in(in_person=True)])
async def add(body: NewBody, request: Request) -> Response:
    """Add the passkey that the browser made to the caller's ways in."""
    desk, caller = desk_of(request), caller_of(request)
    where, flow = _where(desk), flows.under_way(request, (PASSKEY,), caller.member)
    _once(request, flow)
    made, label = passkeys.made(where, flow.challenge, body.credential), person_name(body.label)

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        acts.add_passkey(store, Passkey(moment.new_id(), caller.member, *made, label, moment.now_ms))
        return Done(), None

    response, _ = await desk.act(request, act)
    log.info("ways.passkey_added", member=caller.member)
    return flows.end(response, desk)


def _where(desk: Desk) -> Where:
    name = desk.ways.name
    if name is None:
        raise NoPasskeys
    return Where(name, desk.ways.origin)


def _once(request: Request, flow: Flow) -> None:
    """A challenge is answered once. Raises FlowLost."""
    if not tries_of(request).challenges.take(flow.challenge, desk_of(request).parts.now_ms()):
        raise FlowLost
