"""People who wait for an admin: the list, a yes, a no; and one's own requests.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mesh.coordinator.acts import applicants as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import caller_of, needs, signed_in
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.store import applicants
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Membership
from mesh.ids import MemberId, NetworkId
from mesh.networks.applicants import expires_ms
from mesh.sdk.answers import Done
from mesh.sdk.applicants import Applicant, Applicants, Asked, AskedNetworks, Decided

router = APIRouter()


class RefusalBody(BaseModel):
    """Why, for the person to read; "": nothing is said."""

    model_config = ConfigDict(extra="forbid")
    why: str = Field(default="", max_length=400)


@router.get("/v1/networks/{network}/applicants", dependencies=[needs("members.approve")])
async def listing(network: str, request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """Who waits to be let in, first come first: as what they would come, and what is known of how they came."""
    waiting = await desk_of(request).parts.database.read(applicants.of_network, NetworkId(network))
    shown = [
        Applicant(
            one.member,
            one.name,
            one.role,
            one.asked_ms,
            expires_ms(one.asked_ms),
            one.invited_by,
            one.invite_name or "",
            one.address or "",
        )
        for one in waiting
    ]
    return answer(Applicants(*page(shown, lambda one: one.member, limit=limit, cursor=cursor)))


@router.post("/v1/networks/{network}/applicants/{applicant}/approve", dependencies=[needs("members.approve")])
async def approve(network: str, applicant: str, request: Request) -> Response:
    """Let somebody in who waits; where another admin did so before, it stays as it is."""
    desk, caller, member = desk_of(request), caller_of(request), MemberId(applicant)

    def act(store: Store, moment: Moment) -> tuple[Decided, Membership | None]:
        membership = acts.approve(store, NetworkId(network), member, by=caller.member, moment=moment)
        return Decided(member, "active"), membership

    response, membership = await desk.act(request, act)
    if membership is not None:
        desk.news.person_joined(membership)
    return response


@router.post("/v1/networks/{network}/applicants/{applicant}/refuse", dependencies=[needs("members.approve")])
async def refuse(network: str, applicant: str, body: RefusalBody, request: Request) -> Response:
    """Do not let somebody in who waits: they are told, with the reason if one is given. Their invite's use is spent."""
    desk, caller, member = desk_of(request), caller_of(request), MemberId(applicant)

    def act(store: Store, moment: Moment) -> tuple[Decided, bool]:
        ended = acts.refuse(store, NetworkId(network), member, body.why, by=caller.member, moment=moment)
        return Decided(member, "refused"), ended

    response, ended = await desk.act(request, act)
    if ended:
        desk.news.request_ended(NetworkId(network))
    return response


@router.get("/v1/me/networks", dependencies=[signed_in()])
async def mine(request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """Where the caller waits for an admin, and for 30 days what became of requests that led to nothing."""
    shown = await desk_of(request).parts.database.read(asked_by, caller_of(request).member)
    return answer(AskedNetworks(*page(shown, lambda one: one.network, limit=limit, cursor=cursor)))


@router.delete("/v1/me/networks/{asked}", dependencies=[signed_in()])
async def withdraw(asked: str, request: Request) -> Response:
    """The caller does not want to come into a network any more in which they wait for an admin."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[Done, bool]:
        acts.withdraw(store, NetworkId(asked), caller.member, moment)
        return Done(), True

    response, ended = await desk.act(request, act)
    if ended:
        desk.news.request_ended(NetworkId(asked))
    return response


def asked_by(store: Store, member: MemberId) -> list[Asked]:
    """Where somebody asked to come in and is not in, as they may know it."""
    return [
        Asked(
            one.network,
            one.name,
            one.role,
            one.ended or one.state,
            one.asked_ms,
            one.ended_ms or expires_ms(one.asked_ms),
            one.why or "",
        )
        for one in applicants.of_member(store, member)
    ]
