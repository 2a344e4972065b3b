"""This device replaces its own key, while everything runs.

The next key and the statement of both keys are on disk before anybody hears of them, and this device listens under the
next key before that counts. Once the coordinator has taken it, it is the newest: calls go out under it, and the one
before stays open for its grace. If this program or the coordinator ends in between, the link is opened with the
statement until the coordinator has answered it; whichever key counts then, both sides know.

Touches: the key files, sockets (through the transport), clock and randomness.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import structlog

from mesh.agent import identity
from mesh.agent.identity import Identity, Keychain, Next
from mesh.agent.membership import Membership
from mesh.agent.peers.ends import Ends
from mesh.concurrency import expected
from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.networks.rotation import GRACE_MS
from mesh.protocol.link import NewKey
from mesh.protocol.succession import KeyOf, statement
from mesh.transport.interface import Transport
from mesh.transport.link import LinkClient, LinkDown

ANSWER_S = 10.0
"""The coordinator answers after one commit."""
LOOK_S = 60.0
"""How often the ends of former keys are looked for; they last a day."""

log = structlog.get_logger()


class TurnUnanswered(MeshError):
    """The coordinator did not answer in time. The new key is kept: the change completes by itself when it is back."""

    code = "rotation.unanswered"
    kind = "unreachable"


class AlreadyTurning(MeshError):
    """This device's key is being replaced already; that completes by itself once the coordinator answers."""

    code = "rotation.under_way"
    kind = "conflict"


class Turned(NamedTuple):
    """The new key and the one before it, which is good until then (milliseconds by the coordinator's clock)."""

    key: DeviceKey
    old: DeviceKey
    number: int
    old_until_ms: int


OpenEnd = Callable[[Identity], Awaitable[Transport]]


class Turning:
    """Replaces this device's key, and lets former ones go when their time is over."""

    def __init__(self, keys: Keychain, membership: Membership, ends: Ends, open_end: OpenEnd) -> None:
        """``client`` is set by the wiring before anything else is called."""
        self.client: LinkClient
        self._keys = keys
        self._membership = membership
        self._ends = ends
        self._open_end = open_end
        self._answer: asyncio.Future[DeviceKey] | None = None

    def begin(self, client: LinkClient) -> None:
        """At the start: a change that was not answered yet is shown with the next proof."""
        self.client = client
        if self._keys.following is not None:
            client.show(self._keys.following.identity.seed, self._keys.following.succession)

    async def open_former(self) -> None:
        """At the start: listen also under the keys that are still good."""
        for one in self._keys.former:
            await self._ends.add(await self._open_end(one), newest=False)

    async def turn(self) -> Turned:
        """Replace the key. Raises LinkDown (nothing has changed then), AlreadyTurning, TurnUnanswered, and refusals."""
        if self._keys.following is not None or self._answer is not None:
            raise AlreadyTurning
        self.client.require_up()
        old, new, now_ms = self._keys.newest, identity.fresh(), self._membership.clock.now_ms()
        number = self._membership.key_number + 1
        whose = KeyOf("device", self._membership.me, self._membership.network)
        said = statement(whose, number, old_seed=old.seed, new_seed=new.seed, from_ms=now_ms)
        self._answer = expected()
        try:
            await asyncio.to_thread(self._keys.prepare, Next(new, said))
            self.client.show(new.seed, said)
            await self.client.send(NewKey(said))
            async with asyncio.timeout(ANSWER_S):
                await asyncio.shield(self._answer)
        except (TimeoutError, LinkDown) as error:
            raise TurnUnanswered from error
        finally:
            self._answer.cancel()
            self._answer = None
        return Turned(new.key, old.key, number, self._membership.clock.now_ms() + GRACE_MS)

    async def taken(self, key: DeviceKey | None, certificate: str | None) -> None:
        """The coordinator has taken the next key (None: the one that opened the link): it is the newest from now on."""
        following = self._keys.following
        if following is None or (self.client.proved != following.succession if key is None else key != following.key):
            return
        await self._ends.add(await self._open_end(following.identity), newest=True)
        await asyncio.to_thread(self._keys.turn, self._membership.clock.now_ms() + GRACE_MS)
        self.client.prove_with(self._keys.newest.seed)
        self._membership.turn(self._keys.newest.key, certificate)
        log.info("device.key_turned", number=self._membership.key_number)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(following.identity.key)

    def refused(self, error: MeshError) -> None:
        """The coordinator refused the next key: the one before stays."""
        if self._keys.following is None:
            return
        log.warning("device.key_refused", code=error.wire_code)
        self._keys.drop()
        self.client.prove_with(self._keys.newest.seed)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    async def run(self) -> None:
        """Let former keys go when their time is over, until cancelled."""
        while True:
            for key in await asyncio.to_thread(self._keys.end, self._membership.clock.now_ms()):
                self._membership.forget_key(key)
                with suppress(MeshError):
                    await self._ends.retire(key)
            await asyncio.sleep(LOOK_S)
