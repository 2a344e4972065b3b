"""What this machine is and how it is right now: capability for the join, condition for every beat.

Only what the process may really use counts: affinity and control groups bound cores and memory, so that a container
does not promise its host. Everything unknown stays unknown (None), never a guess.

Touches: the system's sensors (psutil, NVML, files of the kernel).
"""

import os
import platform
from contextlib import suppress
from pathlib import Path

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


class Probe:
    """Reads this machine. The slow readings are taken once, when it is made."""

    def __init__(self) -> None:
        self.cores = usable_cores()
        self.memory_bytes = usable_memory()
        self._gpus = nvidia_gpus()
        psutil.cpu_percent()  # the first call only sets the mark that later ones measure from

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

    def condition(self, state: DeviceState, load: Load, warm: tuple[str, ...]) -> Condition:
        """How this device is now."""
        battery = _battery()
        return Condition(
            state=state,
            load=load,
            warm=warm,
            cpu_busy=min(1.0, psutil.cpu_percent() / 100),
            battery=None if battery is None else battery[0],
            plugged_in=None if battery is None else battery[1],
            thermal_headroom=_thermal_headroom(),
            contributes=state == "ready",
        )


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
