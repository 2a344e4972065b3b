"""A relay's link to its coordinator: it says where it is, and hears whom it admits.

Touches: sockets (through the link), clock.
"""

import time

from mesh import __version__
from mesh.protocol.link import Admissions, Hello
from mesh.protocol.papers import RelayInfo
from mesh.protocol.values import Condition
from mesh.relay.admitted import Take
from mesh.transport.clock import CoordinatorClock
from mesh.transport.link import Down, Event, LinkClient, LinkTarget, Up


class CoordinatorLink:
    """The source of admissions of a relay that has joined by its own key."""

    def __init__(self, target: LinkTarget, seed: bytes) -> None:
        self._clock = CoordinatorClock()
        self._client = LinkClient(target, seed, self._clock, Condition)
        self._connected = False

    @property
    def connected(self) -> bool:
        """Whether the link stands."""
        return self._connected

    def now_ms(self) -> int:
        """The time by the coordinator's clock."""
        return self._clock.now_ms()

    async def run(self, me: RelayInfo, take: Take) -> None:
        """Keep the link open and pass admissions on. Returns when the coordinator has removed this relay."""
        # The start's time serves as the installation number: it grows with every start.
        hello = Hello(__version__, int(time.time()), relay=me.url, observer=me.observer)

        async def on_event(event: Event) -> None:
            if isinstance(event, Up):
                self._connected = True
                await self._client.send(hello)
            elif isinstance(event, Down):
                self._connected = False
            elif isinstance(event, Admissions):
                await take(event)

        await self._client.run(on_event)
        await take(Admissions((), full=True))  # removed: nothing is left that a later start could serve
