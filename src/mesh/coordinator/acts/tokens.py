"""Making and withdrawing join links.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import tokens
from mesh.coordinator.store.connection import Store
from mesh.ids import MemberId, NetworkId, TokenId
from mesh.networks.names import machine_name, person_name
from mesh.networks.tokens import EPHEMERAL_S, JoinToken, OnePerson, Purpose, TokenUnknown, check_terms, tags_of
from mesh.protocol.values import Role


class Terms(NamedTuple):
    """What a link allows: for whom, how often, for how many seconds, and whether an admin must still approve.

    ``tags`` are kept on the devices that come by it; ``ephemeral`` ones go by themselves once offline for long.
    ``address``: of the one person who may use it, as ``ways_in.mail_address`` writes it; "": whoever has the link.
    ``mailed``: it is brought there by a letter.
    """

    purpose: Purpose
    role: Role
    name: str
    uses: int
    life_s: float
    approve: bool
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    address: str = ""
    mailed: bool = False


def make(
    store: Store, terms: Terms, *, network: NetworkId, maker: MemberId, secret_hash: str, moment: Moment
) -> JoinToken:
    """A new link. Raises TermsRefused, OnePerson, BadName, BadTag."""
    check_terms(uses=terms.uses, life_s=terms.life_s)
    if terms.address and (terms.uses != 1 or terms.purpose != "member"):
        raise OnePerson
    called = person_name if terms.purpose == "member" else machine_name
    name = called(terms.name) if terms.name else ""
    token = JoinToken(
        id=TokenId(moment.new_id()),
        purpose=terms.purpose,
        expires_ms=moment.now_ms + int(terms.life_s * 1000),
        uses_max=terms.uses,
        network=network,
        maker=maker,
        role=terms.role,
        name=name,
        approved=not terms.approve,
        tags=tags_of(terms.tags),
        leaves_after_s=EPHEMERAL_S if terms.ephemeral else None,
        address=terms.address,
        letter="waiting" if terms.mailed else "",
    )
    tokens.add(store, token, secret_hash=secret_hash, now_ms=moment.now_ms)
    return token


def withdraw(store: Store, network: NetworkId, token: TokenId, moment: Moment) -> None:
    """Nobody comes in by this link any more. Raises TokenUnknown."""
    if not tokens.revoke(store, network, token, now_ms=moment.now_ms):
        raise TokenUnknown
