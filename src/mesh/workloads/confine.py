"""What an engine's process gives up before it meets strangers' input.

Touches: this process: its priority, its death signal, its memory score.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable

from mesh.protocol.values import Isolation

NICE = 5
"""The owner's own programs come first; a job still goes on beside a busy machine."""

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """End with the agent, and before it when memory runs out.

    An agent that died before the signal was set is noticed by the pipe, which ends at once.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # not where /proc is read-only: the kernel then chooses by size alone
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    if sys.platform != "win32":
        os.nice(NICE)


def confine(readable: Iterable[str]) -> Isolation:
    """Give up what the loaded engine does not need; says how far that went.

    ``limited``: own process, own temporary folder, no environment, memory and time watched.
    """
    return "limited"
