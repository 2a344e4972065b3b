"""Leaving a relay that is gone, and coming back to it: the binding alone takes three quarters of a minute to notice.

The relay in use is asked for a sign of life every few seconds, by the request that also measures its latency. While it
gives none and another one does, it is taken off the list; the binding then chooses among the rest at once.

Touches: sockets (HTTP to relays).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import structlog

LOOK_S = 3.0
"""With the answer's limit a silent relay is left within 5 s, one that refuses within 3; then connecting takes 0.2 s."""
ANSWER_S = 2.0
"""Longer than any way around the world takes for two round trips, and for a third where the relay speaks TLS."""
LOOK_AGAIN_S = 15.0
"""How often a relay that was left is looked at: it is used again soon after it is back."""
_LINE_BYTES_MAX = 1024

Use = Callable[[Sequence[str]], Awaitable[None]]

log = structlog.get_logger()


class RelayWatch:
    """Keeps the transport on relays that answer. With one relay there is nothing to choose, and nothing is asked."""

    def __init__(self, use: Use, in_use: Callable[[], str | None]) -> None:
        """``use`` is told which relays to use; ``in_use`` says which one of them the transport has chosen."""
        self._use = use
        self._in_use = in_use
        self._urls: tuple[str, ...] = ()
        self._left: dict[str, float] = {}

    async def follow(self, urls: Sequence[str]) -> None:
        """These are the network's relays from now on."""
        self._urls = tuple(urls)
        self._left = {url: at for url, at in self._left.items() if url in self._urls}
        await self._use(self._wanted())

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if len(self._urls) > 1:
                await self.look()

    def look_again_now(self) -> None:
        """The network changed: relays that were left are looked at with the next look."""
        self._left = dict.fromkeys(self._left, float("-inf"))

    async def look(self) -> None:
        """One look at the relay in use, and at those that were left a while ago."""
        before = self._wanted()
        now_s = asyncio.get_running_loop().time()
        again = [url for url, at in self._left.items() if now_s - at >= LOOK_AGAIN_S]
        for url in again:
            if await answers(url):
                log.info("relay.back", url=url)
                del self._left[url]
            else:
                self._left[url] = now_s
        home = self._in_use()
        if home in before and not await answers(home):
            others = [url for url in before if url != home]
            if any(await asyncio.gather(*(answers(url) for url in others))):  # else it is this machine that is away
                log.warning("relay.left", url=home)
                self._left[home] = now_s
        if self._wanted() != before:
            await self._use(self._wanted())

    def _wanted(self) -> tuple[str, ...]:
        return tuple(url for url in self._urls if url not in self._left) or self._urls


async def answers(url: str) -> bool:
    """Whether a relay answers within ``ANSWER_S``."""
    try:
        parts = urlsplit(url)
        secure = ssl.create_default_context() if parts.scheme == "https" else None
        async with asyncio.timeout(ANSWER_S):
            port = parts.port or (443 if secure else 80)
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure, limit=_LINE_BYTES_MAX)
            try:
                writer.write(f"GET /ping HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.transport.abort()
    except (OSError, ValueError, TimeoutError):
        return False
