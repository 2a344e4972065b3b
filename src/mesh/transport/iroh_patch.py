"""Repairs from outside: bytes and calls made fast, freeing made safe, cancelling clean, UDP sockets made deaf.

The binding is passed in as a module, so that only one module of ours imports it.

Touches: the binding's classes, the clock, this process's UDP sockets (only where direct paths are refused).
"""

import asyncio
import contextlib
import ctypes
import functools
import ipaddress
import itertools
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from types import ModuleType
from typing import Any

from mesh.transport.interface import TransportError
from mesh.units import MIB

BINDING_VERSION = "1.2.0"
"""The patch reaches into private names, which only this version is known to have."""

CHECK_CPU_S = 0.1
"""The most CPU seconds that 1 MiB may take. Patched it took 0.0006, unpatched 0.19 (a byte at a time in Python)."""

DISCARD_PORT = 9
"""RFC 863: nobody answers there. A UDP socket connected to it receives from nobody else."""

ORIGINAL = "_mesh_original_lower"
"""Where the replaced method is kept on the class: for the check that it was replaced, and for the benchmark."""

LENGTH_BYTES = 4
"""The binding says before bytes how many there are."""


FREE = "_mesh_free"
"""Where a class of the binding keeps its own finalizer."""


CALL = "_mesh_original_call"
"""Where the binding's module keeps its own way of awaiting a call."""


class BindingUnsuitable(TransportError):
    """The iroh package is not the one that Mesh was made for. Install Mesh again with its pinned dependencies."""

    code = "transport.binding"
    kind = "failed"


def patch_bytes(binding: ModuleType) -> None:
    """Replace how bytes get into the binding and out of it by one copy each; done once, and proven each time.

    Its own way in copies byte by byte in Python. Both ways take a dozen steps, which on the way of a single frame, with
    nothing in the processor's caches, take as long as signing it.
    """
    module = getattr(binding, "iroh_ffi", None)
    converter = getattr(module, "_UniffiFfiConverterBytes", None)
    if module is None or converter is None or version("iroh") != BINDING_VERSION:
        raise BindingUnsuitable(found=version("iroh"), needed=BINDING_VERSION)
    if not hasattr(converter, ORIGINAL):
        setattr(converter, ORIGINAL, converter.lower)
        converter.lower = functools.partial(lowered, module._UniffiRustBuffer.alloc)
        converter.lift = lifted
    check_bytes(converter.lower, converter.lift)


def check_bytes(lower: Callable[[bytes], Any], lift: Callable[[Any], bytes]) -> None:
    """Send 1 MiB in and out: it must come out whole, and fast. Raises BindingUnsuitable."""
    content = os.urandom(1024) * 1024
    before = time.thread_time()
    buffer = lower(content)
    inside = ctypes.string_at(buffer.data, buffer.len)
    came_out = lift(buffer)
    took = time.thread_time() - before
    whole = inside == len(content).to_bytes(LENGTH_BYTES) + content and came_out == content
    if not whole or took > CHECK_CPU_S:
        raise BindingUnsuitable(whole=whole, cpu_s=round(took, 4), bytes=MIB)


def lowered(alloc: Callable[[int], Any], value: bytes | bytearray | memoryview) -> Any:
    """A buffer of the binding that holds ``value``."""
    content = bytes(value)  # no copy where it is bytes already
    buffer = alloc(LENGTH_BYTES + len(content))
    start = ctypes.addressof(buffer.data.contents)
    ctypes.memmove(start, len(content).to_bytes(LENGTH_BYTES), LENGTH_BYTES)
    ctypes.memmove(start + LENGTH_BYTES, content, len(content))
    buffer.len = LENGTH_BYTES + len(content)
    return buffer


def lifted(buffer: Any) -> bytes:
    """What a buffer of the binding holds; it is given back."""
    try:
        start, size = ctypes.addressof(buffer.data.contents), buffer.len - LENGTH_BYTES
        if ctypes.string_at(start, LENGTH_BYTES) != size.to_bytes(LENGTH_BYTES):
            raise BindingUnsuitable(reason="length")
        return ctypes.string_at(start + LENGTH_BYTES, size)
    finally:
        buffer.free()


def patch_freeing(binding: ModuleType, in_loop: Callable[[Callable[[], None]], None]) -> None:
    """Let every handle of the binding be given back through ``in_loop``; done once.

    The binding wakes Python from its own threads, some of them inside a connection's lock. If Python's cycle collector
    happens to run there and finds a stream of that connection, freeing it waits for the very lock: the thread, and
    soon the event loop, stand still for good (seen; it takes seconds with a collection at every third allocation).
    """
    module = binding.iroh_ffi
    for found in vars(module).values():
        if isinstance(found, type) and "_uniffi_clone_handle" in vars(found) and not hasattr(found, FREE):
            setattr(found, FREE, found.__dict__["__del__"])
            setattr(found, "__del__", _freeing(getattr(found, FREE), in_loop))  # noqa: B010


def _freeing(free: Callable[[Any], None], in_loop: Callable[[Callable[[], None]], None]) -> Callable[[Any], None]:
    def finalizer(self: Any) -> None:
        in_loop(functools.partial(free, self))

    return finalizer


class _Wake:
    """Where one poll of a call is answered: at once within the poll, or later from a thread of the binding."""

    __slots__ = ("code", "future", "loop", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.code: int | None = None
        self.future: asyncio.Future[int] | None = None

    def told(self, code: int) -> None:
        if threading.get_ident() == self.thread:
            self.take(code)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self.loop.call_soon_threadsafe(self.take, code)

    def take(self, code: int) -> None:
        self.code = code
        if self.future is not None and not self.future.done():
            self.future.set_result(code)


def patch_calls(binding: ModuleType) -> None:
    """Replace how the binding awaits its calls; done once.

    A call that is done when it is looked at gives its result at once: the binding's own way takes a turn of the loop
    and a write to a pipe first, a tenth of a millisecond on the way of every frame. A call cancelled within that turn
    lost a result that the binding then never freed, up to 256 KiB for each read that was ended in a busy stream (100
    connections closed in mid-transfer kept 90 MB); now there is no such turn.
    """
    module = binding.iroh_ffi
    if hasattr(module, CALL):
        return
    setattr(module, CALL, module._uniffi_rust_call_async)
    waiting: dict[int, _Wake] = {}
    numbers = itertools.count(1)
    ready = module._UNIFFI_RUST_FUTURE_POLL_READY

    @module._UNIFFI_RUST_FUTURE_CONTINUATION_CALLBACK  # type: ignore[untyped-decorator]
    def woken(number: int, code: int) -> None:
        waiting.pop(number).told(code)

    async def call(rust_future: int, poll: Any, complete: Any, free: Any, lift: Any, errors: Any) -> Any:
        loop = asyncio.get_running_loop()
        try:
            code = None
            while code != ready:
                wake, number = _Wake(loop), next(numbers)
                waiting[number] = wake
                poll(rust_future, woken, number)
                code = wake.code
                if code is None:
                    wake.future = loop.create_future()
                    code = await wake.future
            return lift(module._uniffi_rust_call_with_error(errors, complete, rust_future))
        finally:
            free(rust_future)

    module._uniffi_rust_call_async = call


def deafen(bound: Iterable[str]) -> None:
    """Make the UDP sockets bound to these ``ip:port`` texts receive nothing, so that no direct path can be proven.

    The binding has no switch for this, and its peers exchange addresses inside a relayed connection. Connecting a
    socket to the discard port of loopback makes the kernel drop whatever comes from anywhere else; a path counts only
    after an answer was received on it. Raises TransportError if a socket was not found (Windows has no ``/dev/fd``).
    """
    ports = {int(text.rpartition(":")[2]) for text in bound}
    for descriptor in _sockets():
        with socket.socket(fileno=descriptor) as copy:
            if copy.type != socket.SOCK_DGRAM or copy.family not in _LOOPBACK:
                continue
            port = copy.getsockname()[1]
            if port in ports:
                copy.connect((_LOOPBACK[copy.family], DISCARD_PORT))
                ports.discard(port)
    if ports:
        raise TransportError("Direct paths cannot be refused on this system.", sockets=len(ports))


def touch(bound: Iterable[str], address: str) -> None:
    """Send one byte, which is no packet of the protocol, to an ``ip:port`` from the UDP socket bound to one of these.

    It keeps a router's mapping of that socket in use. Nothing is sent where the system has no ``/dev/fd``.
    """
    host, _, port = address.rpartition(":")
    ip = ipaddress.ip_address(host.strip("[]"))
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    ports = {int(text.rpartition(":")[2]) for text in bound}
    for descriptor in _sockets():
        with socket.socket(fileno=descriptor) as copy:
            if copy.type == socket.SOCK_DGRAM and copy.family == family and copy.getsockname()[1] in ports:
                with contextlib.suppress(OSError):  # no network now: the next one will do
                    copy.sendto(bytes(1), (str(ip), int(port)))
                return


def _sockets() -> Iterator[int]:
    """Yield a duplicate of every open socket's descriptor; the taker closes it."""
    for name in os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else ():
        copy = None
        with contextlib.suppress(OSError):  # the listing itself had one open, which is closed by now
            copy = os.dup(int(name)) if stat.S_ISSOCK(os.fstat(int(name)).st_mode) else None
        if copy is not None:
            yield copy


_LOOPBACK: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
