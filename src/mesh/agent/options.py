"""How an agent runs, as whoever starts it says.

Touches: nothing.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from mesh.agent.engines.pool import Pool, Say
from mesh.agent.identity import Identity
from mesh.ids import DeviceKey
from mesh.sdk.home import Home
from mesh.transport.interface import Transport

OpenEngines = Callable[[Home, int], AbstractAsyncContextManager[Pool]]
OpenTransport = Callable[[Identity, Callable[[DeviceKey], bool], "Options"], Awaitable[Transport]]


class Options(NamedTuple):
    """How this agent runs. ``work`` off: it only asks. ``direct`` off: it is reached through the relay alone."""

    work: bool = True
    gateway: bool = True
    direct: bool = True
    open_transport: OpenTransport | None = None
    """For tests: another transport than iroh."""
    open_engines: OpenEngines | None = None
    """For tests: engines that can be held still."""
    say: Say | None = None
    """Told how far a model is from being ready (stage, done, total bytes)."""
    notice: Callable[[str], None] = lambda words: None
    """Told, in words for people, why this device takes no part yet."""
