"""Signing a command line in by a code: it asks and waits, a person looks at what it is and says yes or no.

Touches: database, clock, randomness (through the desk).
"""

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import codes
from mesh.coordinator.acts import logins as acts
from mesh.coordinator.acts.logins import Asking, Yes
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import Caller, caller_of, public, signed_in
from mesh.coordinator.http.codes import HANDLE_BYTES, CodeBody, NonceBody, Tries, found_by, still_open
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.limiting import seen_from
from mesh.coordinator.store.codes import LOGINS
from mesh.coordinator.store.connection import Store
from mesh.networks import logins as rules
from mesh.networks.codes import NONCE_BYTES, OPEN_MAX, is_elsewhere
from mesh.networks.logins import Login, Polls
from mesh.networks.names import person_name
from mesh.sdk.answers import Done
from mesh.sdk.ways_in import LoginAsked, LoginShown, LoginState

router = APIRouter()
log = structlog.get_logger()
POLLS_MAX = 4 * OPEN_MAX
"""Requests whose last poll is remembered: those that wait, and some that have ended since."""


class AskBody(BaseModel):
    """A machine's name, the hash of the token that it made, its commitment, and whether it asks for admin's rights."""

    label: str = Field(min_length=1, max_length=63)
    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    commitment: str = Field(pattern=r"^[0-9a-f]{64}$")
    admin: bool = False


class YesBody(CodeBody):
    """A person's yes: to the request that they were shown, and whether it may be elsewhere."""

    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    elsewhere: bool = False


class Waits(Tries):
    """Wrong codes of each person; and how often each command line asks."""

    def __init__(self) -> None:
        super().__init__(Login.REFUSALS)
        self._polls: dict[str, Polls] = {}

    def poll(self, login: str, now_ms: int) -> tuple[bool, float]:
        """A known request asks once more: whether that was in time, and how long it must wait now."""
        polls, in_time = rules.polled(self._polls.pop(login, Polls()), now_ms)
        self._polls[login] = polls
        while len(self._polls) > POLLS_MAX:
            self._polls.pop(next(iter(self._polls)))
        return in_time, polls.every_s


@router.post("/v1/logins", dependencies=[public("signs nobody in: a person must type the code and say yes")])
async def ask(body: AskBody, request: Request) -> Response:
    """A command line asks for a code, by which a person signs it in."""
    desk = desk_of(request)
    parts = desk.parts
    asking = Asking(
        label=person_name(body.label),
        admin=body.admin,
        address=seen_from(request, parts.site),
        secret_hash=body.secret_sha256,
        commitment=body.commitment,
        coordinator_nonce=parts.random_bytes(NONCE_BYTES).hex(),
        random=lambda: parts.random_bytes(HANDLE_BYTES),
    )

    def act(store: Store, moment: Moment) -> tuple[LoginAsked, None]:
        made, site = acts.start(store, asking, moment), parts.site
        times = (moment.now_ms, made.expires_ms, rules.POLL_S)
        where = (site.url, site.tls_sha256, site.more)
        return LoginAsked(made.id, made.handle, made.coordinator_nonce, *times, *where), None

    response, _ = await desk.act(request, act, anonymous=body.secret_sha256)
    return response


@router.post("/v1/logins/{login}/state", dependencies=[public("a number that only the asking command line knows")])
async def state(login: str, body: NonceBody, request: Request) -> Response:
    """What became of a request; the first time its code begins to count. Not more often than it was told."""
    parts = desk_of(request).parts
    found, name = await parts.database.read(acts.look, login, body.nonce)
    in_time, every_s = _waits(request).poll(login, parts.now_ms())
    if not in_time:
        return answer(LoginState("slow_down", every_s))
    if found.nonce is None:
        await parts.database.write(codes.reveal, LOGINS, login, body.nonce)
    if found.member is None:
        still_open(found, parts.now_ms())
        return answer(LoginState("waiting", every_s))
    return answer(LoginState("confirmed", every_s, found.member, name))


@router.post("/v1/logins/{login}/withdraw", dependencies=[public("a number that only the asking command line knows")])
async def withdraw(login: str, body: NonceBody, request: Request) -> Response:
    """A command line stops waiting: its code is worth nothing any more."""

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        acts.withdraw(store, login, body.nonce)
        return Done(), None

    response, _ = await desk_of(request).act(request, act, anonymous=body.nonce)
    return response


@router.post("/v1/logins/look", dependencies=[signed_in(in_person=True)])
async def look(body: CodeBody, request: Request) -> Response:
    """Which command line shows this code, where it asks from, and what a yes would grant. Changes nothing."""
    parts, caller = desk_of(request).parts, caller_of(request)
    found = await _found(request, body.code, caller)
    still_open(found, parts.now_ms())
    here = seen_from(request, parts.site)
    shown = LoginShown(
        login=found.id,
        label=found.label,
        admin=found.admin,
        secret_sha256=found.secret_hash,
        address=found.address,
        your_address=here,
        elsewhere=is_elsewhere(found.address, here),
        asked_ms=found.created_ms,
        expires_ms=found.expires_ms,
        time_ms=parts.now_ms(),
        name=caller.name,
    )
    return answer(shown)


@router.post("/v1/logins/confirm", dependencies=[signed_in(in_person=True)])
async def confirm(body: YesBody, request: Request) -> Response:
    """Say yes: that command line is signed in as the caller. Once."""
    desk, caller = desk_of(request), caller_of(request)
    found = await _found(request, body.code, caller)
    here = seen_from(request, desk.parts.site)
    yes = Yes(found.id, body.secret_sha256, body.elsewhere, caller.member, caller.signed_in_ms, here)

    def act(store: Store, moment: Moment) -> tuple[Done, Login]:
        return Done(), acts.confirm(store, yes, moment)

    response, login = await desk.act(request, act)
    if login is not None:
        log.info("login.confirmed", login=found.id, member=caller.member, admin=found.admin)
    return response


@router.post("/v1/logins/refuse", dependencies=[signed_in(in_person=True)])
async def refuse(body: CodeBody, request: Request) -> Response:
    """Say no: the command line is told, and its code is worth nothing any more."""
    found = await _found(request, body.code, caller_of(request))

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        codes.refuse(store, LOGINS, found.id, moment)
        return Done(), None

    response, _ = await desk_of(request).act(request, act)
    return response


async def _found(request: Request, code: str, caller: Caller) -> Login:
    """The request that shows a code. Raises BadCode, TooManyWrong, WrongCode."""
    return await found_by(request, LOGINS, rules.parse_code(code), caller.member, _waits(request))


def _waits(request: Request) -> Waits:
    waits = request.app.state.waits
    assert isinstance(waits, Waits)
    return waits
