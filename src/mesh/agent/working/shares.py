"""What of each permit this worker has used up, and which permits are closed for good.

Every claim is kept before its result leaves, and carries its amount: whoever kills this program gets nothing twice. A
loss of power may take the claims of the last moment. So a series is reserved ahead, in steps of a tenth of the share: a
step is written to the disk when its first job is taken, nothing waits for it, and after a restart a begun step counts
as used. So what a series can give beyond its share is a moment's work, and what a kill costs is a tenth at most.

Touches: the agent's store (through its argument).
"""

from mesh.agent.store import Remembered, Reserved, Store
from mesh.agent.working.checks import PermitRefused
from mesh.ids import DeviceId, PermitId
from mesh.protocol.permit import CLOCK_LEEWAY_S, START_WITHIN_S, Permit

STEPS = 10
"""Steps of a share: one write each."""
CLOSED_MS = int((START_WITHIN_S + 2 * CLOCK_LEEWAY_S) * 1000)
"""A permit that was closed can be shown for so long at most: afterwards it has expired anyway."""


class _Share:
    """One permit here, in micro-credits; until when it matters."""

    __slots__ = ("reserved", "until_ms", "used")

    def __init__(self, used: int, reserved: int, until_ms: int) -> None:
        self.used, self.reserved, self.until_ms = used, reserved, until_ms


class Shares:
    """The shares of permits on this device."""

    def __init__(self, store: Store, me: DeviceId) -> None:
        self._store = store
        self._me = me
        self._shares: dict[PermitId, _Share] = {}
        self._closed: dict[PermitId, int] = {}

    def recall(self, remembered: Remembered) -> None:
        """Take up what must survive a restart."""
        self._closed = {permit: closed_ms + CLOSED_MS for permit, closed_ms in remembered.tombstones.items()}
        for taken in remembered.taken:
            if taken.permit is not None:
                share = self._shares.setdefault(taken.permit, _Share(0, 0, taken.until_ms))
                share.used += taken.amount
        for reserved in remembered.reserved:
            share = self._shares.setdefault(reserved.permit, _Share(0, 0, reserved.until_ms))
            share.used = share.reserved = max(share.used, reserved.amount)

    def refuse(self, permit: Permit, amount: int) -> None:
        """Raise PermitRefused if a permit is closed, or has less than ``amount`` left on this device."""
        if permit.permit in self._closed:
            raise PermitRefused("The permit is closed.", reason="closed")
        share = self._shares.get(permit.permit)
        if (0 if share is None else share.used) + amount > self._size(permit):
            raise PermitRefused("The permit's share on this device is used up.", reason="share")

    def take(self, permit: Permit, amount: int, until_ms: int) -> None:
        """A job is taken under a permit; ``refuse`` was asked before."""
        share = self._shares.setdefault(permit.permit, _Share(0, 0, until_ms))
        share.used += amount
        share.until_ms = max(share.until_ms, until_ms)
        if permit.share == "each" and share.used > share.reserved:
            size = self._size(permit)
            step = max(1, -(-size // STEPS))
            share.reserved = min(size, -(-share.used // step) * step)
            self._store.reserve(Reserved(permit.permit, share.reserved, share.until_ms))

    def give_back(self, permit: PermitId, amount: int) -> None:
        """A job that was taken gave no result: its part of the share is free again (until a restart)."""
        share = self._shares.get(permit)
        if share is not None:
            share.used = max(0, share.used - amount)

    async def close(self, permit: PermitId, now_ms: int) -> int:
        """Take nothing more under a permit, for good; returns how many claims were made under it."""
        self._closed[permit] = now_ms + CLOSED_MS
        return await self._store.bury(permit, now_ms)

    def sweep(self, now_ms: int) -> None:
        """Forget what nobody can show any more."""
        self._closed = {permit: until_ms for permit, until_ms in self._closed.items() if until_ms >= now_ms}
        self._shares = {permit: share for permit, share in self._shares.items() if share.until_ms >= now_ms}

    def _size(self, permit: Permit) -> int:
        cap = next(one.cap for one in permit.candidates if one.device == self._me)
        return cap if permit.share == "each" else min(cap, permit.maximum)
