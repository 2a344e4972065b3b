"""When a key may be replaced, and how long the one before it stays good.

Both keys are good for a day after the change, so that nothing that was begun or handed out under the old one ends by
it. That never holds for a key that was revoked: whoever must be kept out at once is removed, not rotated.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.ids import DeviceKey

GRACE_S = 24 * 3600.0
"""Both keys are good for so long: a machine that is switched on once a day learns of the change in time."""
GRACE_MS = int(GRACE_S * 1000)
IN_GRACE_MAX = 4
"""Changes of one key within its grace. Each leaves a key that everybody must still admit."""


class TooOften(MeshError):
    """This key was replaced several times today, and all of its predecessors still count. Wait until tomorrow."""

    code = "rotation.too_often"
    kind = "too_many"


class NotNext(MeshError):
    """The statement does not follow the key that counts now: it is old, or made by a copy. Rotate the key anew."""

    code = "rotation.not_next"
    kind = "conflict"


class KeyInUse(MeshError):
    """The new key is, or was, some device's key. Rotate anew: each time a fresh key is made."""

    code = "rotation.key_in_use"
    kind = "conflict"


class Change(NamedTuple):
    """One change of a key that has happened: its number (from 1), and when it was taken (milliseconds)."""

    number: int
    old: DeviceKey
    new: DeviceKey
    at_ms: int


class Former(NamedTuple):
    """A key that counted before and is still good, until when (milliseconds)."""

    key: DeviceKey
    from_ms: int
    until_ms: int


def check_next(changes: Sequence[Change], current: DeviceKey, asked: Change) -> None:
    """Whether ``asked`` may be the next change of ``current``; ``changes`` are all before it, in order.

    Raises NotNext, KeyInUse, TooOften.
    """
    number = changes[-1].number if changes else 0
    if asked.number != number + 1 or asked.old != current:
        raise NotNext(number=number + 1)
    if asked.new == current or any(asked.new in (change.old, change.new) for change in changes):
        raise KeyInUse
    if sum(change.at_ms > asked.at_ms - GRACE_MS for change in changes) >= IN_GRACE_MAX:
        raise TooOften


def former(changes: Sequence[Change], now_ms: int, *, began_ms: int) -> tuple[Former, ...]:
    """The keys before the current one that are still good, oldest first. ``began_ms``: since when the first counted."""
    found = []
    for change in changes:
        if change.at_ms + GRACE_MS > now_ms:
            found.append(Former(change.old, began_ms, change.at_ms + GRACE_MS))
        began_ms = change.at_ms
    return tuple(found)
