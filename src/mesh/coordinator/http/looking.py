"""The WebSocket by which a page learns that it should look again: `/v1/networks/{network}/events`.

It carries nudges, the coordinator's clock and nothing else. The session and the membership are looked up again at
every sign of life, so that a page whose person was let go falls silent within seconds.

Touches: sockets (through ASGI), database and clock (through ``parts``).
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from mesh.coordinator.http.cookie import from_same_page, token_in
from mesh.coordinator.http.desk import token_hash
from mesh.coordinator.parts import Parts
from mesh.coordinator.store import people
from mesh.coordinator.telling.watch import Watch
from mesh.ids import NetworkId

LIFE_SIGN_S = 4.0
"""The longest silence: a page that hears nothing for three times as long says that it is not live."""
WRITE_S = 10.0
CONNECTING_MS = 5000
"""A page tells its age as it begins to connect; a busy machine takes a while until that is read."""
LOOKERS_MAX = 1024
POLICY_VIOLATION, TRY_LATER, UNAUTHENTICATED = 1008, 1013, 4401
_PATH = re.compile(r"/v1/networks/([0-9A-Z]{26})/events")
_AGE = re.compile(rb"age_ms=([0-9]{1,12})")

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
log = structlog.get_logger()


def network_of(path: str) -> NetworkId | None:
    """The network that a path asks to look at; None for any other path."""
    found = _PATH.fullmatch(path)
    return None if found is None else NetworkId(found[1])


class Looking:
    """An ASGI application for the events of networks. Who may: a member (`devices.read`), signed in, from our page."""

    def __init__(self, parts: Parts, watch: Watch) -> None:
        self._parts = parts
        self._watch = watch

    async def __call__(self, network: NetworkId, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one page to its end."""
        await receive()  # websocket.connect
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        secure = self._parts.site.secure
        token = token_in(headers, secure=secure)
        if not from_same_page(headers, secure=secure) or token is None or not await self._may(network, token):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        if self._watch.lookers >= LOOKERS_MAX:
            await send({"type": "websocket.close", "code": TRY_LATER})
            return
        await send({"type": "websocket.accept"})
        gone = asyncio.ensure_future(_until_gone(receive))
        telling = asyncio.ensure_future(self._tell(network, token, send, self._since_ms(scope)))
        try:
            await asyncio.wait((gone, telling), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            telling.cancel()
            await asyncio.gather(gone, telling, return_exceptions=True)

    def _since_ms(self, scope: dict[str, Any]) -> int:
        """When the page began to read: what changed after that it may have read before the change."""
        age = _AGE.fullmatch(scope.get("query_string", b""))
        return self._parts.now_ms() + 1 if age is None else self._parts.now_ms() - int(age[1]) - CONNECTING_MS

    async def _tell(self, network: NetworkId, token: str, send: Send, since_ms: int) -> None:
        with self._watch.looking(network, since_ms) as looker, suppress(OSError, TimeoutError, RuntimeError):
            changed: list[Any] = []
            while await self._may(network, token):
                said = json.dumps({"now_ms": self._parts.now_ms(), "look": changed})
                async with asyncio.timeout(WRITE_S):
                    await send({"type": "websocket.send", "text": said})
                changed = list(await looker.wait(LIFE_SIGN_S))
            await send({"type": "websocket.close", "code": UNAUTHENTICATED})

    async def _may(self, network: NetworkId, token: str) -> bool:
        session = await self._parts.database.read(people.session, token_hash(token))
        if session is None or self._parts.now_ms() >= session.expires_ms:
            return False
        return self._parts.snapshot.role(network, session.member) is not None


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass
