"""What this machine is and how it is right now: capability for the join, condition for every beat.

Only what the process may really use counts: affinity and control groups bound cores and memory, so that a container
does not promise its host. Everything unknown stays unknown (None), never a guess.

Touches: the system's sensors (psutil, NVML, files of the kernel), clock.
"""

import math
import os
import platform
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from mesh.devices.capability import detect_tier
from mesh.protocol.values import Capability, Condition, DeviceState, Gpu, Isolation, Load, ModelOffer

CGROUP = Path("/sys/fs/cgroup")
NVIDIA_DRIVER = (
    Path("/proc/driver/nvidia/version"),
    Path("/dev/dxg"),
    Path("C:/Windows/System32/nvml.dll"),
)
"""Where a driver shows itself (Linux, WSL, Windows). Without one its Python binding is not loaded: it takes 9 MB."""
WARM_C = 60.0
HOT_C = 95.0
"""Headroom is 1 below 60 °C and 0 at 95 °C, where processors begin to slow themselves down."""


LOOK_S = 1.0
"""Use over less than a second is noise: what was read last still stands."""
SMOOTH_S = 15.0
"""Use is averaged over some 15 s: opening a window is no use of the machine, and a build with pauses is."""


class Probe:
    """Reads this machine. The slow readings are taken once, when it is made."""

    def __init__(self) -> None:
        self.cores = usable_cores()
        self.memory_bytes = usable_memory()
        self._gpus = nvidia_gpus()
        self._use = OthersUse()

    def capability(self, offers: tuple[ModelOffer, ...], isolation: Isolation) -> Capability:
        """What this device is."""
        return Capability(
            system=platform.system().lower(),
            arch=platform.machine().lower(),
            cores=self.cores,
            memory_bytes=self.memory_bytes,
            tier=detect_tier(phone=False, npu=False, gpus=self._gpus),
            gpus=self._gpus,
            isolation=isolation,
            offers=offers,
        )

    def condition(self, state: DeviceState, load: Load, warm: tuple[str, ...], engines: Iterable[int]) -> Condition:
        """How this device is now; ``engines``: the processes whose work is Mesh's own, and no use by its owner."""
        battery = _battery()
        return Condition(
            state=state,
            load=load,
            warm=warm,
            cpu_busy=self._use.read(engines),
            battery=None if battery is None else battery[0],
            plugged_in=None if battery is None else battery[1],
            thermal_headroom=_thermal_headroom(),
            gpu_busy=nvidia_use() if self._gpus else None,
        )


class OthersUse:
    """How much of the processors others use: the machine's use less that of the agent and its engines.

    Each reading is of the time since the one before, and goes into an average over ``SMOOTH_S``.
    """

    def __init__(
        self,
        machine: Callable[[], tuple[float, float]] | None = None,
        process: Callable[[int], float | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """For tests: where the seconds come from. ``machine``: used and passed, over all processors."""
        self._machine, self._process, self._clock = machine or machine_times, process or process_time, clock
        self._at_s = self._clock()
        self._before = self._machine()
        self._spent: dict[int, float] = {os.getpid(): self._process(os.getpid()) or 0.0}
        self._busy: float | None = None

    def read(self, engines: Iterable[int]) -> float | None:
        """The average now, 0..1; None until there is one."""
        passed_s = self._clock() - self._at_s
        if passed_s < LOOK_S:
            return self._busy
        used, passed = self._machine()
        spent = {pid: seconds for pid in (os.getpid(), *engines) if (seconds := self._process(pid)) is not None}
        # an engine that was not known before was started since
        own = sum(seconds - self._spent.get(pid, 0.0) for pid, seconds in spent.items())
        total = passed - self._before[1]
        if total > 0:
            now = min(1.0, max(0.0, (used - self._before[0] - own) / total))
            weight = 1 - math.exp(-passed_s / SMOOTH_S)
            self._busy = now if self._busy is None else self._busy + weight * (now - self._busy)
        self._at_s, self._before, self._spent = self._clock(), (used, passed), spent
        return self._busy


def machine_times() -> tuple[float, float]:
    """Seconds that all processors together were in use, and that passed on them, since boot."""
    times: Any = psutil.cpu_times()
    passed = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # part of user and nice
    return passed - times.idle - getattr(times, "iowait", 0.0), passed


def process_time(pid: int) -> float | None:
    """Processor seconds that a process has used; None for one that has gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)


def usable_cores() -> int:
    """Cores that this process may use: affinity, and the control group's quota, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = (CGROUP / "cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, -(-int(quota) // int(period))))
    return cores


def usable_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or the control group's limit."""
    memory = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):
        memory = min(memory, int((CGROUP / "memory.max").read_text()))
    return memory


def nvidia_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs of this machine; none without a driver."""
    if not any(path.exists() for path in NVIDIA_DRIVER):
        return ()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # a driver without its library, as in some containers
        return ()
    try:
        found = []
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            name = pynvml.nvmlDeviceGetName(handle)
            text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
            found.append(Gpu(text, int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)))
        return tuple(found)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def nvidia_use() -> float | None:
    """How busy the busiest NVIDIA GPU is, 0..1. No engine of Mesh uses one yet, so all of it is others'."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        return max((float(pynvml.nvmlDeviceGetUtilizationRates(one).gpu) / 100 for one in handles), default=None)
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _battery() -> tuple[float, bool] | None:
    if not hasattr(psutil, "sensors_battery"):
        return None
    battery = psutil.sensors_battery()
    return None if battery is None else (battery.percent / 100, bool(battery.power_plugged))


def _thermal_headroom() -> float | None:
    if not hasattr(psutil, "sensors_temperatures"):
        return None
    sensors = psutil.sensors_temperatures()
    current = [one.current for name in ("coretemp", "k10temp", "cpu_thermal") for one in sensors.get(name, ())]
    if not current:
        return None
    return min(1.0, max(0.0, (HOT_C - max(current)) / (HOT_C - WARM_C)))
