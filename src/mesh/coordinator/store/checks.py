"""Spot checks in SQL: what was drawn, what came of it, the pay that waits for it, and devices in quarantine.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, false, func, or_, select, true, update

from mesh.coordinator.store.connection import Prepared, Store, adding_once
from mesh.coordinator.store.evidence import JobKey
from mesh.coordinator.store.schema.devices import devices
from mesh.coordinator.store.schema.jobs import attempts, checks
from mesh.coordinator.store.schema.networks import memberships, networks
from mesh.coordinator.store.schema.permits import permits, shares
from mesh.ids import DeviceId, NetworkId

_ADD = adding_once(
    checks,
    "id", "network", "requester", "job", "attempt", "worker", "owner", "admin", "weighs", "asked_ms", "until_ms",
)  # fmt: skip
_COUNT = Prepared(
    update(devices)
    .where(devices.c.id == bindparam("device"))
    .where(devices.c.streak < bindparam("most"))
    .values(streak=devices.c.streak + 1)
)
_WHO = Prepared(
    select(devices.c.owner, memberships.c.role)
    .outerjoin(
        memberships,
        and_(
            memberships.c.network == devices.c.network,
            memberships.c.member == devices.c.owner,
            memberships.c.state == "active",
        ),
    )
    .where(devices.c.id == bindparam("device"))
)
_ONE = Prepared(select(checks).where(checks.c.id == bindparam("check")))
_DECIDE = Prepared(
    update(checks)
    .where(checks.c.id == bindparam("check"))
    .where(checks.c.state == "asked")
    .values(state=bindparam("becomes"), verdict=bindparam("verdict"), decided_ms=bindparam("now"))
)
_SKIP = Prepared(
    update(checks)
    .where(checks.c.state == "asked")
    .where(checks.c.until_ms < bindparam("now"))
    .values(state="skipped", decided_ms=bindparam("now"))
)
_MISSES = Prepared(
    select(checks.c.owner, checks.c.admin)
    .where(checks.c.worker == bindparam("worker"))
    .where(checks.c.state == "missed")
    .where(checks.c.cleared_ms.is_(None))
)
_SINCE = (
    select(func.coalesce(func.max(checks.c.decided_ms), 0))
    .where(checks.c.worker == bindparam("worker"))
    .where(checks.c.state == "missed")
    .scalar_subquery()
)
_PASSES = Prepared(
    select(func.count())
    .select_from(checks)
    .where(checks.c.worker == bindparam("worker"))
    .where(checks.c.state == "passed")
    .where(checks.c.weighs == true())
    .where(checks.c.decided_ms > _SINCE)
)
_HOPED = Prepared(
    select(func.count())
    .select_from(checks)
    .where(checks.c.worker == bindparam("worker"))
    .where(checks.c.weighs == true())
    .where(or_(checks.c.state == "asked", and_(checks.c.state == "passed", checks.c.decided_ms > _SINCE)))
)
_QUARANTINE = Prepared(
    update(devices)
    .where(devices.c.id == bindparam("device"))
    .where(devices.c.quarantined_ms.is_(None))
    .values(quarantined_ms=bindparam("now"), streak=0)
)
_RELEASE = Prepared(
    update(devices)
    .where(devices.c.id == bindparam("device"))
    .where(devices.c.quarantined_ms.is_not(None))
    .values(quarantined_ms=None, streak=0)
)
_ANEW = Prepared(update(devices).where(devices.c.id == bindparam("device")).values(streak=0))
_CLEAR = Prepared(
    update(checks)
    .where(checks.c.worker == bindparam("worker"))
    .where(checks.c.state == "missed")
    .where(checks.c.cleared_ms.is_(None))
    .where(or_(bindparam("which") == "", checks.c.id == bindparam("which")))
    .values(cleared_ms=bindparam("now"))
)
_WAITS = and_(attempts.c.matured == false(), attempts.c.pay > 0)
_EARNER = and_(memberships.c.network == attempts.c.network, memberships.c.member == attempts.c.earner)
_WORKERS = Prepared(
    select(attempts.c.worker, func.count().label("waiting"))
    .join(devices, devices.c.id == attempts.c.worker)
    .where(_WAITS)
    .where(devices.c.quarantined_ms.is_(None))
    .group_by(attempts.c.worker)
)
_CHECK_OF = and_(
    checks.c.network == attempts.c.network,
    checks.c.requester == attempts.c.requester,
    checks.c.job == attempts.c.job,
    checks.c.attempt == attempts.c.attempt,
)
_PENDING = Prepared(
    select(
        attempts,
        networks.c.credit_line,
        memberships.c.trusted,
        checks.c.state.label("check_state"),
        checks.c.cleared_ms.label("check_cleared_ms"),
        permits.c.payer,
        permits.c.tariff_version,
        permits.c.price_micro,
        permits.c.price_per,
    )
    .join(networks, networks.c.id == attempts.c.network)
    .join(permits, permits.c.id == attempts.c.permit)
    .outerjoin(memberships, _EARNER)
    .outerjoin(checks, _CHECK_OF)
    .where(_WAITS)
    .where(attempts.c.worker == bindparam("worker"))
    .order_by(attempts.c.paid_ms, attempts.c.job)
    .limit(bindparam("most"))
)
_PENDING_IN = Prepared(
    select(attempts, permits.c.tariff_version, permits.c.price_micro, permits.c.price_per)
    .join(permits, permits.c.id == attempts.c.permit)
    .where(_WAITS)
    .where(attempts.c.network == bindparam("network"))
    .order_by(attempts.c.paid_ms, attempts.c.job)
)
_TAKE_BACK = Prepared(
    update(shares).where(shares.c.id == bindparam("share")).values(paid=shares.c.paid - bindparam("back"))
)
_OPEN_MISSES = Prepared(
    select(checks)
    .join(devices, devices.c.id == checks.c.worker)
    .where(checks.c.network == bindparam("network"))
    .where(checks.c.state == "missed")
    .where(checks.c.cleared_ms.is_(None))
    .where(devices.c.removed_ms.is_(None))
    .order_by(checks.c.decided_ms.desc())
    .limit(bindparam("most"))
)
_HELD = Prepared(
    select(devices.c.id, devices.c.owner, devices.c.quarantined_ms)
    .where(devices.c.network == bindparam("network"))
    .where(devices.c.quarantined_ms.is_not(None))
    .where(devices.c.removed_ms.is_(None))
    .order_by(devices.c.quarantined_ms.desc())
    .limit(bindparam("most"))
)
_OF_WORKER = Prepared(
    select(checks)
    .where(checks.c.worker == bindparam("worker"))
    .order_by(checks.c.asked_ms.desc(), checks.c.id.desc())
    .limit(bindparam("most"))
)


def add(store: Store, key: JobKey, attempt: Any, *, check: str, at: tuple[int, int]) -> bool:
    """Keep that an attempt was drawn; ``at``: when, and until when a verdict counts. False where it was before."""
    who = store.row(_WHO, {"device": key.requester})
    if who is None or who.owner == attempt.earner:
        return False
    admin = who.role == "admin"
    row = {**key._asdict(), "id": check, "attempt": attempt.attempt, "worker": attempt.worker, "owner": who.owner}
    return store.run(_ADD, {**row, "admin": admin, "weighs": admin, "asked_ms": at[0], "until_ms": at[1]}) == 1


def may_weigh(store: Store, key: JobKey, earner: str) -> tuple[bool, bool]:
    """Whether a check of a job is one by an admin's device, and whether its requester's owner is its earner."""
    who = store.row(_WHO, {"device": key.requester})
    return (who is not None and who.role == "admin", who is None or who.owner == earner)


def hoped(store: Store, worker: DeviceId) -> int:
    """Checks of a device that weigh: those it passed since its last miss, and those that are not decided yet."""
    return int(store.value(_HOPED, {"worker": worker}))


def count_job(store: Store, device: str, most: int) -> None:
    """A device was paid for one more job, as far as that is counted."""
    store.put(_COUNT, {"device": device, "most": most})


def get(store: Store, check: str) -> Any | None:
    """One check's row."""
    return store.row(_ONE, {"check": check})


def decide(store: Store, check: str, becomes: str, verdict: str, now_ms: int) -> bool:
    """Keep the verdict of a check that is still open; False for one that is not."""
    return store.run(_DECIDE, {"check": check, "becomes": becomes, "verdict": verdict, "now": now_ms}) == 1


def skip_late(store: Store, now_ms: int) -> int:
    """Checks without a verdict in time count as skipped; returns how many."""
    return store.run(_SKIP, {"now": now_ms})


def misses(store: Store, worker: DeviceId) -> Sequence[Any]:
    """The misses of a device that nobody cleared: (owner, admin)."""
    return store.rows(_MISSES, {"worker": worker})


def passes(store: Store, worker: DeviceId) -> int:
    """Passed checks of a device that weigh, since its last miss."""
    return int(store.value(_PASSES, {"worker": worker}))


def quarantine(store: Store, device: DeviceId, now_ms: int) -> bool:
    """Take a device out of use for others; False where it is already."""
    return store.run(_QUARANTINE, {"device": device, "now": now_ms}) == 1


def release(store: Store, device: DeviceId) -> bool:
    """Put a device into use again, as a new one; False where it is in use."""
    return store.run(_RELEASE, {"device": device}) == 1


def begin_anew(store: Store, device: DeviceId) -> None:
    """The next jobs of a device are all drawn, as if it were new."""
    store.run(_ANEW, {"device": device})


def clear(store: Store, worker: DeviceId, now_ms: int, check: str = "") -> int:
    """Clear the misses of a device, or one of them; returns how many."""
    return store.run(_CLEAR, {"worker": worker, "which": check, "now": now_ms})


def workers_with_pending(store: Store) -> Sequence[Any]:
    """Devices that are not in quarantine and have pay that waits for checks: (worker, waiting: how many payments)."""
    return store.rows(_WORKERS)


def pending_of(store: Store, worker: DeviceId, most: int) -> Sequence[Any]:
    """What of a device's pay waits, the oldest first, each with its payer, price, credit line, check, and trust."""
    return store.rows(_PENDING, {"worker": worker, "most": most})


def pending_in(store: Store, network: NetworkId) -> Sequence[Any]:
    """All pay in a network that waits, also of devices in quarantine, the oldest first, each with its price."""
    return store.rows(_PENDING_IN, {"network": network})


def take_back(store: Store, share: str, back: int) -> None:
    """A payment on a share's account was reversed."""
    store.run(_TAKE_BACK, {"share": share, "back": back})


def open_misses(store: Store, network: NetworkId, most: int) -> Sequence[Any]:
    """Misses that an admin has not answered, the newest first."""
    return store.rows(_OPEN_MISSES, {"network": network, "most": most})


def in_quarantine(store: Store, network: NetworkId, most: int) -> Sequence[Any]:
    """Devices out of use: (id, owner, quarantined_ms), the newest first."""
    return store.rows(_HELD, {"network": network, "most": most})


def of_worker(store: Store, worker: DeviceId, most: int) -> Sequence[Any]:
    """The checks of a device, the newest first."""
    return store.rows(_OF_WORKER, {"worker": worker, "most": most})
