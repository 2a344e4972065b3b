"""Signing in with a provider, and one's own ways in: which there are, linking one, taking one away.

The browser is sent to a provider by the page itself and comes back to a page: opening an address changes nothing, only
what that page then posts does.

Touches: database and clock (through the desk), sockets (the providers).
"""

import secrets
from typing import Annotated

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import linking
from mesh.coordinator.acts import ways_in as acts
from mesh.coordinator.acts.claim import SignedIn, network_of, state_of
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.ways_in import Entering
from mesh.coordinator.http import flow as flows
from mesh.coordinator.http.access import caller_of, public, signed_in
from mesh.coordinator.http.claim import browser_of
from mesh.coordinator.http.cookie import check_act, set_cookie
from mesh.coordinator.http.desk import Desk, answer, desk_of
from mesh.coordinator.http.flow import Back, Flow, FlowLost
from mesh.coordinator.http.limiting import Limit, seen_from
from mesh.coordinator.signing_in.providers import Provider, ProviderRefused, new_step
from mesh.coordinator.signing_in.ways import PASSKEY
from mesh.coordinator.store import ways_in
from mesh.coordinator.store.connection import Store
from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.networks.ways_in import Identity
from mesh.protocol.links import secret_hash
from mesh.sdk.answers import Done
from mesh.sdk.ways_in import Entered, ProviderShown, WayIn, Ways, WaysIn

router = APIRouter()
log = structlog.get_logger()
TRIES_MAX, TRIES_S = 30, 600.0
"""Sign-ins from one address in ten minutes: a household, and nobody who tries a list."""
PAGE_ONLY = "the browser that began it goes on, from our own page; what it shows is the permission"


class WayNotHere(MeshError):
    """This installation has no such way of signing in. Reload the page to see which it has."""

    code = "ways.not_here"
    kind = "not_found"


class StartBody(BaseModel):
    """A sign-in begins: by which way; with an invite's secret and a name for somebody new; where it leads."""

    way: str = Field(max_length=32)
    secret: str | None = Field(default=None, min_length=1, max_length=128)
    name: str = Field(default="", max_length=200)
    label: str | None = Field(default=None, max_length=63)
    back: Back = "/"


class LinkBody(BaseModel):
    """A further way in begins to be linked."""

    way: str = Field(max_length=32)


class FinishBody(BaseModel):
    """What the provider gave the browser. ``iss``: who it says it is (RFC 9207), where it does."""

    code: Annotated[str, Field(max_length=4096)] = ""
    state: str = Field(max_length=256)
    iss: str | None = Field(default=None, max_length=1024)
    error: str | None = Field(default=None, max_length=256)


class Tries:
    """How often sign-ins were tried, by address; and the challenges that were answered, each once."""

    def __init__(self) -> None:
        self.limit = Limit(TRIES_MAX, TRIES_S)
        self.challenges = Limit(1, flows.LIFE_S)


@router.get("/v1/ways", dependencies=[public("what the sign-in page offers")])
async def ways(request: Request) -> Response:
    """The ways of signing in that there are here."""
    desk = desk_of(request)
    here = desk.ways
    providers = tuple(ProviderShown(one.key, one.title) for one in here.providers.values())
    return answer(Ways(providers, here.name is not None, here.origin, desk.mailer.on))


@router.post("/v1/page/ways/start", dependencies=[public("sends the browser to a provider; signs nobody in")])
async def start(body: StartBody, request: Request) -> Response:
    """Begin to sign in with a provider: where to send the browser."""
    desk = from_page(request)
    provider, step = _provider(desk, body.way), new_step(desk.ways.redirect)
    url = await provider.begin(step)
    hashed = None if body.secret is None else secret_hash(body.secret)
    more = (hashed, body.name, body.label, body.back)
    return flows.begin(answer({"url": url}), desk, Flow(provider.key, flows.until_ms(desk), None, step, "", *more))


@router.post("/v1/page/ways/finish", dependencies=[public(PAGE_ONLY)])
async def finish(body: FinishBody, request: Request) -> Response:
    """Sign in as who came back from the provider: always by a new session."""
    desk = from_page(request)
    flow = flows.under_way(request, desk.ways.providers, None)
    identity = await _vouched(desk, flow, body)
    token, kept = desk.new_token()
    invite = (flow.secret_hash, flow.name, desk.ways.admits, browser_of(request))
    entering = Entering(identity, kept, flow.label, *invite)

    def act(store: Store, moment: Moment) -> tuple[Entered, SignedIn]:
        signed = acts.enter(store, entering, moment)
        return Entered(signed.member, signed.name, network_of(signed), flow.back, state_of(signed)), signed

    response, signed = await desk.act(request, act, anonymous=kept)
    return entered(response, desk, token, signed)


@router.post("/v1/ways-in/start", dependencies=[signed_in(in_person=True)])
async def link(body: LinkBody, request: Request) -> Response:
    """Begin to link a provider's account: where to send the browser."""
    desk, caller = desk_of(request), caller_of(request)
    provider, step = _provider(desk, body.way), new_step(desk.ways.redirect)
    url = await provider.begin(step)
    return flows.begin(answer({"url": url}), desk, Flow(provider.key, flows.until_ms(desk), caller.member, step))


@router.post("/v1/ways-in/finish", dependencies=[signed_in(in_person=True)])
async def linked(body: FinishBody, request: Request) -> Response:
    """Link the account of who came back from the provider with the person who is signed in, and began it."""
    desk, caller = desk_of(request), caller_of(request)
    flow = flows.under_way(request, desk.ways.providers, caller.member)
    identity = await _vouched(desk, flow, body)

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        linking.link(store, caller.member, identity, moment)
        return Done(), None

    response, _ = await desk.act(request, act)
    log.info("ways.linked", member=caller.member, way=flow.way)
    return flows.end(response, desk)


@router.get("/v1/ways-in", dependencies=[signed_in()])
async def mine(request: Request) -> Response:
    """The caller's own ways in, beside links."""
    desk, caller = desk_of(request), caller_of(request)
    shown = await desk.parts.database.read(_mine, caller.member, desk.ways.working)
    return answer(WaysIn(shown))


@router.delete("/v1/ways-in/{way}", dependencies=[signed_in(in_person=True)])
async def remove(way: str, request: Request) -> Response:
    """Take one of the caller's ways in away; never the last one."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        acts.remove(store, caller.member, way, desk.ways.working)
        return Done(), None

    response, _ = await desk.act(request, act)
    return response


def from_page(request: Request) -> Desk:
    """The desk, for a step of signing in: from our own page, and not too often. Raises NotFromPage, TooOften."""
    desk = desk_of(request)
    check_act(request.headers.raw, secure=desk.parts.site.secure)
    tries_of(request).limit.take_from(seen_from(request, desk.parts.site), desk.parts.now_ms())
    return desk


def tries_of(request: Request) -> Tries:
    """What was tried so far."""
    tries = request.app.state.way_tries
    assert isinstance(tries, Tries)
    return tries


def entered(response: Response, desk: Desk, token: str, signed: SignedIn | None) -> Response:
    """Somebody has signed in: the browser gets the new session, and the network hears of who is new."""
    if signed is not None:
        for membership in signed.came:
            desk.news.person_joined(membership)
        response.headers.append("set-cookie", set_cookie(token, secure=desk.parts.site.secure))
    return flows.end(response, desk)


async def _vouched(desk: Desk, flow: Flow, body: FinishBody) -> Identity:
    """Who the provider vouches for. Raises FlowLost, ProviderRefused and what the provider raises."""
    provider, step = _provider(desk, flow.way), flow.step
    if step is None or not secrets.compare_digest(step.state.encode(), body.state.encode()):
        raise FlowLost
    if body.iss is not None and body.iss != provider.issuer:
        raise FlowLost
    if body.error is not None or not body.code:
        raise ProviderRefused(reason="".join(filter(str.isalnum, body.error or ""))[:64])
    return await provider.finish(step, body.code)


def _provider(desk: Desk, way: str) -> Provider:
    found = desk.ways.providers.get(way)
    if found is None:
        raise WayNotHere
    return found


def _mine(store: Store, member: MemberId, working: frozenset[str]) -> tuple[WayIn, ...]:
    identities = [
        WayIn(one.id, one.issuer, one.label, one.created_ms, one.used_ms, one.issuer in working)
        for one in ways_in.identities_of(store, member)
    ]
    passkeys = [
        WayIn(one.id, PASSKEY, one.label, one.created_ms, one.used_ms, PASSKEY in working)
        for one in ways_in.passkeys_of(store, member)
    ]
    return (*identities, *passkeys)
