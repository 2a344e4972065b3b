"""A device that only checks its network: a program of its own, since it runs in a namespace behind a router.

Argv: seed (hex), relays (JSON list of RelayInfo). It prints the public report of the check as one JSON line.
"""

import asyncio
import json
import sys

import msgspec
import structlog

from mesh.agent import netcheck
from mesh.agent.netcheck import Known
from mesh.agent.peers.reach import Reach
from mesh.devices.facts import AgentFacts
from mesh.devices.network_findings import network_findings
from mesh.devices.report import public_report
from mesh.protocol.papers import RelayInfo
from mesh.sdk.home import HomeRecord
from mesh.transport.iroh import IrohTransport


class Member:
    """What Reach wants to know of a membership: the relays."""

    def __init__(self, relays: tuple[RelayInfo, ...]) -> None:
        self.relays = relays
        self.state = self
        self.changed = asyncio.Event()


async def nothing() -> None:
    """Nobody is told."""


async def main(seed: str, relays: tuple[RelayInfo, ...]) -> None:
    transport = await IrohTransport.open(bytes.fromhex(seed))
    reach = Reach(transport, Member(relays), observe=True)  # type: ignore[arg-type]
    reach.on_change = nothing
    async with asyncio.TaskGroup() as group:
        running = group.create_task(reach.run())
        known = Known(HomeRecord(), relays, agent=AgentFacts(True), ask_observers=lambda: reach.ask_now(6.0))
        facts = await netcheck.measure(known)
        running.cancel()
    await transport.close()
    print(json.dumps(public_report(facts, None, network_findings(facts))))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(sys.argv[1], msgspec.json.decode(sys.argv[2], type=tuple[RelayInfo, ...])))
