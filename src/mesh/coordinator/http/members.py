"""People of a network: list, give another role, let go.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from mesh.coordinator.acts import members as acts
from mesh.coordinator.acts.members import Gone
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.http.visible import visible
from mesh.coordinator.store import networks
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Membership
from mesh.ids import MemberId, NetworkId
from mesh.protocol.values import Role
from mesh.sdk.answers import Done, Member, Members

router = APIRouter()


class RoleBody(BaseModel):
    """A person's new role."""

    role: Role


@router.get("/v1/networks/{network}/members", dependencies=[needs("members.read")])
async def listing(network: str, request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """Who is in the network, in which role. A guest sees whose devices they may use, the admins, and themselves."""
    desk, caller = desk_of(request), caller_of(request)
    people = await desk.parts.database.read(networks.people, NetworkId(network))
    snapshot = desk.parts.snapshot
    owners = {seen.kept.owner for seen in snapshot.devices(NetworkId(network)) if visible(snapshot, seen, caller)}
    shown = [
        Member(person.member, person.name, person.role)
        for person in people
        if caller.role != "guest" or person.role == "admin" or person.member in owners | {caller.member}
    ]
    return answer(Members(*page(shown, lambda one: one.member, limit=limit, cursor=cursor)))


@router.put("/v1/networks/{network}/members/{member}", dependencies=[needs("members.change")])
async def change_role(network: str, member: str, body: RoleBody, request: Request) -> Response:
    """Give a person another role; the last admin stays one."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[Done, Membership]:
        return Done(), acts.change_role(store, NetworkId(network), MemberId(member), body.role, caller.member, moment)

    response, membership = await desk.act(request, act)
    if membership is not None:
        desk.news.role_changed(membership)
    return response


@router.delete("/v1/networks/{network}/members/{member}", dependencies=[needs("members.leave")])
async def remove(network: str, member: str, request: Request) -> Response:
    """Leave, or let somebody go as an admin: their devices are cut off at once."""
    desk, caller = desk_of(request), caller_of(request)
    if member != caller.member:
        caller.need("members.change")

    def act(store: Store, moment: Moment) -> tuple[Done, Gone]:
        gone = acts.remove(store, NetworkId(network), MemberId(member), by=caller.member, moment=moment)
        return Done(), gone

    response, gone = await desk.act(request, act)
    if gone is not None:
        await desk.news.person_left(gone)
    return response
