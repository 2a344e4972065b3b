"""How many seconds of a core a page takes, drawn and read, and how much sooner two one-core devices read a document.

The document has full A4 pages of printed text. "Devices" here are pools of engines with one lane each, without a
network between them; the pages are drawn meanwhile, on the same cores.

Run: `python benchmarks/ocr_pages.py [PAGES]`

Touches: processes (engines), files (the model), clock.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mesh.agent.asking.drawing import Drawer  # noqa: E402
from mesh.agent.engines.own import Engines  # noqa: E402
from mesh.workloads.catalogue import OCR_DEFAULT  # noqa: E402
from mesh.workloads.contract import Payload, Turn  # noqa: E402
from mesh.workloads.files import ModelFiles  # noqa: E402
from papers import a_page, a_pdf, lines_of_text  # noqa: E402

MODELS = ROOT / ".dev" / "models"
AT_ONCE = 4


def used_s() -> float:
    """Processor seconds of this process's children, alive and ended."""
    times = psutil.Process().cpu_times()
    alive = sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children())
    return float(times.children_user + times.children_system + alive)


async def read(document: bytes, pages: int, devices: list[Engines]) -> float:
    """Seconds until a whole document is drawn and read: each device takes the next page when it is free."""
    started = time.perf_counter()
    waiting: asyncio.Queue[bytes] = asyncio.Queue(maxsize=AT_ONCE)

    async def draw() -> None:
        async with Drawer() as drawer:
            for first in range(0, pages, AT_ONCE):
                for page in await drawer.draw(document, first, min(AT_ONCE, pages - first)):
                    assert isinstance(page, bytes)
                    await waiting.put(page)

    async def work(device: Engines) -> None:
        while True:
            page = await waiting.get()
            await device.run("ocr", OCR_DEFAULT, Payload({}, (page,)), limit_s=120, turn=Turn("me"))
            waiting.task_done()

    workers = [asyncio.ensure_future(work(device)) for device in devices]
    await draw()
    await waiting.join()
    for worker in workers:
        worker.cancel()
    return time.perf_counter() - started


async def main(pages: int) -> None:
    """Measure and print."""
    document = a_pdf([a_page(lines_of_text(24, seed)) for seed in range(pages)])
    files = ModelFiles(MODELS, os.environ)
    async with Engines(files, lanes=1) as one, Engines(files, lanes=1) as two:
        for device in (one, two):
            await read(document, 1, [device])
        before = used_s()
        async with Drawer() as drawer:
            for first in range(0, pages, AT_ONCE):
                await drawer.draw(document, first, min(AT_ONCE, pages - first))
            print(f"drawing: {(used_s() - before) / pages:.3f} s of a core per page", flush=True)
        before = used_s()
        alone_s = await read(document, pages, [one])
        print(f"one device:  {alone_s:6.1f} s, {(used_s() - before) / pages:.3f} s of a core per page", flush=True)
        both_s = await read(document, pages, [one, two])
        print(f"two devices: {both_s:6.1f} s, {alone_s / both_s:.2f} times as fast")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 24))
