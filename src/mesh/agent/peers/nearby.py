"""Finding the network's devices in this LAN while the coordinator is away, by multicast DNS.

Where the coordinator cannot be asked nobody tells where a device is, and its relay is often away with it. So while the
link is down, and only then, a device says in its LAN under which addresses it listens, and hears what others say.
Nothing of that is believed: it is where a dial may look for a key that this device knows as a member's, and whoever
answers there must prove that key. What is said in the LAN is the device's key and its private addresses, no names.

Touches: sockets (multicast DNS, UDP 5353), through zeroconf.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from mesh.devices.addresses import in_lan
from mesh.ids import DeviceKey

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo

SERVICE = "_mesh-device._udp.local."
AFTER_S = 3.0
"""So long the link must be down before anything is said: a restart of the coordinator is over by then, mostly."""
AGAIN_S = 10.0
"""After a try that could not be made."""
LOOK_S = 1.0
"""Between two looks at the link."""
ASK_MS = 2_000
"""A device in a LAN answers within milliseconds; over a tired access point within a second."""
ASKED_MAX = 64
"""Names that are asked about at once: a LAN has few devices of one network, and whoever floods it gets no further."""

log = structlog.get_logger()


class Nearby:
    """Where devices of this network are in the LAN, as they say themselves."""

    def __init__(
        self,
        me: Callable[[], DeviceKey],
        addresses: Callable[[], Sequence[str]],
        known: Callable[[DeviceKey], bool],
        up: Callable[[], bool],
    ) -> None:
        """``me`` and ``addresses``: this device's key and what it listens on; ``known``: whose word is looked at.

        ``up``: whether the coordinator can be asked, so that nothing needs to be said.
        """
        self._me = me
        self._addresses = addresses
        self._known = known
        self._up = up
        self._found: dict[DeviceKey, tuple[str, ...]] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def of(self, key: DeviceKey) -> tuple[str, ...]:
        """The addresses (``ip:port``) under which a device says it listens in this LAN."""
        return self._found.get(key, ())

    def whose(self, name: str) -> DeviceKey | None:
        """The member's key that a name in the LAN stands for; None for strangers, oneself and what is no key."""
        key = key_of(name)
        return key if key is not None and key != self._me() and self._known(key) else None

    async def run(self) -> None:
        """Say and hear whenever the link has been down for a while, until cancelled."""
        while True:
            await self._until_away()
            try:
                await self._speak()
            except OSError as error:  # no network at all, or somebody else has the port or the name
                log.info("nearby.impossible", reason=type(error.__cause__ or error).__name__)
                await asyncio.sleep(AGAIN_S)

    async def _until_away(self) -> None:
        """Wait until the link has been down for a while and this device is in a LAN."""
        loop = asyncio.get_running_loop()
        down_since = loop.time()
        while loop.time() - down_since < AFTER_S or not in_lan(self._addresses()):
            await asyncio.sleep(LOOK_S)
            if self._up():
                down_since = loop.time()

    async def _speak(self) -> None:
        """Say where we are and hear others, until the link is back or our own addresses are others. Raises OSError."""
        from zeroconf import Error, InterfaceChoice, IPVersion  # 5 MB, of use only while the coordinator is away
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        me, addresses = self._me(), in_lan(self._addresses())
        voice = AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.V4Only)
        log.info("nearby.begins")
        try:
            await voice.async_register_service(_said(me, addresses))
            browser = AsyncServiceBrowser(voice.zeroconf, SERVICE, handlers=[self._heard])
            while not self._up() and (me, addresses) == (self._me(), in_lan(self._addresses())):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
            await browser.async_cancel()
        except Error as error:  # a copy of this home says the same name, for one
            raise OSError(type(error).__name__) from error
        finally:
            for task in tuple(self._asking):
                task.cancel()
            self._found.clear()
            await voice.async_close()  # says goodbye too
            log.info("nearby.ends")

    def _heard(self, zeroconf: "Zeroconf", service_type: str, name: str, state_change: "ServiceStateChange") -> None:
        """A name came, changed or went; those that are no member's key cost nothing more."""
        key = self.whose(name)
        if key is None:
            return
        if state_change.name == "Removed":
            self._found.pop(key, None)
        elif len(self._asking) < ASKED_MAX:
            task = asyncio.get_running_loop().create_task(self._ask(zeroconf, name, key))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, zeroconf: "Zeroconf", name: str, key: DeviceKey) -> None:
        """Where that device says it listens."""
        from zeroconf.asyncio import AsyncServiceInfo

        info = AsyncServiceInfo(SERVICE, name)
        with suppress(OSError):
            if await info.async_request(zeroconf, ASK_MS):
                texts = (value.decode("ascii", "replace") for value in info.properties.values() if value)
                found = in_lan(tuple(texts))
                if found:
                    log.info("nearby.found", addresses=len(found))
                    self._found[key] = found


def _said(key: DeviceKey, addresses: tuple[str, ...]) -> "AsyncServiceInfo":
    """What is said in the LAN: a key, and where it listens."""
    from zeroconf.asyncio import AsyncServiceInfo

    host, _, port = addresses[0].rpartition(":")
    return AsyncServiceInfo(
        SERVICE,
        f"{label_of(key)}.{SERVICE}",
        port=int(port),
        properties={f"a{number}": address for number, address in enumerate(addresses)},
        server=f"{label_of(key)}.local.",
        parsed_addresses=[host.strip("[]")],
    )


def label_of(key: DeviceKey) -> str:
    """A key as a label of a name: 52 characters, where a name's labels have at most 63."""
    return base64.b32encode(bytes.fromhex(key)).decode().rstrip("=").lower()


def key_of(name: str) -> DeviceKey | None:
    """The key that a name stands for; None for a name that is nobody's."""
    label = name.removesuffix(f".{SERVICE}")
    if len(label) != 52:
        return None
    try:
        return DeviceKey(base64.b32decode(label.upper() + "====").hex())
    except (binascii.Error, ValueError):
        return None
