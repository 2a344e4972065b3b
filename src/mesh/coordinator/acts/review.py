"""What waits for an admin's eye, each with the acts that answer it: devices in quarantine, misses, marks, odd earnings.

Touches: database (through the store it is given).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mesh.coordinator.acts import checks, limits
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import checks as rows
from mesh.coordinator.store import decisions, devices, marks
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.credits.limits import DAY_MS
from mesh.credits.signals import standing_out
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId, NetworkId

MOST = 200
"""Items of one kind in an answer."""
CHECKS_SHOWN = 64

Kind = Literal["quarantine", "miss", "mark", "unusual"]
ACTS: Mapping[Kind, tuple[str, ...]] = {
    "quarantine": ("release",),
    "miss": ("dismiss", "quarantine"),
    "mark": ("clear",),
    "unusual": ("seen",),
}
"""What an admin may answer to each kind of item. Removing a device is `mesh device remove`."""
_SEEN = "review.seen"


class NoSuchItem(MeshError):
    """Nothing of that name waits for review (any more). See what does: `mesh review list`."""

    code = "review.unknown"
    kind = "not_found"


class NoSuchAct(MeshError):
    """That is no answer to this item. `mesh review list` names those that are."""

    code = "review.no_such_act"
    kind = "invalid"


class Item(NamedTuple):
    """Something to look at: about which device, since when, the facts in codes and numbers, and the acts."""

    item: str
    kind: Kind
    device: DeviceId
    owner: MemberId | None
    since_ms: int
    facts: Mapping[str, Any]
    acts: tuple[str, ...]


class Shown(NamedTuple):
    """An item with the newest checks of its device."""

    item: Item
    checks: tuple[Mapping[str, Any], ...]


class Answered(NamedTuple):
    """The device that an answer was about, whether it is in quarantine now (None: that did not change), and the
    network as it is since, where it changed.
    """

    device: DeviceId
    quarantined: bool | None = None
    network: Network | None = None


def listed(store: Store, network: NetworkId, now_ms: int) -> list[Item]:
    """Everything that waits, what is most serious first."""
    owners = {device.id: device.owner for device in devices.live(store) if device.network == network}
    found = [
        _item("quarantine", row.id, row.id, row.owner, row.quarantined_ms, {"misses": len(rows.misses(store, row.id))})
        for row in rows.in_quarantine(store, network, MOST)
    ]
    for row in rows.open_misses(store, network, MOST):
        facts = {"found_by": row.owner, "job": row.job, "attempt": row.attempt, "admin": bool(row.admin)}
        found.append(_item("miss", row.id, row.worker, owners.get(row.worker), row.decided_ms, facts))
    for row in marks.uncleared(store, network, MOST):
        about = f"{row.device}:{row.kind}:{row.other or '-'}"
        facts = {"kind": row.kind, "times": row.times, "other": row.other, "job": row.job}
        found.append(_item("mark", about, row.device, owners.get(row.device), row.last_ms, facts))
    earned = marks.earned(store, network, now_ms - DAY_MS)
    seen = decisions.subjects(store, network, _SEEN, now_ms - DAY_MS)
    for device in standing_out(earned):
        if device not in seen:
            found.append(_item("unusual", device, device, owners.get(device), now_ms, {"earned": earned[device]}))
    return found


def show(store: Store, network: NetworkId, name: str, now_ms: int) -> Shown:
    """One item. Raises NoSuchItem."""
    item = _find(store, network, name, now_ms)
    known = rows.of_worker(store, item.device, CHECKS_SHOWN)
    columns = ("id", "requester", "owner", "admin", "job", "attempt", "state", "asked_ms", "decided_ms", "cleared_ms")
    return Shown(item, tuple({name: getattr(row, name) for name in columns} for row in known))


def answer(store: Store, network: NetworkId, named: tuple[str, str], by: MemberId, moment: Moment) -> Answered:
    """Do an act about an item: (its name, the act). Raises NoSuchItem, NoSuchAct and what the act raises."""
    name, act = named
    item = _find(store, network, name, moment.now_ms)
    if act not in item.acts:
        raise NoSuchAct(acts=item.acts)
    rest = name.partition(":")[2]
    if item.kind == "quarantine":
        checks.release(store, network, item.device, by=by, moment=moment)
        return Answered(item.device, quarantined=False)
    if act == "quarantine":
        judged = checks.quarantine(store, network, rest, by=by, moment=moment)
        return Answered(item.device, quarantined=True, network=judged.network)
    if item.kind == "miss":
        checks.dismiss(store, network, rest, by=by, moment=moment)
    elif item.kind == "mark":
        limits.clear_marks(store, network, item.device, item.facts["other"], (by, moment))
    else:
        decisions.add(store, network, by, (_SEEN, item.device), dict(item.facts), moment.now_ms)
    return Answered(item.device)


def _find(store: Store, network: NetworkId, name: str, now_ms: int) -> Item:
    items: Sequence[Item] = listed(store, network, now_ms)
    for item in items:
        if item.item == name:
            return item
    raise NoSuchItem


def _item(kind: Kind, about: str, device: str, owner: str | None, since_ms: int, facts: Mapping[str, Any]) -> Item:
    whose = None if owner is None else MemberId(owner)
    return Item(f"{kind}:{about}", kind, DeviceId(device), whose, since_ms, facts, ACTS[kind])
