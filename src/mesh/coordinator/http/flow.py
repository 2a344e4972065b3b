"""A sign-in that takes several steps: what it is bound to lies sealed in a cookie of the browser that began it.

So nothing is kept here, and only that browser can go on: who sends somebody else an answer of theirs signs nobody in.

Touches: clock (through the desk).
"""

from collections.abc import Iterable
from typing import Literal

import msgspec
from fastapi import Request, Response
from nacl.exceptions import CryptoError

from mesh.coordinator.http.cookie import cookie_in, kept_by_browser
from mesh.coordinator.http.desk import Desk, desk_of
from mesh.coordinator.signing_in.providers import Step
from mesh.errors import MeshError
from mesh.ids import MemberId

LIFE_S = 600
"""Long enough to sign in at a provider, with a second factor that is in another room."""
NAME = "mesh-flow"
Back = Literal["/", "/device"]
"""Where a sign-in may lead: these addresses of our own and no other, so that nobody's link leads anywhere else."""


class FlowLost(MeshError):
    """This was begun in another browser, or more than ten minutes ago. Begin again here."""

    code = "ways.flow_lost"
    kind = "gone"


class Flow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sign-in under way. ``member``: who links a further way in; None where somebody signs in.

    ``step``: at a provider; ``challenge``: of a passkey, in hex; ``secret_hash``: of an invite that is used with it.
    """

    way: str
    until_ms: int
    member: MemberId | None = None
    step: Step | None = None
    challenge: str = ""
    secret_hash: str | None = None
    name: str = ""
    label: str | None = None
    back: Back = "/"


def begin(response: Response, desk: Desk, flow: Flow) -> Response:
    """Let the browser carry a sign-in that has begun."""
    sealed = desk.sealing().seal(msgspec.json.encode(flow))
    response.headers.append("set-cookie", _cookie(sealed, LIFE_S, desk))
    return response


def end(response: Response, desk: Desk) -> Response:
    """The browser forgets it: it is over."""
    response.headers.append("set-cookie", _cookie("", 0, desk))
    return response


def until_ms(desk: Desk) -> int:
    """When a sign-in that begins now is over."""
    return desk.parts.now_ms() + LIFE_S * 1000


def under_way(request: Request, ways: Iterable[str], member: MemberId | None) -> Flow:
    """The sign-in that this browser has begun, by one of these ways, for this person. Raises FlowLost."""
    desk = desk_of(request)
    sealed = cookie_in(request.headers.raw, NAME, secure=desk.parts.site.secure)
    if sealed is None:
        raise FlowLost
    try:
        flow = msgspec.json.decode(desk.sealing().open(sealed), type=Flow)
    except (CryptoError, ValueError, msgspec.DecodeError) as error:
        raise FlowLost from error
    if desk.parts.now_ms() >= flow.until_ms or flow.way not in set(ways) or flow.member != member:
        raise FlowLost
    return flow


def _cookie(value: str, life_s: int, desk: Desk) -> str:
    return kept_by_browser(NAME, value, life_s, secure=desk.parts.site.secure)
