"""A person comes into a network, by whichever way: they are in it at once, or wait for an admin.

Touches: database (through the store it is given).
"""

from collections.abc import Mapping
from typing import NamedTuple

from mesh.coordinator.acts import ledger
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import applicants, networks
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Membership
from mesh.ids import MemberId, NetworkId
from mesh.networks.applicants import APPROVE_PEOPLE, WAITING_MAX, AlreadyWaits, QueueFull, must_wait
from mesh.networks.domains import Listing, domain_of, lets_in
from mesh.networks.membership import NotMember


class Coming(NamedTuple):
    """Who comes, into what, as what. ``asks``: their link wants an admin's approval; ``invite_name``: for whom it was;
    ``address``: the one that they proved by coming, "" for none.
    """

    who: Membership
    asks: bool = False
    invite_name: str = ""
    address: str = ""


def come_in(store: Store, coming: Coming, moment: Moment) -> Membership:
    """Let somebody in, or have them wait. The caller has looked at their link, and whether they are in already.

    Who waits, and comes by a link that asks for no approval, is in. Raises NotMember, AlreadyWaits, QueueFull.
    """
    who = coming.who
    network, before = networks.get(store, who.network), networks.state(store, who.network, who.member)
    if network is None:
        raise NotMember
    if must_wait(link_asks=coming.asks, network_asks=bool(network.settings.get(APPROVE_PEOPLE))):
        if before == "pending":
            raise AlreadyWaits
        if applicants.count(store, who.network) >= WAITING_MAX:
            raise QueueFull
        about = (coming.invite_name, coming.address)
        applicants.ask(store, who, about, again=before is not None, now_ms=moment.now_ms)
        return who._replace(state="pending")
    if before is None:
        networks.add_membership(
            store, who.network, who.member, role=who.role, invited_by=who.invited_by, now_ms=moment.now_ms
        )
    else:
        networks.come_back(store, who, now_ms=moment.now_ms)
    if who.role != "guest" and who.invited_by is not None:
        ledger.welcome(store, who.network, who.member, who.invited_by, moment)
    return who


def listings(store: Store, address: str, admits: Mapping[str, NetworkId]) -> list[Listing]:
    """The networks that let in whoever has this e-mail address, which somebody has just shown to be theirs.

    ``by`` counts as whose invite it is: who listed the domain, or an admin of today where they are none any more.
    """
    every = [(network.id, network.settings) for network in networks.every(store)]
    return [one._replace(by=_inviter(store, one)) for one in lets_in(domain_of(address), every, admits)]


def by_domain(
    store: Store, member: MemberId, address: str, admits: Mapping[str, NetworkId], moment: Moment
) -> tuple[Membership, ...]:
    """Bring somebody into all networks that list the domain of their address, but where they are, wait, or once were.

    Raises QueueFull where nothing came of it for that reason.
    """
    came, full = list[Membership](), None
    for listing in listings(store, address, admits):
        if networks.state(store, listing.network, member) is not None:
            continue
        who = Membership(listing.network, member, listing.role, listing.by)
        try:
            came.append(come_in(store, Coming(who, address=address), moment))
        except QueueFull as error:
            full = error
    if full is not None and not came:
        raise full
    return tuple(came)


def _inviter(store: Store, listing: Listing) -> MemberId | None:
    if listing.by is None:
        return None
    admins = [one.member for one in networks.people(store, listing.network) if one.role == "admin"]
    return listing.by if listing.by in admins else next(iter(admins), None)
