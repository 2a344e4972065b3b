"""Replacing keys while everything runs: the new key is on disk before anything says that it counts.

A coordinator that is killed in between starts with whichever key its database names; both are on disk until the old
one is not needed any more.

Touches: database, files (the keys), clock and randomness (through ``parts``).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from mesh.coordinator.acts import rotation as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.rotation import Turned
from mesh.coordinator.parts import Parts
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.coordinator.store.successions import History
from mesh.coordinator.telling.news import News
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.protocol.signed import SEED_BYTES
from mesh.protocol.succession import COORDINATOR, KeyOf, statement

T = TypeVar("T")

log = structlog.get_logger()


class Write(Protocol[T]):
    """Runs an act in a transaction; None where an earlier answer was given again."""

    async def __call__(self, act: Callable[[Store, Moment], T], /) -> T | None:
        """Run it."""
        ...


class Rotating:
    """Replaces the keys of devices, networks and the coordinator."""

    def __init__(self, parts: Parts, news: News) -> None:
        self._parts = parts
        self._news = news
        self._one = asyncio.Lock()

    async def device(self, device: DeviceId, network: NetworkId, said: str) -> Turned:
        """A device says that its key is another now. Raises what ``turn_device`` raises."""
        parts = self._parts
        issue = parts.issuer(network)
        turned = await parts.database.write(acts.turn_device, device, said, issue, parts.moment())
        seen = parts.snapshot.device(device)
        # The second look: whoever wrote it down first may be about to tell, and who asks again cannot wait for that.
        if turned.fresh or (seen is not None and seen.kept.key != turned.device.key):
            log.info("device.key_turned", device=device, number=turned.device.key_number)
            await self._news.device_turned(turned.device, turned.certificate)
        return turned

    async def network(self, network: NetworkId, by: MemberId, write: Write[tuple[Network, History]]) -> None:
        """Replace a network's key, written down by ``write``. Raises NotMember, TooOften, and what ``write`` raises."""
        keys, snapshot = self._parts.keys, self._parts.snapshot
        async with self._one:
            said = await self._prepared(KeyOf("network", network, network), network)
            turned = await write(lambda store, moment: acts.turn_network(store, network, said, by, moment))
            changed = snapshot.networks[network] if turned is None else turned[0]
            await asyncio.to_thread(keys.settle, network, changed.key)
            if turned is None:
                return  # asked again, answered as before: the key that was prepared never counted
            snapshot.histories[network] = turned[1]
            log.info("network.key_turned", network=network, number=len(turned[1].changes))
            await self._news.network_changed(changed)

    async def coordinator(self, by: MemberId, write: Write[tuple[list[Network], History]]) -> None:
        """Replace the coordinator's own key, written down by ``write``. Raises TooOften, and what ``write`` raises."""
        keys, snapshot = self._parts.keys, self._parts.snapshot
        async with self._one:
            said = await self._prepared(COORDINATOR, None)
            turned = await write(lambda store, moment: acts.turn_coordinator(store, said, by, moment))
            await asyncio.to_thread(keys.settle, None, keys.public if turned is None else turned[1].changes[-1].new)
            if turned is None:
                return
            snapshot.histories[""] = turned[1]
            log.info("coordinator.key_turned", number=len(turned[1].changes))
            for network in turned[0]:
                await self._news.network_changed(network)

    async def _prepared(self, whose: KeyOf, network: NetworkId | None) -> str:
        """A next key, on the disk, and the statement by which it follows."""
        parts, known = self._parts, self._parts.snapshot.histories[whose.subject]
        counts = await parts.database.read(acts.key_that_counts, network)
        await asyncio.to_thread(parts.keys.settle, network, counts)  # a change that was cut short is not written over
        old_seed = parts.keys.seed if network is None else parts.keys.network(network)
        new_seed = parts.random_bytes(SEED_BYTES)
        await asyncio.to_thread(parts.keys.prepare, network, new_seed)
        # A chain never goes back in time, also where this machine's clock did.
        from_ms, number = max(parts.now_ms(), known.since_ms), len(known.changes) + 1
        return statement(whose, number, old_seed=old_seed, new_seed=new_seed, from_ms=from_ms)
