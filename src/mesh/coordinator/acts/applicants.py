"""Admins let people in who wait, or refuse them; who waits may withdraw, and nobody waits for good.

Each is one conditional change of the row, so that of two at once the first one holds and the second is told of it.

Touches: database (through the store it is given).
"""

from mesh.coordinator.acts import ledger
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import applicants, decisions, networks
from mesh.coordinator.store.applicants import Applicant
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Membership
from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId
from mesh.networks.applicants import WAITS_S, NobodyAsked, NotWaiting, reason
from mesh.networks.membership import require


def approve(store: Store, network: NetworkId, member: MemberId, *, by: MemberId, moment: Moment) -> Membership | None:
    """An admin lets somebody in who waits: as what they were invited, with the allowance that newcomers have.

    None where somebody did so before. Raises NobodyAsked, NotWaiting, NotAllowed.
    """
    require(networks.role(store, network, by), "members.approve")
    waiting = applicants.one(store, network, member)
    if waiting is None or not applicants.approve(store, network, member, by=by, now_ms=moment.now_ms):
        if _outcome(store, network, member) == "approved":
            return None
        raise _not_waiting(store, network, member)
    if waiting.role != "guest":
        ledger.welcome(store, network, member, by, moment)
    decisions.add(store, network, by, ("member.approve", member), {"role": waiting.role}, moment.now_ms)
    return Membership(network, member, waiting.role, waiting.invited_by)


def refuse(store: Store, network: NetworkId, member: MemberId, why: str, *, by: MemberId, moment: Moment) -> bool:
    """An admin does not let somebody in who waits; ``why`` is told to them. False where somebody did so before.

    Raises NobodyAsked, NotWaiting, NotAllowed, BadWhy.
    """
    require(networks.role(store, network, by), "members.approve")
    if not applicants.end(store, network, member, ("refused", reason(why)), by=by, now_ms=moment.now_ms):
        if _outcome(store, network, member) == "refused":
            return False
        raise _not_waiting(store, network, member)
    decisions.add(store, network, by, ("member.refuse", member), {}, moment.now_ms)
    return True


def withdraw(store: Store, network: NetworkId, member: MemberId, moment: Moment) -> None:
    """Somebody who waits does not want to come in any more. Raises NobodyAsked, NotWaiting."""
    if not applicants.end(store, network, member, ("withdrawn", ""), by=None, now_ms=moment.now_ms):
        raise _not_waiting(store, network, member)


def expire(store: Store, moment: Moment) -> list[Applicant]:
    """End requests that nobody answered for a month; returns some of those whose time is over, none once all are."""
    overdue = applicants.overdue(store, before_ms=moment.now_ms - int(WAITS_S * 1000))
    for one in overdue:
        applicants.end(store, one.network, one.member, ("expired", ""), by=None, now_ms=moment.now_ms)
    return overdue


def _outcome(store: Store, network: NetworkId, member: MemberId) -> str | None:
    """``approved`` (and in it still), ``refused``, ``withdrawn``, ``expired``, ``left``; None: they never asked."""
    found = applicants.outcome(store, network, member)
    if found is None:
        return None
    return "approved" if found.state == "active" else found.ended or "left"


def _not_waiting(store: Store, network: NetworkId, member: MemberId) -> MeshError:
    found, outcome = applicants.outcome(store, network, member), _outcome(store, network, member)
    if found is None or outcome is None:
        return NobodyAsked()
    words = {"approved": f"{found.by or 'somebody'} let them in", "refused": f"{found.by or 'an admin'} refused it"}
    words |= {"withdrawn": "they withdrew it", "expired": "it expired", "left": "they are not in the network any more"}
    return NotWaiting(
        f"This request is no longer open: {words[outcome]}. Look at the list again.", outcome=outcome, by=found.by
    )
