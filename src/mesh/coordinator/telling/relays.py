"""The relays that devices may use: the one beside the coordinator, and those that joined by a link.

Touches: database (through the acts it calls).
"""

from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

import structlog

from mesh.coordinator.acts import relays as acts
from mesh.coordinator.parts import Parts
from mesh.coordinator.store.relays import Relay
from mesh.coordinator.telling.news import News
from mesh.devices.addresses import ADDRESSES_MAX
from mesh.ids import DeviceId, DeviceKey
from mesh.protocol import signed
from mesh.protocol.papers import Observed, RelayInfo

URL_LENGTH_MAX = 255
ATTESTED_MS = 10 * 60 * 1000
"""Devices ask their observer each minute; an older paper may name what is somebody else's address by now."""

log = structlog.get_logger()


class Relays:
    """Keeps the list that every State names; where it changes, every network's epoch grows."""

    def __init__(self, parts: Parts, news: News) -> None:
        self._parts = parts
        self._news = news
        self._beside: RelayInfo | None = None
        self._joined: dict[DeviceId, Relay] = {}
        self._observers: dict[DeviceId, str] = {}

    def load(self, beside: RelayInfo | None, joined: Iterable[Relay]) -> None:
        """What was known at the last stop: devices still use it."""
        self._beside = beside
        self._joined = {relay.id: relay for relay in joined}
        self._news.relays = self._infos()

    def key(self, relay: DeviceId) -> DeviceKey | None:
        """The key of a relay that joined."""
        known = self._joined.get(relay)
        return None if known is None else known.key

    @property
    def keys(self) -> frozenset[DeviceKey]:
        """The keys of all relays: what they sign about addresses is believed."""
        beside = [self._beside.key] if self._beside is not None and self._beside.key else []
        return frozenset((*beside, *(relay.key for relay in self._joined.values())))

    def attested(self, papers: Iterable[str], device: DeviceKey, now_ms: int) -> tuple[str, ...]:
        """The addresses under which our observers have lately seen a device, by the papers that it shows."""
        found: dict[str, None] = {}
        for token in list(papers)[:ADDRESSES_MAX]:
            paper = _believed(token, self.keys)
            if paper is None or paper.key != device or abs(now_ms - paper.time_ms) > ATTESTED_MS:
                log.info("device.attestation_refused")
                continue
            found[paper.address] = None
        return tuple(found)

    async def beside_ready(self, beside: RelayInfo) -> None:
        """The relay beside the coordinator listens."""
        self._beside = beside
        await self._changed()

    def joined(self, relay: Relay) -> None:
        """A relay came in; devices hear of it once it has said where it is."""
        self._joined.setdefault(relay.id, relay)

    async def said(self, relay: DeviceId, url: str | None, observer: str | None) -> None:
        """A relay said where it and its observer are reached; what is no address of a host is not passed on."""
        known = self._joined.get(relay)
        if known is None or url is None or not _is_url(url):
            return
        if observer is not None and _is_url(f"http://{observer}"):
            self._observers[relay] = observer
        if known.url != url:
            self._joined[relay] = known._replace(url=url)
            await self._parts.database.write(acts.moved, relay, url)
        await self._changed()

    def _infos(self) -> tuple[RelayInfo, ...]:
        joined = [
            RelayInfo(relay.url, relay.key, self._observers.get(relay.id))
            for relay in self._joined.values()
            if relay.url
        ]
        infos = [*([self._beside] if self._beside else []), *joined]
        return tuple({info.url: info for info in reversed(infos)}.values())[::-1]

    async def _changed(self) -> None:
        infos = self._infos()
        if infos == self._news.relays:
            return
        self._news.relays = infos
        for network in await self._parts.database.write(acts.new_epochs):
            await self._news.network_changed(network)


def _believed(token: str, keys: Iterable[DeviceKey]) -> Observed | None:
    for key in keys:
        with suppress(signed.BadToken):
            return signed.verify(token, Observed, key, "")
    return None


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return len(url) <= URL_LENGTH_MAX and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
