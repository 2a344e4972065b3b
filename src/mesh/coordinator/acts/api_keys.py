"""Making and revoking API keys.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import api_keys, networks
from mesh.coordinator.store.connection import Store
from mesh.ids import MemberId, NetworkId
from mesh.networks import api_keys as rules
from mesh.networks.api_keys import ApiKey, BadTerms, KeyUnknown, TooManyKeys
from mesh.networks.membership import NotMember, require
from mesh.networks.names import person_name

MINUTE_S = 60.0


class Terms(NamedTuple):
    """What a new key is called, what it may do, and for how many seconds it works."""

    name: str
    scopes: Sequence[str]
    life_s: float


def make(
    store: Store, terms: Terms, *, network: NetworkId, member: MemberId, token_hash: str, moment: Moment
) -> ApiKey:
    """A new key. Raises BadTerms, BadScope, NotAllowed, TooManyKeys, BadName, NotMember."""
    role = networks.role(store, network, member)
    if role is None:
        raise NotMember
    if not MINUTE_S <= terms.life_s <= rules.LIFE_S_MAX:
        raise BadTerms
    mine = [key for key in of(store, network, member) if rules.works(key, moment.now_ms)]
    if len(mine) >= rules.KEYS_MAX:
        raise TooManyKeys
    key = ApiKey(
        id=moment.new_id(),
        network=network,
        member=member,
        name=person_name(terms.name),
        scopes=rules.granted(role, terms.scopes),
        created_ms=moment.now_ms,
        expires_ms=moment.now_ms + int(terms.life_s * 1000),
    )
    api_keys.add(store, key, token_hash=token_hash)
    return key


def of(store: Store, network: NetworkId, member: MemberId | None) -> list[ApiKey]:
    """The keys of one member in a network, or of everybody: those not revoked, newest first."""
    return [key for key in api_keys.of_network(store, network) if member in (None, key.member)]


def revoke(store: Store, network: NetworkId, key: str, *, by: MemberId, moment: Moment) -> None:
    """A key works no more: one's own, or anybody's as an admin. The same again is fine. Raises KeyUnknown."""
    known = api_keys.get(store, network, key)
    if known is None:
        raise KeyUnknown
    if known.member != by:
        require(networks.role(store, network, by), "keys.revoke_any")
    api_keys.revoke(store, key, now_ms=moment.now_ms)
