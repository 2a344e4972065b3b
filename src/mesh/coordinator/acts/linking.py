"""Linking an identity with a person: nobody else has it, and there is room.

Touches: database (through the store it is given).
"""

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import ways_in
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.ways_in import Linked
from mesh.ids import MemberId
from mesh.networks import ways_in as rules
from mesh.networks.ways_in import Identity, TakenByOther, TooManyWays


def link(store: Store, member: MemberId, identity: Identity, moment: Moment) -> None:
    """A person may sign in with this identity from now on. Raises TakenByOther, TooManyWays."""
    known = ways_in.identity(store, identity.issuer, identity.subject)
    if known is not None:
        if known.member != member:
            raise TakenByOther
        ways_in.use_identity(store, known, label=identity.label, now_ms=moment.now_ms)
        return
    room(store, member)
    linked = Linked(moment.new_id(), member, identity.issuer, identity.label, moment.now_ms, moment.now_ms)
    ways_in.add_identity(store, linked, subject=identity.subject)


def room(store: Store, member: MemberId) -> None:
    """Refuse a person who has very many ways in already. Raises TooManyWays."""
    if len(ways_in.identities_of(store, member)) + len(ways_in.passkeys_of(store, member)) >= rules.WAYS_MAX:
        raise TooManyWays
