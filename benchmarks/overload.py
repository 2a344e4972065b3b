"""What becomes of jobs when ten times as many come as the devices can do: who is served, how late, who is told what.

Two devices with engines that only wait (one slot), over QUIC on loopback; one device asks. Jobs come at random times,
first at 0.8 of what the two can do: that is normal. Then at ten times what they can do, each with a time limit of twice
the normal p99. Must reach: admitted jobs' p99 at most twice the normal one, every refusal with a time to ask again,
bounded memory, and the devices busy with work that is of use.

Run: `python benchmarks/overload.py [--service 0.1] [--seconds 20]`

Touches: processes, sockets, files (a temporary folder), clock.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from waiting_devices import Devices

NORMAL = 0.8
OVER = 10.0
LATER_MAX = 2.0
GROWTH_MB_MAX = 64.0
LATE_MAX = 0.03
"""A job's time is estimated when it is admitted."""


def p99(seconds: list[float]) -> float:
    """Of sorted seconds."""
    return seconds[max(0, int(0.99 * len(seconds)) - 1)]


def bench(service_s: float, seconds: float) -> None:
    """Normal, then too much."""
    able_s = 2 / service_s
    with tempfile.TemporaryDirectory() as folder, Devices(Path(folder)) as devices:
        workers = [devices.worker(name, service_s) for name in ("first", "second")]
        asker = devices.asker("asks")
        asker.order("bag", 48)
        normal = asker.order("open", round(NORMAL * able_s * seconds), rate=NORMAL * able_s)
        limit_s = LATER_MAX * p99(normal["each"])
        before = [one.memory_mb() for one in (asker, *workers)]
        over = asker.order("open", round(OVER * able_s * seconds), rate=OVER * able_s, limit_s=limit_s)
        growth = [one.memory_mb() - was for one, was in zip((asker, *workers), before, strict=True)]
    later, refused = p99(over["each"]) / p99(normal["each"]), sum(over["failed"].values())
    late = over["failed"].get("job.timed_out", 0)  # of those admitted: begun, and not done in time
    told = over["hints"] == refused - late and late <= LATE_MAX * len(over["each"])
    useful = len(over["each"]) * service_s / (2 * over["seconds"])
    print(
        json.dumps(
            {
                "service_s": service_s,
                "normal_p99_s": round(p99(normal["each"]), 3),
                "normal_failed": normal["failed"],
                "limit_s": round(limit_s, 3),
                "jobs": len(over["each"]) + refused,
                "done": len(over["each"]),
                "p99_s": round(p99(over["each"]), 3),
                "later": round(later, 2),
                "refused": over["failed"],
                "told_when_to_ask_again": over["hints"],
                "devices_useful": round(useful, 2),
                "growth_mb": [round(one, 1) for one in growth],
                "target": {"later": LATER_MAX, "growth_mb": GROWTH_MB_MAX, "each_refusal_says_when": True},
                "reached": later <= LATER_MAX and told and max(growth) <= GROWTH_MB_MAX,
                "load_average": os.getloadavg()[0],
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    bench(options.service, options.seconds)
