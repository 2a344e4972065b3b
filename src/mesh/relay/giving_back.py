"""Giving memory back to the system: pages that hold nothing any more, and what a burst has left behind.

Elsewhere than on Linux nothing is done: the memory is used again by this process, and stays its own.

Touches: this process's memory, through the C library.
"""

import ctypes
import functools
import mmap
import sys
from contextlib import suppress
from typing import Any, Final

_DONT_NEED: Final = 4
"""``MADV_DONTNEED``: the pages read as zeros from now on, and take memory again only when written."""


@functools.cache
def _c() -> Any:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def forget(room: memoryview) -> None:
    """Give back the whole pages beneath memory of ours whose content nobody wants; it may be written again at once."""
    if _c() is None or len(room) < mmap.PAGESIZE:
        return
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    whole = (start + len(room) - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if whole > 0:
        _c().madvise(ctypes.c_void_p(first), ctypes.c_size_t(whole), _DONT_NEED)


def trim() -> None:
    """Give back what the allocator holds free: after a burst of handshakes that is most of what they took."""
    if _c() is not None:
        with suppress(AttributeError):  # a C library without it (musl)
            _c().malloc_trim(0)
