"""The dashboard's files, signing a browser in and out, and what its pages need beside the nouns' own routes.

Touches: files in the package (reads), database and clock (through the desk).
"""

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import sessions as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http import claim
from mesh.coordinator.http.access import NotSignedIn, bearer, caller_of, public, signed_in
from mesh.coordinator.http.app_errors import NoSuchAddress
from mesh.coordinator.http.applicants import asked_by
from mesh.coordinator.http.claim import ClaimBody
from mesh.coordinator.http.cookie import check_act, set_cookie
from mesh.coordinator.http.desk import answer, desk_of, token_hash
from mesh.coordinator.store import deletions, invite_letters, people, sign_in_links, tokens
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.invite_letters import InviteLetter
from mesh.coordinator.store.sign_in_links import SignInLink
from mesh.networks.applicants import APPROVE_PEOPLE, must_wait
from mesh.networks.tokens import JoinToken, TokenExpired, TokenUnknown, TokenUsed, redeem
from mesh.pages.files import Files, PagesMissing, respond
from mesh.protocol.links import secret_hash
from mesh.sdk.answers import Claimed, Done

router = APIRouter()
SHELL = "the page's files alone: all that is in it comes by other routes"
QR_TEXT_MAX = 512
"""A join link has some 250 characters; longer codes are hard to scan."""
_JOIN_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Mesh</title>
<h1>This is a link into a Mesh network</h1>
<p>Nothing has happened yet: opening this page uses up nothing. Copy the whole address and give it to Mesh:</p>
<ul><li>to sign in as a person: <code>mesh auth claim - --name NAME</code>, then paste it</li>
<li>to let a machine join: <code>mesh device join - --name NAME</code>, then paste it</li></ul>
<p>Whoever holds this address can use it. Pass it on only to the person it is meant for.</p>
</html>
"""


class SecretBody(BaseModel):
    """A link's secret."""

    secret: str = Field(min_length=1, max_length=128)


class TextBody(BaseModel):
    """What a code is to say."""

    text: str = Field(min_length=1, max_length=QR_TEXT_MAX)


@router.get("/", dependencies=[public(SHELL)])
@router.get("/signed-in", dependencies=[public(SHELL)])
@router.get("/device", dependencies=[public(SHELL)])
@router.get("/n/{rest:path}", dependencies=[public(SHELL)])
async def dashboard(request: Request) -> Response:
    """The dashboard."""
    return _file(request, None)


@router.get("/join", dependencies=[public("a page of words; the secret is in the fragment and stays in the browser")])
async def join_page(request: Request) -> Response:
    """What to do with a link; changes nothing, however often previews fetch it."""
    try:
        return _file(request, None)
    except PagesMissing:
        return Response(_JOIN_PAGE, media_type="text/html")


@router.get("/assets/{name}", dependencies=[public(SHELL)])
@router.get("/theme.js", dependencies=[public(SHELL)])
@router.get("/mark.svg", dependencies=[public(SHELL)])
async def file(request: Request) -> Response:
    """A file that the dashboard loads."""
    return _file(request, request.url.path)


@router.post("/v1/page/sign-in", dependencies=[public("the secret of the link is the permission")])
async def sign_in(body: ClaimBody, request: Request) -> Response:
    """Use a link as `POST /v1/claim` does, and keep the session in a cookie that scripts cannot read."""
    check_act(request.headers.raw, secure=_secure(request))
    signed = await claim.claim(body, request)
    claimed = msgspec.json.decode(signed.body, type=Claimed)
    response = answer(msgspec.structs.replace(claimed, token=""))
    response.headers["set-cookie"] = set_cookie(claimed.token, secure=_secure(request))
    return response


@router.post("/v1/page/sign-out", dependencies=[signed_in()])
async def sign_out(request: Request) -> Response:
    """End this browser's session."""
    desk, caller, current = desk_of(request), caller_of(request), token_hash(bearer(request))

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        for one in people.sessions_of(store, caller.member, now_ms=moment.now_ms):
            if one.token_hash == current:
                acts.end(store, caller.member, one.id, moment)
        return Done(), None

    response, _ = await desk.act(request, act)
    response.headers["set-cookie"] = set_cookie("", secure=_secure(request))
    return response


@router.get("/v1/me", dependencies=[signed_in()])
async def me(request: Request) -> Response:
    """Who is signed in, and in which networks they are."""
    desk, caller = desk_of(request), caller_of(request)
    if caller.key is not None:
        raise NotSignedIn
    snapshot = desk.parts.snapshot
    rows = [(network, snapshot.role(network.id, caller.member)) for network in snapshot.networks.values()]
    networks = [{"network": one.id, "name": one.name, "role": role} for one, role in rows if role is not None]
    leaving = await desk.parts.database.read(deletions.of, caller.member)
    asked = await desk.parts.database.read(asked_by, caller.member)
    return answer(
        {"member": caller.member, "name": caller.name, "operator": caller.operator, "networks": networks,
         "url": desk.parts.site.url, "deletion_due_ms": None if leaving is None else leaving.due_ms,
         "asked": [one for one in asked if one.state != "withdrawn"]}
    )  # fmt: skip


@router.post("/v1/links/look", dependencies=[public("the secret of the link is the permission")])
async def look(body: SecretBody, request: Request) -> Response:
    """What a link is for, who made it, and into which network it leads. Uses nothing up."""
    parts = desk_of(request).parts
    token, again, maker, letter = await parts.database.read(_looked_up, secret_hash(body.secret))
    if again is not None:
        open_still = again.used_ms is None and parts.now_ms() < again.expires_ms
        if not open_still:
            raise TokenUsed(uses=1)
        shown = {"purpose": "signin", "name": maker, "maker": maker, "expires_ms": again.expires_ms}
        return answer({**shown, "address": again.address})
    if token is None:
        raise TokenUnknown
    redeem(token, purpose=token.purpose, now_ms=parts.now_ms())
    if letter is not None and parts.now_ms() >= letter.expires_ms:
        raise TokenExpired(expired_ms=letter.expires_ms)
    network = None if token.network is None else parts.snapshot.networks.get(token.network)
    network_asks = network is not None and bool(network.settings.get(APPROVE_PEOPLE))
    waits = token.purpose == "member" and must_wait(link_asks=not token.approved, network_asks=network_asks)
    return answer(
        {"purpose": token.purpose, "role": token.role, "name": token.name, "expires_ms": token.expires_ms,
         "network": None if network is None else network.name, "maker": maker, "approved": token.approved,
         "address": token.address or None, "proven": letter is not None, "waits": waits}
    )  # fmt: skip


@router.post("/v1/qr", dependencies=[signed_in()])
async def qr(body: TextBody) -> Response:
    """A text as a QR code: its rows of dark (1) and light (0). Nothing is kept of it."""
    import segno

    code = segno.make(body.text, error="l", micro=False)
    return answer({"rows": ["".join("1" if dark else "0" for dark in row) for row in code.matrix]})


def _looked_up(
    store: Store, hashed: str
) -> tuple[JoinToken | None, SignInLink | None, str | None, InviteLetter | None]:
    """The token or link of a secret, its maker's name, and the letter to the token's address that it came in."""
    token, again = tokens.by_secret(store, hashed), sign_in_links.by_secret(store, hashed)
    letter = None if token is not None else invite_letters.by_secret(store, hashed)
    if letter is not None:
        token = tokens.get(store, letter.token)
    maker = again.member if again is not None else None if token is None else token.maker
    return token, again, None if maker is None else people.member_name(store, maker), letter


def _secure(request: Request) -> bool:
    return desk_of(request).parts.site.secure


def _file(request: Request, path: str | None) -> Response:
    files = request.app.state.files
    assert isinstance(files, Files)
    found = files.entry() if path is None else files.find(path)
    if found is None:
        raise NoSuchAddress
    status, headers, body = respond(found, path or "/", request.headers.raw)
    response = Response(body, status)
    response.raw_headers = headers
    return response
