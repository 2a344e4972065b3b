"""The ledger: lines, one's balance, and the proof that everything adds up.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response

from mesh.coordinator.acts import ledger as acts
from mesh.coordinator.http.access import caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.ids import NetworkId

router = APIRouter()
LIMIT_DEFAULT = 50


@router.get("/v1/networks/{network}/ledger", dependencies=[needs("ledger.read_own")])
async def lines(network: str, request: Request, limit: int = LIMIT_DEFAULT, cursor: str | None = None) -> Response:
    """Lines newest first: one's own, for admins everybody's."""
    caller = caller_of(request)
    whose = None if caller.may("ledger.read_all") else caller.member
    page = await desk_of(request).parts.database.read(acts.show, NetworkId(network), whose, cursor=cursor, limit=limit)
    return answer({"lines": [line._asdict() for line in page.lines], "cursor": page.cursor})


@router.get("/v1/networks/{network}/ledger/verify", dependencies=[needs("ledger.read_own")])
async def verify(network: str, request: Request) -> Response:
    """Derive every balance anew: whether all is well, and else the first row that is wrong."""
    proof = await desk_of(request).parts.database.read(acts.verify, NetworkId(network))
    wrong = None if proof.wrong is None else proof.wrong._asdict()
    return answer({**proof._asdict(), "wrong": wrong, "problems": [] if wrong is None else [wrong]})


@router.get("/v1/networks/{network}/balance", dependencies=[needs("ledger.read_own")])
async def balance(network: str, request: Request) -> Response:
    """One's credits."""
    caller = caller_of(request)
    found = await desk_of(request).parts.database.read(acts.balance, NetworkId(network), caller.member)
    return answer(found._asdict())
