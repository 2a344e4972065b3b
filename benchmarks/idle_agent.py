"""What an idle agent costs: memory and CPU of `mesh up` that only waits, without an engine.

A coordinator with its relay on this machine, and one device that joined it (`mesh up --only-ask`), linked, observed and
left alone. Memory is resident; the supervisor and the coordinator are shown beside. Must reach: the agent's own process
at most 90 MB, and 0.5 % of a core.

Run: `python benchmarks/idle_agent.py [--seconds 60]`

Touches: processes, sockets, files (a temporary folder), clock.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import psutil

from mesh.cli.stage import Stage

SETTLED_S = 20.0
"""After the start: caches filled, addresses asked for, the first minute's work done."""
AGENT_MB_MAX, AGENT_PERCENT_MAX = 90.0, 0.5


def main() -> None:
    """Start, wait, print one line of JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0)
    seconds = arguments.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        ann = stage.player("ann")
        served = ann.start("serve", "--data", str(stage.folder / "data"), "--port", "0")
        ann.mesh("auth", "claim", "-", "--name", "Ann", stdin=str(served.ready["claim"]))
        ann.mesh("net", "create", "idle")
        ann.mesh("device", "join", "-", "--name", "laptop", stdin=ann.mesh("device", "invite")["link"])
        up = ann.start("up", "--only-ask")
        supervisor, coordinator = psutil.Process(up.process.pid), psutil.Process(served.process.pid)
        watched = {
            "agent": child(supervisor, "mesh.agent.main"),
            "supervisor": supervisor,
            "coordinator": coordinator,
            "relay": child(coordinator, "mesh.relay.main"),
        }
        time.sleep(SETTLED_S)
        before = {name: _cpu_s(one) for name, one in watched.items()}
        time.sleep(seconds)
        found = {
            name: {
                "rss_mb": round(one.memory_info().rss / 1e6, 1),
                "percent_of_a_core": round(100 * (_cpu_s(one) - before[name]) / seconds, 2),
            }
            for name, one in watched.items()
        }
        agent = found["agent"]
        reached = agent["rss_mb"] <= AGENT_MB_MAX and agent["percent_of_a_core"] <= AGENT_PERCENT_MAX
        conditions = {"seconds": seconds, "load_average": os.getloadavg()[0], "cores": os.cpu_count()}
        goal = {"rss_mb": AGENT_MB_MAX, "percent_of_a_core": AGENT_PERCENT_MAX}
        print(json.dumps({**found, **conditions, "goal": goal, "reached": reached}))


def child(parent: psutil.Process, what: str) -> psutil.Process:
    """The child process that runs something."""
    return next(one for one in parent.children() if what in " ".join(one.cmdline()))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
