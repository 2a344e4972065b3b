"""Queries about join tokens: kept by the hash of their secret, counted down in the transaction that uses them.

Touches: database (through the store it is given).
"""

from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, func, insert, or_, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.networks import join_tokens
from mesh.coordinator.store.schema.ways_in import identities
from mesh.ids import MemberId, NetworkId, TokenId
from mesh.networks.tokens import JoinToken, Letter
from mesh.networks.ways_in import MAIL_ISSUER

_COLUMNS = (
    join_tokens.c.id,
    join_tokens.c.purpose,
    join_tokens.c.expires_ms,
    join_tokens.c.uses_max,
    join_tokens.c.uses_left,
    join_tokens.c.network,
    join_tokens.c.created_by,
    join_tokens.c.role,
    join_tokens.c.name,
    join_tokens.c.approve,
    join_tokens.c.revoked_ms,
    join_tokens.c.tags,
    join_tokens.c.leaves_after_s,
    join_tokens.c.address,
    join_tokens.c.letter,
)
_add = insert(join_tokens)
_by_secret = select(*_COLUMNS).where(join_tokens.c.secret_hash == bindparam("secret_hash"))
_one = select(*_COLUMNS).where(join_tokens.c.id == bindparam("token"))
_of_network = select(*_COLUMNS).where(join_tokens.c.network == bindparam("network")).order_by(join_tokens.c.id.desc())
_use = (
    update(join_tokens)
    .where(join_tokens.c.id == bindparam("which"), join_tokens.c.uses_left > 0)
    .values(uses_left=join_tokens.c.uses_left - 1, used_ms=bindparam("now"))
)
_revoke = (
    update(join_tokens)
    .where(
        join_tokens.c.id == bindparam("which"),
        join_tokens.c.network == bindparam("of"),
        join_tokens.c.revoked_ms.is_(None),
    )
    .values(revoked_ms=bindparam("now"))
)
_revoke_made_by = (
    update(join_tokens)
    .where(
        join_tokens.c.network == bindparam("of"),
        join_tokens.c.created_by == bindparam("who"),
        join_tokens.c.revoked_ms.is_(None),
    )
    .values(revoked_ms=bindparam("now"))
)
_known = select(join_tokens.c.id).where(
    join_tokens.c.id == bindparam("which"), join_tokens.c.network == bindparam("of")
)
_forget_names = (
    update(join_tokens)
    .where(
        or_(join_tokens.c.name.is_not(None), join_tokens.c.address.is_not(None)),
        or_(
            join_tokens.c.expires_ms < bindparam("before"),
            join_tokens.c.revoked_ms < bindparam("before"),
            and_(join_tokens.c.uses_left == 0, join_tokens.c.used_ms < bindparam("before")),
        ),
    )
    .values(name=None, address=None)
)
_set_letter = update(join_tokens).where(join_tokens.c.id == bindparam("which")).values(letter=bindparam("became"))
_lose_letters = (
    update(join_tokens)
    .where(join_tokens.c.letter == "waiting", join_tokens.c.created_ms < bindparam("made_before"))
    .values(letter="failed")
)
LETTER_LOST_MS = 3_600_000
"""A letter that still waits after so long is sent by nobody: a full queue is through in less, at a second a letter."""
_withdraw_to_linked = (
    update(join_tokens)
    .where(
        join_tokens.c.address.in_(
            select(identities.c.subject).where(
                identities.c.issuer == MAIL_ISSUER, identities.c.member == bindparam("who")
            )
        )
    )
    .values(address=None, name=None, revoked_ms=func.coalesce(join_tokens.c.revoked_ms, bindparam("now")))
)
_forget_claims = delete(join_tokens).where(join_tokens.c.purpose == "claim")


def add(store: Store, token: JoinToken, *, secret_hash: str, now_ms: int) -> None:
    """A new way in."""
    store.run(
        _add,
        {
            "id": token.id,
            "purpose": token.purpose,
            "secret_hash": secret_hash,
            "network": token.network,
            "role": token.role,
            "name": token.name,
            "approve": not token.approved,
            "tags": list(token.tags),
            "leaves_after_s": token.leaves_after_s,
            "address": token.address or None,
            "letter": token.letter or None,
            "uses_max": token.uses_max,
            "uses_left": token.uses_max - token.uses,
            "created_by": token.maker,
            "created_ms": now_ms,
            "expires_ms": token.expires_ms,
        },
    )


def by_secret(store: Store, secret_hash: str) -> JoinToken | None:
    """The token whose secret has this SHA-256; equal hashes of 256 random bits leak nothing by their timing."""
    row = store.row(_by_secret, {"secret_hash": secret_hash})
    return None if row is None else _token(row)


def get(store: Store, token: TokenId) -> JoinToken | None:
    """One token."""
    row = store.row(_one, {"token": token})
    return None if row is None else _token(row)


def of_network(store: Store, network: NetworkId) -> list[JoinToken]:
    """A network's tokens, newest first."""
    return [_token(row) for row in store.rows(_of_network, {"network": network})]


def use(store: Store, token: TokenId, *, now_ms: int) -> bool:
    """Count one use; False where none was left."""
    return store.run(_use, {"which": token, "now": now_ms}) == 1


def revoke(store: Store, network: NetworkId, token: TokenId, *, now_ms: int) -> bool:
    """Withdraw a token of a network; False where it has none such. Once is enough."""
    if store.value(_known, {"which": token, "of": network}) is None:
        return False
    store.run(_revoke, {"which": token, "of": network, "now": now_ms})
    return True


def revoke_made_by(store: Store, network: NetworkId, maker: MemberId, *, now_ms: int) -> None:
    """Withdraw all links that somebody made in a network."""
    store.run(_revoke_made_by, {"of": network, "who": maker, "now": now_ms})


def forget_claims(store: Store) -> None:
    """Drop claim links of earlier starts: nobody may find one in an old journal and use it."""
    store.run(_forget_claims)


def forget_names(store: Store, *, before_ms: int) -> int:
    """Forget for whom links were that ended before a moment."""
    return store.run(_forget_names, {"before": before_ms})


def set_letter(store: Store, token: TokenId, became: Letter) -> None:
    """What became of the letter that brings an invite to its address."""
    store.run(_set_letter, {"which": token, "became": became})


def lose_letters(store: Store, now_ms: int, *, at_start: bool = False) -> None:
    """Letters that waited when a coordinator stopped: their links are gone with its memory.

    Where a start has the database to itself, on SQLite, all that wait are lost; else another coordinator may be at
    them, and only those are that wait too long.
    """
    all_ = at_start and store.connection.dialect.name == "sqlite"
    store.run(_lose_letters, {"made_before": now_ms + 1 if all_ else now_ms - LETTER_LOST_MS})


def withdraw_to_linked(store: Store, member: MemberId, *, now_ms: int) -> None:
    """Withdraw invites to the addresses that a person has linked, and forget those; never one without the other."""
    store.run(_withdraw_to_linked, {"who": member, "now": now_ms})


def _token(row: Row[Any]) -> JoinToken:
    return JoinToken(
        id=row.id,
        purpose=row.purpose,
        expires_ms=row.expires_ms,
        uses_max=row.uses_max,
        uses=row.uses_max - row.uses_left,
        network=row.network,
        maker=row.created_by,
        role=row.role or "member",
        name=row.name or "",
        approved=not row.approve,
        revoked=row.revoked_ms is not None,
        tags=tuple(row.tags),
        leaves_after_s=row.leaves_after_s,
        address=row.address or "",
        letter=row.letter or "",
    )
