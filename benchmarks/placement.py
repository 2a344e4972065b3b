"""How long placing a job takes among 100 and 1,000 devices, with its whole explanation; asked: 1 ms and 5 ms.

Half of the devices are other people's; by the default policy, and by one whose grants look at tags and owners, so that
no two devices of others are decided alike. CPU time: other programs on the machine count only by what they take from
its caches.

Run: `python benchmarks/placement.py`

Touches: clock, the system's load.
"""

import json
import os
import statistics
import time

from mesh.ids import DeviceId, DeviceKey, MemberId
from mesh.jobs.facts import Ask, DeviceFacts
from mesh.jobs.placement import place
from mesh.policies.decide import DEFAULT_POLICY
from mesh.protocol.values import Capability, Condition, Grant, JobSpec, Load, ModelOffer, Policy

ROUNDS = 200
ME = MemberId("ann")
CLOSE_LOOK = Policy(
    (
        Grant("tagged", tags=("fast",), sensitivities=("public", "private")),
        Grant("friends", owners=tuple(f"member-{number}" for number in range(0, 1000, 3)), tier_min=1),
        Grant("evenings", hours=((18 * 60, 23 * 60),)),
    )
)


def a_device(number: int) -> DeviceFacts:
    """A laptop, each a little different."""
    offer = ModelOffer("embeddings", "small", 20_000.0 + number, warm=number % 3 == 0, cold_load_s=1.0)
    return DeviceFacts(
        device=DeviceId(f"device-{number:04}"),
        key=DeviceKey(f"{number:064x}"),
        owner=ME if number % 2 else MemberId(f"member-{number}"),
        owner_role="member",
        capability=Capability("Linux", "x86_64", 8, 16 << 30, 2, offers=(offer,), isolation="strict"),
        condition=Condition(load=Load(number, number % 5, number % 7 / 10), cpu_busy=number % 10 / 10, plugged_in=True),
        backlog_s=number % 7 / 10,
        tags=("fast",) if number % 4 == 0 else (),
    )


def main() -> None:
    """Measure and print."""
    spec = JobSpec("embeddings", "small", 20_000)
    for count, asked_ms in ((100, 1.0), (1000, 5.0)):
        devices = [a_device(number) for number in range(count)]
        for name, policy in (("default", DEFAULT_POLICY), ("close look", CLOSE_LOOK)):
            ask = Ask(spec, ME, "member", DeviceId("device-0001"), 100_000, policy=policy)
            spent = []
            for draw in range(ROUNDS):
                began = time.process_time()
                placement = place(ask, devices, draw=draw)
                spent.append((time.process_time() - began) * 1000)
            assert placement.ranked
            middle = statistics.median(spent)
            found = {
                "devices": count,
                "policy": name,
                "median_ms": round(middle, 2),
                "p95_ms": round(sorted(spent)[int(ROUNDS * 0.95)], 2),
                "target_ms": asked_ms,
                "reached": middle <= asked_ms,
                "load_average": os.getloadavg()[0],
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
