"""What cheating pays at the chosen rate of spot checks, in the simulated network of ten owners of tests/cheating.py.

Run: `python benchmarks/checks_cheating.py [--seeds 1000]`

Touches: nothing.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cheating import CHEATS, one_seed


def main() -> None:
    """Print a line per way of cheating and number of cheats."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    arguments.add_argument("--seeds", type=int, default=1000)
    given = arguments.parse_args()
    for cheats in (1, 2, 5):
        for cheat in CHEATS:
            found = [one for seed in range(given.seeds) for one in one_seed(seed, cheat, cheats)]
            jobs = sorted(one.since_first or 0 for one in found if one.out)
            gains = [one.spent_false - one.lost_true for one in found]
            print(
                json.dumps(
                    {
                        "cheats": cheats,
                        "how": cheat.name,
                        "devices": len(found),
                        "found": sum(one.out for one in found),
                        "within_64_jobs": round(
                            sum(one.out and (one.since_first or 0) <= 64 for one in found) / len(found), 3
                        ),
                        "jobs_mean": round(statistics.mean(jobs), 1) if jobs else None,
                        "jobs_p95": jobs[int(len(jobs) * 0.95)] if jobs else None,
                        "false_pay_spent": round(statistics.mean(one.spent_false for one in found), 3),
                        "honest_pay_lost": round(statistics.mean(one.lost_true for one in found), 2),
                        "gain": round(statistics.mean(gains), 2),
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
