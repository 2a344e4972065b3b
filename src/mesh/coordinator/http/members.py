"""People of a network.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response

from mesh.coordinator.http.access import needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.store import networks
from mesh.ids import NetworkId
from mesh.sdk.answers import Member, Members

router = APIRouter()


@router.get("/v1/networks/{network}/members", dependencies=[needs("members.read")])
async def listing(network: str, request: Request) -> Response:
    """Who is in the network, in which role."""
    people = await desk_of(request).parts.database.read(networks.people, NetworkId(network))
    return answer(Members(tuple(Member(person.member, person.name, person.role) for person in people)))
