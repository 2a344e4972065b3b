"""The small parent of an agent: starts it in a process of its own and starts it again when it crashes.

The transport's binding can abort a process; then a person's machine must not be gone until somebody looks. The agent
says what happens as JSON lines on its stdout; its stdin is a pipe that closes with this process, so that no agent is
left behind. An agent that ended with an error of its own is not restarted: that error is for people.

Touches: processes, pipes, the clock.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mesh.errors import MeshError, from_wire

REFUSED = 75
"""Exit code of an agent that has told its error and must not be restarted."""
BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LIVED_S = 60.0
"""An agent that lived this long begins the back-off anew."""
STOP_S = 10.0
"""How long an agent may take to leave in order: answers are written down, peers are told."""
LINE_BYTES_MAX = 64 * 1024

Say = Callable[[dict[str, Any]], None]


def command(home: Path, flags: Sequence[str] = ()) -> list[str]:
    """How an agent's process is started."""
    return [sys.executable, "-m", "mesh.agent.main", "--home", str(home), *flags]


async def supervise(program: Sequence[str], say: Say, stop: asyncio.Event) -> None:
    """Run the agent until ``stop`` is set, or it ends by itself; restart it when it crashes.

    ``say`` gets every object that it prints, and ``{"event": "crashed", …}`` before a restart. Raises the error with
    which the agent refused to run.
    """
    loop = asyncio.get_running_loop()
    crashes = 0
    while not stop.is_set():
        started = loop.time()
        code = await _one_life(program, say, stop)
        if stop.is_set() or code == 0:
            return
        if loop.time() - started > LIVED_S:
            crashes = 0
        wait_s = BACK_OFF_S[min(crashes, len(BACK_OFF_S) - 1)]
        crashes += 1
        say({"event": "crashed", "exit_code": code, "restart_in_s": wait_s})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await stop.wait()


async def _one_life(program: Sequence[str], say: Say, stop: asyncio.Event) -> int:
    """One process from start to end; returns its exit code (negative: the signal that ended it)."""
    process = await asyncio.create_subprocess_exec(
        *program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_BYTES_MAX
    )
    stopping = asyncio.create_task(stop.wait())
    listening = asyncio.create_task(_listen(process, say))
    try:
        await asyncio.wait((stopping, listening), return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            _end_input(process)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await asyncio.shield(listening)
        refused = listening.result() if listening.done() else None
        if refused is not None and not stop.is_set():
            raise refused
    finally:
        stopping.cancel()
        listening.cancel()
        await asyncio.shield(_end(process))
    return process.returncode or 0


async def _listen(process: asyncio.subprocess.Process, say: Say) -> MeshError | None:
    """Pass on what the agent prints until it ends; returns the error if it refused to run."""
    assert process.stdout is not None
    refused: MeshError | None = None
    async for line in process.stdout:
        said = json.loads(line)
        if "error" in said:
            refused = from_wire(said["error"])
        else:
            say(said)
    return refused if await process.wait() == REFUSED else None


def _end_input(process: asyncio.subprocess.Process) -> None:
    """The end of its stdin asks an agent to leave, on every system alike."""
    assert process.stdin is not None
    process.stdin.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _end_input(process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
