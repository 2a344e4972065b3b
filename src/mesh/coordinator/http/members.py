"""People of a network.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response

from mesh.coordinator.http.access import caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.store import networks
from mesh.ids import NetworkId
from mesh.sdk.answers import Member, Members

router = APIRouter()


@router.get("/v1/networks/{network}/members", dependencies=[needs("members.read")])
async def listing(network: str, request: Request) -> Response:
    """Who is in the network, in which role. A guest sees whose devices there are, the admins, and themselves."""
    desk, caller = desk_of(request), caller_of(request)
    people = await desk.parts.database.read(networks.people, NetworkId(network))
    owners = {seen.kept.owner for seen in desk.parts.snapshot.devices(NetworkId(network))}
    shown = [
        Member(person.member, person.name, person.role)
        for person in people
        if caller.role != "guest" or person.role == "admin" or person.member in owners | {caller.member}
    ]
    return answer(Members(tuple(shown)))
