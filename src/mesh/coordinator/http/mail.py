"""Asking for a link by e-mail, to sign in or to link an address: one answer, whoever asks for whatever.

Touches: database, clock, randomness (through the desk).
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts.mail import AskedByMail, InviteAsked
from mesh.coordinator.http.access import caller_of, public, signed_in
from mesh.coordinator.http.cookie import MAIL, kept_by_browser
from mesh.coordinator.http.desk import Desk, answer, desk_of
from mesh.coordinator.http.limiting import Limit, TooOften, seen_from
from mesh.coordinator.http.ways import WayNotHere, from_page
from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.networks.ways_in import mail_address
from mesh.protocol.links import secret_hash
from mesh.sdk.answers import Done

router = APIRouter()
COOKIE_S = 900
"""The link works for ten minutes, and the letter takes some of them."""
OF_ADDRESS_MAX, OF_PLACE_MAX, OF_INVITER_MAX, WITHIN_S = 3, 10, 30, 900.0
"""Letters to one address, wishes from one place, and invites by one admin, in a quarter of an hour: nobody's mailbox is
filled from here, and nobody makes this a way to write to strangers."""


class BadAddress(MeshError):
    """That is no e-mail address. It looks like ann@example.org."""

    code = "ways.bad_address"
    kind = "invalid"


class MailBody(BaseModel):
    """An e-mail address."""

    address: str = Field(min_length=3, max_length=254)


class Letters:
    """How many letters were asked for: to each address, from each place, and for whom each admin invites.

    Invites are counted apart from what strangers ask for, so that these cannot keep anybody from being invited.
    """

    def __init__(self) -> None:
        self.to = Limit(OF_ADDRESS_MAX, WITHIN_S)
        self.place = Limit(OF_PLACE_MAX, WITHIN_S)
        self.invited = Limit(OF_ADDRESS_MAX, WITHIN_S)
        self.inviter = Limit(OF_INVITER_MAX, WITHIN_S)

    def invite(self, address: str, by: MemberId, now_ms: int) -> None:
        """Count an invite to an address. Raises TooOften."""
        if not (self.inviter.take(by, now_ms) and self.invited.take(address, now_ms)):
            raise TooOften


def letters_of(request: Request) -> Letters:
    """What was asked for so far."""
    letters = request.app.state.letters
    assert isinstance(letters, Letters)
    return letters


@router.post(
    "/v1/page/mail", dependencies=[public("one answer for every address; the letter's link is the permission")]
)
async def ask(body: MailBody, request: Request) -> Response:
    """Ask for a link by e-mail, which signs in whoever has linked that address, in this browser."""
    return _asked(from_page(request), request, body.address, None)


@router.post("/v1/ways-in/mail", dependencies=[signed_in(in_person=True)])
async def link(body: MailBody, request: Request) -> Response:
    """Ask for a link by e-mail, which links that address with the caller, in this browser."""
    return _asked(desk_of(request), request, body.address, caller_of(request).member)


class InviteBody(BaseModel):
    """An invite's secret."""

    secret: str = Field(min_length=1, max_length=128)


@router.post(
    "/v1/page/mail/invite", dependencies=[public("the letter goes to the invite's own address and nowhere else")]
)
async def prove(body: InviteBody, request: Request) -> Response:
    """Ask for a letter to the address of an invite: its link lets in whoever opens it, in this browser."""
    desk = from_page(request)
    if not desk.mailer.on:
        raise WayNotHere
    letters, now_ms, hashed = letters_of(request), desk.parts.now_ms(), secret_hash(body.secret)
    letters.place.take_from(seen_from(request, desk.parts.site), now_ms)
    token, kept = desk.new_token()
    if letters.to.take(hashed, now_ms):
        desk.mailer.ask(InviteAsked(hashed, kept))
    response = answer(Done())
    response.headers["set-cookie"] = kept_by_browser(MAIL, token, COOKIE_S, secure=desk.parts.site.secure)
    return response


def _asked(desk: Desk, request: Request, typed: str, member: MemberId | None) -> Response:
    if not desk.mailer.on:
        raise WayNotHere
    address = mail_address(typed)
    if address is None:
        raise BadAddress
    letters, now_ms = letters_of(request), desk.parts.now_ms()
    letters.place.take_from(seen_from(request, desk.parts.site), now_ms)
    token, kept = desk.new_token()
    if letters.to.take(address, now_ms):
        desk.mailer.ask(AskedByMail(address, kept, member))
    response = answer(Done())
    response.headers["set-cookie"] = kept_by_browser(MAIL, token, COOKIE_S, secure=desk.parts.site.secure)
    return response
