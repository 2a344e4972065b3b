"""Domains whose people a network lets in without an invite: list, add, remove.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from mesh.coordinator.acts import networks as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.ids import NetworkId
from mesh.networks.domains import DomainRole, listed
from mesh.sdk.answers import Done
from mesh.sdk.domains import Domain, Domains

router = APIRouter()


class DomainBody(BaseModel):
    """As what who has an address there comes in."""

    model_config = ConfigDict(extra="forbid")
    role: DomainRole = "member"


@router.get("/v1/networks/{network}/domains", dependencies=[needs("network.read")])
async def listing(network: str, request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """The domains in which an e-mail address lets somebody in, by name; those of the operator's own among them."""
    desk = desk_of(request)
    own = listed(desk.parts.snapshot.networks[NetworkId(network)].settings)
    found = {name: Domain(name, "member") for name, of in desk.ways.admits.items() if of == network}
    found |= {name: Domain(name, role, by) for name, (role, by) in own.items()}
    shown = [found[name] for name in sorted(found)]
    return answer(Domains(*page(shown, lambda one: one.domain, limit=limit, cursor=cursor)))


@router.put("/v1/networks/{network}/domains/{domain}", dependencies=[needs("network.change")])
async def add(network: str, domain: str, body: DomainBody, request: Request) -> Response:
    """Let in whoever shows an e-mail address in a domain, exactly that one, from now on."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[Done, Network]:
        changed = acts.list_domain(store, NetworkId(network), domain, body.role, by=caller.member, moment=moment)
        return Done(), changed

    response, changed = await desk.act(request, act)
    if changed is not None:
        desk.parts.snapshot.put_network(changed)
    return response


@router.delete("/v1/networks/{network}/domains/{domain}", dependencies=[needs("network.change")])
async def remove(network: str, domain: str, request: Request) -> Response:
    """Let nobody in by a domain any more; who came by it stays."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[Done, Network]:
        return Done(), acts.drop_domain(store, NetworkId(network), domain, by=caller.member, moment=moment)

    response, changed = await desk.act(request, act)
    if changed is not None:
        desk.parts.snapshot.put_network(changed)
    return response
