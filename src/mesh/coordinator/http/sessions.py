"""Where people are signed in; and a device that signs in with its key, for its owner, to read.

Touches: database and clock (through the desk).
"""

from contextlib import suppress

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import sessions as acts
from mesh.coordinator.acts.devices import DeviceUnknown
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import bearer, caller_of, public, signed_in
from mesh.coordinator.http.desk import answer, desk_of, token_hash
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.snapshot import Seen
from mesh.coordinator.store import people
from mesh.coordinator.store.connection import Store
from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.protocol import signed
from mesh.protocol.links import secret_hash
from mesh.protocol.papers import SignInProof
from mesh.sdk.answers import DeviceSession, Done, Sessions, SessionShown, SignInLink

router = APIRouter()
FRESH_MS = 60_000
"""A proof is used at once; the device asks for our clock just before."""
NONCE_LENGTH_MIN = 32
NONCE_LENGTH_MAX = 128


class StaleProof(MeshError):
    """The device's proof is old, was used before, or is for another coordinator. Make a fresh one."""

    code = "auth.stale_proof"
    kind = "unauthenticated"


class SignInBody(BaseModel):
    """A signed SignInProof."""

    proof: str = Field(max_length=8192)


@router.post("/v1/sessions/device", dependencies=[public("the signature of a device's key is the permission")])
async def sign_in_device(body: SignInBody, request: Request) -> Response:
    """Open a session that reads what the device's owner may see, for an hour."""
    desk = desk_of(request)
    proof = signed.peek(body.proof, SignInProof)
    seen = desk.parts.snapshot.device(proof.device)
    if seen is None:
        raise DeviceUnknown
    _check_signature(body.proof, seen)
    now_ms, nonces = desk.parts.now_ms(), request.app.state.nonces
    fresh = abs(now_ms - proof.time_ms) <= FRESH_MS and NONCE_LENGTH_MIN <= len(proof.nonce) <= NONCE_LENGTH_MAX
    if not fresh or proof.coordinator != desk.parts.keys.public or not nonces.take(proof.nonce, now_ms):
        raise StaleProof
    token, kept = desk.new_token()

    def act(store: Store, moment: Moment) -> tuple[DeviceSession, None]:
        session = acts.sign_in_device(store, proof.device, kept, moment)
        return DeviceSession(token, session.expires_ms), None

    response, _ = await desk.act(request, act, anonymous=proof.device)
    return response


@router.get("/v1/sessions", dependencies=[signed_in()])
async def listing(request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """Where the caller is signed in as a person, newest first."""
    desk, caller = desk_of(request), caller_of(request)
    found = await desk.parts.database.read(_sessions_of, caller.member, desk.parts.now_ms())
    current = token_hash(bearer(request))
    shown = [
        SessionShown(
            one.id, one.label, one.created_ms, one.expires_ms, one.token_hash == current, one.admin_until_ms is not None
        )
        for one in found
    ]
    return answer(Sessions(*page(shown, lambda one: one.session, limit=limit, cursor=cursor)))


@router.post("/v1/sessions/link", dependencies=[signed_in(in_person=True)])
async def link(request: Request) -> Response:
    """A link that signs the caller in elsewhere (another machine, a browser): once, within ten minutes."""
    desk, caller = desk_of(request), caller_of(request)
    link = desk.parts.new_link()

    def act(store: Store, moment: Moment) -> tuple[SignInLink, None]:
        made = acts.offer_link(store, caller.member, secret_hash(link.secret), moment)
        return SignInLink(link.text(), made.expires_ms), None

    response, _ = await desk.act(request, act)
    return response


@router.delete("/v1/sessions/{session}", dependencies=[signed_in()])
async def end(session: str, request: Request) -> Response:
    """Sign out in one place: this one, or another of one's own. Its token is worth nothing from now on."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        acts.end(store, caller.member, session, moment)
        return Done(), None

    response, _ = await desk.act(request, act)
    return response


def _sessions_of(store: Store, member: MemberId, now_ms: int) -> list[people.OpenSession]:
    return people.sessions_of(store, member, now_ms=now_ms)


def _check_signature(proof: str, seen: Seen) -> None:
    """By the device's key, or an earlier one in its grace: the command line may have read it a moment ago."""
    for former in seen.kept.former:
        with suppress(signed.BadToken):
            signed.verify(proof, SignInProof, former.key, seen.kept.network)
            return
    signed.verify(proof, SignInProof, seen.kept.key, seen.kept.network)


class Nonces:
    """Nonces seen within the time in which a proof is fresh; each counts once."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def take(self, nonce: str, now_ms: int) -> bool:
        """Whether the nonce is new."""
        self._seen = {known: at for known, at in self._seen.items() if now_ms - at <= 2 * FRESH_MS}
        if nonce in self._seen:
            return False
        self._seen[nonce] = now_ms
        return True
