"""Replacing keys while everything runs: the new key is on disk before anything says that it counts.

A coordinator that is killed in between starts with whichever key its database names; both are on disk until the old
one is not needed any more.

Touches: database, files (the keys), clock and randomness (through ``parts``).
"""

import asyncio

import structlog

from mesh.coordinator.acts import rotation as acts
from mesh.coordinator.acts.rotation import Turned
from mesh.coordinator.news import News
from mesh.coordinator.parts import Parts
from mesh.ids import DeviceId, NetworkId
from mesh.protocol.signed import SEED_BYTES
from mesh.protocol.succession import COORDINATOR, KeyOf, statement

log = structlog.get_logger()


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
        if turned.fresh:
            log.info("device.key_turned", device=device, number=turned.device.key_number)
            await self._news.device_turned(turned.device, turned.certificate)
        return turned

    async def network(self, network: NetworkId) -> None:
        """Replace a network's key. Raises NotMember, TooOften."""
        parts = self._parts
        async with self._one:
            known = parts.snapshot.histories[network]
            old, new = parts.keys.network(network), parts.random_bytes(SEED_BYTES)
            number = len(known.changes) + 1
            from_ms = max(parts.now_ms(), known.since_ms)
            said = statement(KeyOf("network", network, network), number, old_seed=old, new_seed=new, from_ms=from_ms)
            await asyncio.to_thread(parts.keys.prepare, network, new)
            changed, history = await parts.database.write(acts.turn_network, network, said, parts.moment())
            await asyncio.to_thread(parts.keys.settle, network, changed.key)
            log.info("network.key_turned", network=network, number=number)
            parts.snapshot.histories[network] = history
            await self._news.network_changed(changed)

    async def coordinator(self) -> None:
        """Replace the coordinator's own key. Raises TooOften."""
        parts = self._parts
        async with self._one:
            known = parts.snapshot.histories[""]
            old, new = parts.keys.seed, parts.random_bytes(SEED_BYTES)
            from_ms = max(parts.now_ms(), known.since_ms)
            said = statement(COORDINATOR, len(known.changes) + 1, old_seed=old, new_seed=new, from_ms=from_ms)
            await asyncio.to_thread(parts.keys.prepare, None, new)
            networks, history = await parts.database.write(acts.turn_coordinator, said, parts.moment())
            await asyncio.to_thread(parts.keys.settle, None, history.changes[-1].new)
            log.info("coordinator.key_turned", number=len(history.changes))
            parts.snapshot.histories[""] = history
            for network in networks:
                await self._news.network_changed(network)
