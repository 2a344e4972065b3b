"""What the processor must be able to do before a library that was built for it is loaded: else it dies on the spot.

The chat library's builds for x86_64 use AVX2, FMA and F16C without asking (processors since 2013 have them, some small
ones and some virtual machines do not). Its builds for ARM use nothing special.

Touches: files of the kernel (/proc/cpuinfo).
"""

import platform
import sys

from mesh.errors import MeshError

NEEDED = ("avx2", "fma", "f16c")


class ProcessorTooOld(MeshError):
    """This machine's processor lacks instructions that the chat engine needs, so chat runs on other devices only."""

    code = "engine.processor"
    kind = "unavailable"


def missing(flags: str) -> tuple[str, ...]:
    """What is not among a processor's flags, as the kernel lists them."""
    known = set(flags.split())
    return tuple(one for one in NEEDED if one not in known)


def lacking() -> tuple[str, ...]:
    """What this machine's processor lacks; nothing where that cannot be told (it is tried then)."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return ()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as opened:
            flags = next((line for line in opened if line.startswith("flags")), None)
    except OSError:
        return ()
    return () if flags is None else missing(flags.partition(":")[2])


def check() -> None:
    """Raise ProcessorTooOld unless the engine can run here."""
    if found := lacking():
        raise ProcessorTooOld(
            f"This machine's processor has no {', '.join(found).upper()}, which the chat engine needs: "
            "chat runs on other devices only.",
            missing=list(found),
        )
