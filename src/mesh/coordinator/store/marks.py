"""Marks in SQL: what counts against devices, as admins review it; and what each earned lately.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, or_, select, update

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.devices import devices
from mesh.coordinator.store.schema.jobs import attempts, marks
from mesh.ids import DeviceId, MemberId, NetworkId

_open = (
    select(
        marks.c.device,
        marks.c.kind,
        marks.c.other,
        func.count().label("times"),
        func.max(marks.c.made_ms).label("last_ms"),
        func.max(marks.c.job).label("job"),
    )
    .where(marks.c.network == bindparam("network"))
    .where(marks.c.cleared_ms.is_(None))
    .group_by(marks.c.device, marks.c.kind, marks.c.other)
    .order_by(func.max(marks.c.made_ms).desc(), marks.c.device, marks.c.kind)
    .limit(bindparam("most"))
)
_OPEN = Prepared(_open)
_OPEN_OF = Prepared(_open.join(devices, devices.c.id == marks.c.device).where(devices.c.owner == bindparam("owner")))
_EARNED = Prepared(
    select(attempts.c.worker, func.sum(attempts.c.pay - attempts.c.fee).label("amount"))
    .where(attempts.c.network == bindparam("network"))
    .where(attempts.c.paid_ms >= bindparam("since"))
    .where(attempts.c.pay > 0)
    .group_by(attempts.c.worker)
)
_CLEAR = Prepared(
    update(marks)
    .where(marks.c.network == bindparam("of"))
    .where(marks.c.device == bindparam("which"))
    .where(marks.c.cleared_ms.is_(None))
    .where(or_(bindparam("whose") == "", marks.c.other == bindparam("whose")))
    .values(cleared_ms=bindparam("now"))
)


def earned(store: Store, network: NetworkId, since_ms: int) -> dict[DeviceId, int]:
    """What stands as earned by each device for work that was paid since."""
    rows = store.rows(_EARNED, {"network": network, "since": since_ms})
    return {DeviceId(row.worker): int(row.amount) for row in rows}


def uncleared(store: Store, network: NetworkId, most: int, owner: MemberId | None = None) -> Sequence[Any]:
    """What counts now: (device, kind, other, times, last_ms, job: the newest of them); of one owner's devices, or of
    all (None).
    """
    if owner is None:
        return store.rows(_OPEN, {"network": network, "most": most})
    return store.rows(_OPEN_OF, {"network": network, "most": most, "owner": owner})


def clear(store: Store, network: NetworkId, device: DeviceId, other: MemberId | None, now_ms: int) -> int:
    """Clear a device's marks, those of one other person or all (None); returns how many."""
    return store.run(_CLEAR, {"of": network, "which": device, "whose": other or "", "now": now_ms})
