"""What an engine's process gives up before it meets strangers' input.

Two steps: files before the model is loaded (the libraries that load it are trusted, what they read is not), then system
calls after it. Both hold on Linux alone; elsewhere the process is a process with watched memory and time.

Touches: this process: its rights, priority, death signal, memory score; files (its memory score).
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable

from mesh.protocol.values import Isolation
from mesh.workloads import landlock, seccomp

NICE = 5
"""The owner's own programs come first; a job still goes on beside a busy machine."""

_PR_SET_PDEATHSIG = 1

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/nix/store")
"""Where shared libraries are, beside the interpreter's own folders."""

MACHINE = (
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system", "/sys/fs/cgroup"),
    *("/dev/urandom", "/dev/random"),
)
"""What numeric libraries ask about the machine. ``/proc/self`` is this very process, not whoever reads it."""

NOWHERE = "/dev/null"
"""Where libraries send what nobody is to read; one that cannot open it crashes."""


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


def keep_to_files(model_files: Iterable[str], scratch: str) -> bool:
    """Give up all files but the interpreter, libraries, the model and the process's own folder; True if that holds."""
    interpreter = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    places = [place for place in {*interpreter, *sys.path} if place and place != "/"]
    return landlock.restrict(
        readable=[*places, *LIBRARIES, *MACHINE, *model_files],
        writable=[scratch, NOWHERE],
    )


def keep_to_work(files_kept: bool) -> Isolation:
    """Give up sockets, other programs and processes; says how far the process is confined.

    ``strict``: that, and its files. ``limited``: own process and folder, empty environment, watched memory and time.
    """
    return "strict" if seccomp.restrict() and files_kept else "limited"
