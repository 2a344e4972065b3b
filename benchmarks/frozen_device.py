"""What a frozen device costs: jobs on two devices of which one is stopped (SIGSTOP), against one device alone.

Agents in processes of their own with engines that only wait (one slot), over QUIC on loopback. Twenty-four jobs, as a
bag and one by one: first by one device alone; then a second one joins, is used, and is stopped in the middle of its
idleness; nobody knows of it when the jobs begin. Must reach: at most 1.15 times the time of the one device alone.

Run: `python benchmarks/frozen_device.py [--service 0.02 0.3]`

Touches: processes, signals, sockets, files (a temporary folder), clock.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from waiting_devices import Device, Devices

JOBS = 24
TIMES = 3
SLOWER_MAX = 1.15


def warm(asker: Device, *workers: Device) -> None:
    """Until each of these has had enough jobs for what it does to be known."""
    had = dict.fromkeys((one.id for one in workers), 0)
    while min(had.values()) < JOBS:
        for device, count in asker.order("bag", JOBS)["devices"].items():
            had[device] = had.get(device, 0) + count


def bench(service_s: float) -> None:
    """One size of job. The best of three, each time with a device that nobody has found frozen yet."""
    with tempfile.TemporaryDirectory() as folder, Devices(Path(folder)) as devices:
        steady = devices.worker("steady", service_s)
        asker = devices.asker("asks-one")
        warm(asker, steady)
        alone = {what: min(asker.order(what, JOBS)["seconds"] for _ in range(TIMES)) for what in ("bag", "one")}
        other = devices.worker("other", service_s)
        asker = devices.asker("asks-both")  # the first has a permit that names one device, and would use it up
        for what in ("bag", "one"):
            took = []
            for _ in range(TIMES):
                warm(asker, steady, other)
                other.freeze()
                did = asker.order(what, JOBS)
                other.thaw()
                assert not did["failed"], did
                took.append(did["seconds"])
            slower = min(took) / alone[what]
            print(
                json.dumps(
                    {
                        "service_s": service_s,
                        "jobs": "a bag" if what == "bag" else "one by one",
                        "alone_s": round(alone[what], 2),
                        "one_frozen_s": [round(seconds, 2) for seconds in took],
                        "slower": round(slower, 3),
                        "target": {"slower": SLOWER_MAX},
                        "reached": slower <= SLOWER_MAX,
                        "load_average": os.getloadavg()[0],
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", type=float, nargs="+", default=[0.02, 0.3])
    for size in parser.parse_args().service:
        bench(size)
