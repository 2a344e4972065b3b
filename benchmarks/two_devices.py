"""How much faster two equal devices do a bag of jobs than one of them alone, and how evenly they share it.

Agents in processes of their own with engines that only wait (one slot, so long for each job), over QUIC on loopback.
One device does the bag alone; a second one joins; both do it together. Must reach: at least 1.9 times as fast, a Gini
coefficient of the jobs below 0.1. All of them share this machine: ``cores_used`` near the number of its cores means
that it was the machine, and not the dispatch, that was the limit.

Run: `python benchmarks/two_devices.py [--service 0.02 0.3]`

Touches: processes, sockets, files (a temporary folder), clock.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from waiting_devices import Device, Devices, gini

BAG_S = 7.2
"""Seconds of work in a bag: 24 jobs of 0.3 s, 360 of 20 ms."""
WARM_UP = 24
TIMES = 3
FASTER = 1.9
GINI_MAX = 0.1


def spent(devices: Devices, asker: Device, *workers: Device) -> dict[str, float]:
    """Processor seconds of all that take part, by what they are."""
    return {
        "requester": asker.cpu_s(),
        "workers": sum(one.cpu_s() for one in workers),
        "coordinator": devices.coordinator_cpu_s(),
    }


def bench(service_s: float) -> None:
    """One size of job: the best of three bags each way, so that what else runs here counts less."""
    jobs = round(BAG_S / service_s)
    with tempfile.TemporaryDirectory() as folder, Devices(Path(folder)) as devices:
        first = devices.worker("first", service_s)
        asker = devices.asker("asks-one")
        asker.order("bag", WARM_UP)
        alone = min(asker.order("bag", jobs)["seconds"] for _ in range(TIMES))
        second = devices.worker("second", service_s)
        asker = devices.asker("asks-both")  # the first has a permit that names one device, and would use it up
        while len(asker.order("bag", WARM_UP)["devices"]) < 2:
            pass
        began = spent(devices, asker, first, second)
        bags = [asker.order("bag", jobs) for _ in range(TIMES)]
        used = {name: spent_s - began[name] for name, spent_s in spent(devices, asker, first, second).items()}
    best = min(bags, key=lambda bag: bag["seconds"])
    shared = [best["devices"].get(one.id, 0) for one in (first, second)]
    faster = alone / best["seconds"]
    print(
        json.dumps(
            {
                "service_s": service_s,
                "jobs": jobs,
                "alone_s": round(alone, 2),
                "together_s": round(best["seconds"], 2),
                "ideal_s": round(jobs * service_s / 2, 2),
                "faster": round(faster, 2),
                "jobs_each": shared,
                "cpu_ms_per_job": {name: round(1000 * used_s / (TIMES * jobs), 2) for name, used_s in used.items()},
                "cores_used": round(sum(used.values()) / sum(bag["seconds"] for bag in bags), 2),
                "gini": round(gini([float(count) for count in shared]), 3),
                "failed": sum(sum(bag["failed"].values()) for bag in bags),
                "target": {"faster": FASTER, "gini_below": GINI_MAX},
                "reached": faster >= FASTER and gini([float(count) for count in shared]) < GINI_MAX,
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
