"""How long an owner's short job waits behind other people's: alone, beside a huge job of others, and with a lane kept.

Run: python benchmarks/owner_first.py MODEL_FOLDER. It also says how soon an engine is rid of a cancelled job.

Touches: processes (an engine), files (the model), clock.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from statistics import median

from mesh.agent.engines.own import Engines
from mesh.workloads.catalogue import EMBEDDINGS_DEFAULT
from mesh.workloads.contract import Turn
from mesh.workloads.embeddings import Embeddings, payload_of
from mesh.workloads.files import ModelFiles

TIMES = 40
MINE = payload_of(["boats in the dark"])
LONG = payload_of(["word " * 250] * 400)


async def waits(engines: Engines, *, first: bool) -> str:
    """Milliseconds of a short job, median and the worst."""
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        await engines.run("embeddings", EMBEDDINGS_DEFAULT, MINE, limit_s=60, turn=Turn(first=first))
        taken.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(0.01)
    return f"median {median(taken):7.1f} ms   worst {max(taken):7.1f} ms"


async def main(models: Path) -> None:
    """Measure and print."""
    async with Engines(ModelFiles(models, os.environ), lanes=2) as engines:
        await engines.measure("embeddings", EMBEDDINGS_DEFAULT)
        print("alone                           ", await waits(engines, first=True), flush=True)
        for name, payload in (("ordinary texts", Embeddings().rehearsal(9000)), ("the longest texts", LONG)):
            for share in (1.0, 0.5):
                engines.limit_others(share)
                others = asyncio.ensure_future(engines.run("embeddings", EMBEDDINGS_DEFAULT, payload, limit_s=600))
                await asyncio.sleep(1.0)
                kept = "a lane kept" if share < 1 else "first      "
                print(f"beside {name:18} {kept}", await waits(engines, first=True), flush=True)
                others.cancel()
                started = time.perf_counter()
                process = engines._slots["embeddings", EMBEDDINGS_DEFAULT, ""].process
                while (process is not None and process._leaving) or not others.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
                print(f"  the cancelled job was gone after {(time.perf_counter() - started) * 1000:.0f} ms")


asyncio.run(main(Path(sys.argv[1]).resolve()))
