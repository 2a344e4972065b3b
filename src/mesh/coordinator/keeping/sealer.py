"""The sealer: once a second it numbers and chains what was posted, signs the head, and so fixes what cannot change.

Acts post unchained, so that no row is shared by all jobs of a network; what comes after a crash finds them unsealed.

Touches: database, clock (through ``parts``).
"""

import asyncio

import structlog

from mesh.coordinator.parts import Parts
from mesh.coordinator.store import sealing
from mesh.errors import MeshError
from mesh.ids import NetworkId
from mesh.protocol import signed
from mesh.protocol.papers import LedgerHead

SEAL_EVERY_S = 1.0
"""A change of what was posted is found from a second after it on."""

log = structlog.get_logger()


class Sealer:
    """Runs beside the server for as long as it does."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        """Seal every second until cancelled; a database that refuses is tried again."""
        while True:
            try:
                await self.once()
            except MeshError as error:
                log.warning("sealer.failed", code=error.wire_code)
            await asyncio.sleep(SEAL_EVERY_S)

    async def once(self) -> None:
        """Seal all that is posted by now."""
        for network in await self._parts.database.read(sealing.waiting):
            if network in self._parts.snapshot.networks:
                await self._seal(network)

    async def _seal(self, network: NetworkId) -> None:
        parts = self._parts

        def sign(number: int, hash_: str) -> str:
            head = LedgerHead(network=network, number=number, hash=hash_, time_ms=parts.now_ms())
            return signed.sign(head, parts.keys.network(network))

        while head := await parts.database.write(sealing.seal, network, sign, parts.now_ms()):
            parts.snapshot.heads[network] = head.signed
