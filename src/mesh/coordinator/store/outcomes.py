"""What decisions made of attempts and shares in SQL: gathered in a transaction, and written together.

Touches: database (through the store it is given).
"""

from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.errors import Raced
from mesh.coordinator.store.evidence import JobKey
from mesh.coordinator.store.schema.jobs import attempts
from mesh.coordinator.store.schema.permits import permits, shares

_SAVE_ATTEMPT = Prepared(
    update(attempts)
    .where(attempts.c.network == bindparam("in_network"))
    .where(attempts.c.requester == bindparam("of_requester"))
    .where(attempts.c.job == bindparam("of_job"))
    .where(attempts.c.attempt == bindparam("of_attempt"))
    .values(
        state=bindparam("state"),
        pay=bindparam("pay"),
        fee=bindparam("fee"),
        owed=bindparam("owed"),
        how=bindparam("how"),
        units_paid=bindparam("units_paid"),
        changes=bindparam("changes"),
        matured=bindparam("matured"),
        paid_ms=bindparam("paid_ms"),
        changed_ms=bindparam("changed_ms"),
    )
)
_SAVE_SHARE = Prepared(
    update(shares)
    .where(shares.c.id == bindparam("share"))
    .where(shares.c.state == bindparam("was"))
    .where(shares.c.left == bindparam("had"))
    .values(
        left=bindparam("keeps"),
        paid=bindparam("paid"),
        state=bindparam("becomes"),
        ended_ms=bindparam("ended_ms"),
        end_reason=bindparam("reason"),
    )
)
_OTHER = shares.alias("others")
_CLOSE_PERMIT = Prepared(
    update(permits)
    .where(permits.c.id == bindparam("permit"))
    .where(permits.c.state == "open")
    .where(~select(_OTHER.c.id).where(_OTHER.c.permit == permits.c.id).where(_OTHER.c.state == "open").exists())
    .values(state="closed", closed_ms=bindparam("now"))
)
_LOCK_PERMIT = Prepared(select(permits.c.id).where(permits.c.id == bindparam("permit")).with_for_update(key_share=True))


class ShareChanged(Raced):
    """Somebody else changed a share at the same moment; nothing was written. The report will be sent again."""

    code = "credits.share_changed"


class Standing(NamedTuple):
    """What is written of an attempt after a decision."""

    state: str
    pay: int
    fee: int
    owed: int
    how: str | None
    units_paid: int
    changes: int
    matured: bool
    paid_ms: int | None


class ShareRow(NamedTuple):
    """What is written of a share after a decision."""

    left: int
    paid: int
    state: str
    ended_ms: int | None
    reason: str | None


class Outcomes:
    """Attempts and shares as they are to be. Nothing of it is written before ``flush``: who reads them again, flushes
    first, and so does who wants to change one a second time.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._attempts: list[dict[str, Any]] = []
        self._shares: list[dict[str, Any]] = []
        self._closing: dict[str, tuple[bool, int | None]] = {}

    def attempt(self, key: JobKey, number: int, standing: Standing, now_ms: int) -> None:
        """Take what a decision made of an attempt."""
        whose = {"in_network": key.network, "of_requester": key.requester, "of_job": key.job, "of_attempt": number}
        self._attempts.append({**whose, **standing._asdict(), "changed_ms": now_ms})

    def share(self, before: Any, after: ShareRow) -> None:
        """Take what became of a share; it is written only if nobody changed it since it was read."""
        self._shares.append({
            "share": before.id,
            "was": before.state,
            "had": before.left,
            "keeps": after.left,
            "paid": after.paid,
            "becomes": after.state,
            "ended_ms": after.ended_ms,
            "reason": after.reason,
        })  # fmt: skip
        if before.state == "open" and after.state == "ended":
            self._closing[before.permit] = before.kind != "job", after.ended_ms

    def flush(self) -> None:
        """Write all of it. A permit closes with its last share. Raises ShareChanged, here or at the next answer."""
        if self._attempts:
            self._store.put(_SAVE_ATTEMPT, self._attempts)
        if self._shares:
            self._store.expect(_SAVE_SHARE, self._shares, ShareChanged)
        if self._closing:
            # Whoever ends the other share of a series looks after us.
            several = [{"permit": permit} for permit, (series, _) in sorted(self._closing.items()) if series]
            self._store.lock(_LOCK_PERMIT, *several)
            closing = [{"permit": permit, "now": at} for permit, (_, at) in self._closing.items()]
            self._store.put(_CLOSE_PERMIT, closing)
        self._attempts, self._shares, self._closing = [], [], {}
