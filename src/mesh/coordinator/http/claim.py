"""Signing in with a claim link or a person's invite.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import claim as acts
from mesh.coordinator.acts.claim import SignIn
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import caller_of, operator, public, signed_in
from mesh.coordinator.http.cookie import MAIL, cookie_in
from mesh.coordinator.http.desk import desk_of, token_hash
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Membership
from mesh.ids import MemberId
from mesh.protocol.links import secret_hash
from mesh.sdk.answers import Claimed, Done, Network

router = APIRouter()


class ClaimBody(BaseModel):
    """A link's secret, and what the person wants to be called ("" takes the name in the invite).

    ``label``: what the machine is called, for the person's own list of where they are signed in.
    """

    secret: str = Field(min_length=1, max_length=128)
    name: str = Field(default="", max_length=200)
    label: str | None = Field(default=None, max_length=63)


class InviteBody(BaseModel):
    """An invite's secret."""

    secret: str = Field(min_length=1, max_length=128)


@router.post("/v1/me/networks", dependencies=[signed_in()])
async def accept(body: InviteBody, request: Request) -> Response:
    """Come into a network by an invite, as who one is already; ``pending``: one of its admins must say yes first."""
    desk, caller = desk_of(request), caller_of(request)
    how = acts.Accepting(secret_hash(body.secret), browser_of(request))

    def act(store: Store, moment: Moment) -> tuple[Network, Membership]:
        who = acts.accept(store, caller.member, how, moment)
        known = desk.parts.snapshot.networks[who.network]
        return Network(who.network, known.name, who.role, who.state), who

    response, who = await desk.act(request, act)
    if who is not None:
        desk.news.person_joined(who)
    return response


class OperatorBody(BaseModel):
    """Who is to operate the installation."""

    member: str = Field(min_length=1, max_length=26)


@router.put("/v1/operator", dependencies=[operator()])
async def hand_over(body: OperatorBody, request: Request) -> Response:
    """Hand the installation over: somebody else makes its networks from now on, and the caller does not."""

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        acts.hand_over(store, MemberId(body.member))
        return Done(), None

    response, _ = await desk_of(request).act(request, act)
    return response


@router.post("/v1/claim", dependencies=[public("the secret of the link is the permission")])
async def claim(body: ClaimBody, request: Request) -> Response:
    """Use a link: the first person claims the installation, an invited one comes into a network."""
    desk = desk_of(request)
    token, kept = desk.new_token()
    asked = SignIn(secret_hash(body.secret), kept, body.name, body.label, browser_of(request))

    def act(store: Store, moment: Moment) -> tuple[Claimed, acts.SignedIn]:
        signed_in = acts.sign_in(store, asked, moment)
        where = acts.network_of(signed_in)
        return Claimed(token, signed_in.member, signed_in.name, where, acts.state_of(signed_in)), signed_in

    response, signed_in = await desk.act(request, act, anonymous=asked.secret_hash)
    for membership in () if signed_in is None else signed_in.came:
        desk.news.person_joined(membership)
    return response


def browser_of(request: Request) -> str | None:
    """The hash of the cookie of a browser that has asked for a letter; None: it has asked for none."""
    browser = cookie_in(request.headers.raw, MAIL, secure=desk_of(request).parts.site.secure)
    return None if browser is None else token_hash(browser)
