"""What people who look at a network see move: since when each device is how it is, and a nudge when something changed.

A nudge says what to look at again and never what is true. All of it is soft and bounded, and lost with the process:
the picture then begins anew, and says so by beginning later.

Touches: the clock (of the event loop).
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, get_args

from mesh.coordinator.parts import Parts
from mesh.coordinator.telling.topics import Topic
from mesh.ids import DeviceId, NetworkId
from mesh.protocol.values import DeviceState

CHANGES_KEPT = 64
"""Changes of state kept per device: a quarter of an hour of one that comes and goes every 15 s."""
LOOK_EVERY_S = 1.0
"""How often states are compared: silence becomes *offline* by nobody's doing."""
LOOK_EVERY_MANY_S = 5.0
MANY = 2000
"""From so many devices on they are compared less often: a round over 10,000 takes some 10 ms."""
COALESCE_S = 0.2
"""Nudges of one looker closer than this become one."""


class Change(NamedTuple):
    """A device was in a state from then on (ms)."""

    state: DeviceState
    since_ms: int


class Looker:
    """Somebody who looks: what changed for them since they were last told."""

    def __init__(self, network: NetworkId) -> None:
        self.network = network
        self._changed: set[Topic] = set()
        self._something = asyncio.Event()

    def touch(self, topic: Topic) -> None:
        """Something changed."""
        self._changed.add(topic)
        self._something.set()

    async def wait(self, limit_s: float) -> list[Topic]:
        """What changed, as soon as something has; nothing after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._something.wait()
                await asyncio.sleep(COALESCE_S)
        changed = sorted(self._changed)
        self._changed.clear()
        self._something.clear()
        return changed


class Watch:
    """One for the whole coordinator."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._history: dict[DeviceId, deque[Change]] = {}
        self._lookers: set[Looker] = set()
        self._touched_ms: dict[tuple[NetworkId, Topic], int] = {}
        """When something changed last: a handful of numbers for each network."""

    def touch(self, network: NetworkId, topic: Topic) -> None:
        """Something about a network changed: who looks at it is told."""
        self._touched_ms[network, topic] = self._parts.now_ms()
        for looker in self._lookers:
            if looker.network == network:
                looker.touch(topic)

    @contextmanager
    def looking(self, network: NetworkId, since_ms: int) -> Iterator[Looker]:
        """Look at a network inside the block; what changed since then counts as changed now."""
        looker = Looker(network)
        for topic in get_args(Topic):
            if self._touched_ms.get((network, topic), -1) >= since_ms:
                looker.touch(topic)
        self._lookers.add(looker)
        try:
            yield looker
        finally:
            self._lookers.discard(looker)

    @property
    def lookers(self) -> int:
        """How many look."""
        return len(self._lookers)

    def history(self, device: DeviceId) -> tuple[Change, ...]:
        """How a device was, oldest first; at least how it is now."""
        self._note(device)
        return tuple(self._history.get(device, ()))

    async def run(self) -> None:
        """Notice what changes by itself, until cancelled."""
        while True:
            many = self.look() >= MANY
            await asyncio.sleep(LOOK_EVERY_MANY_S if many else LOOK_EVERY_S)

    def look(self) -> int:
        """Compare every device with how it was; returns how many there are."""
        everywhere = self._parts.snapshot.everywhere()
        for seen in everywhere:
            if self._note(seen.kept.id):
                self.touch(seen.kept.network, "devices")
        if len(self._history) > 2 * len(everywhere):
            known = {seen.kept.id for seen in everywhere}
            self._history = {device: kept for device, kept in self._history.items() if device in known}
        return len(everywhere)

    def _note(self, device: DeviceId) -> bool:
        seen, now_ms = self._parts.snapshot.device(device), self._parts.now_ms()
        if seen is None:
            return False
        state = self._parts.snapshot.state(seen, now_ms)
        kept = self._history.setdefault(device, deque(maxlen=CHANGES_KEPT))
        if kept and kept[-1].state == state:
            return False
        first = not kept
        since_ms = now_ms
        if first and state == "offline":
            since_ms = seen.last_beat_ms or seen.kept.seen_ms or seen.kept.joined_ms
        elif first:
            since_ms = max(seen.kept.joined_ms, self._parts.snapshot.started_ms)
        kept.append(Change(state, since_ms))
        return not first
