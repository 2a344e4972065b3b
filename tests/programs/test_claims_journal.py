"""Claims survive the end of the program from the moment they are made, and reach the outbox exactly where they belong.

Touches: files (a store), threads, processes.
"""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mesh.agent.journal import Journal
from mesh.agent.store import Store, StoreBroken, Taken
from mesh.ids import DeviceId, JobId, PermitId

pytestmark = pytest.mark.anyio

UNTIL_MS = 2**50


def taken(number: int) -> Taken:
    return Taken(DeviceId("asker"), JobId(f"job{number}"), 1, PermitId("permit"), 10, UNTIL_MS)


async def opened(folder: Path) -> Store:
    store = Store(folder / "agent.db")
    store.open()
    return store


async def test_a_claim_is_in_the_outbox_once_and_the_journal_is_empty_again(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    numbers = [await store.claim(taken(number), b"claim%d" % number) for number in range(3)]
    assert numbers == sorted(set(numbers))
    assert [item.content for item in await store.outbox(10)] == [b"claim0", b"claim1", b"claim2"]
    assert (tmp_path / "claims.log").stat().st_size == 0
    assert (tmp_path / "claims.log").stat().st_mode & 0o777 == 0o600
    assert await store.bury(PermitId("permit"), 0) == 3
    await store.close()


async def test_claims_of_a_program_that_was_killed_are_taken_over_at_the_next_start(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, os, signal, sys
        from pathlib import Path
        from mesh.agent.store import Store, Taken

        async def main():
            store = Store(Path(sys.argv[1]) / "agent.db")
            store.open()
            await store.keep("word", b"kept")
            for number in range(5):
                store.claim(Taken("asker", f"job{number}", 1, "permit", 10, 2**50), b"claim%d" % number)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """
    )
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program, str(tmp_path)], timeout=30)
    assert done.returncode == -signal.SIGKILL
    store = await opened(tmp_path)
    assert [item.content for item in await store.outbox(10)] == [b"claim%d" % number for number in range(5)]
    remembered = await store.remembered(0)
    assert {one.job for one in remembered.taken} == {f"job{number}" for number in range(5)}
    assert (tmp_path / "claims.log").stat().st_size == 0
    await store.close()


async def test_what_follows_half_an_entry_is_not_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "claims.log")
    assert journal.open() == []
    journal.append(b"first")
    journal.append(b"second")
    journal.close()
    whole = (tmp_path / "claims.log").read_bytes()
    for cut in range(len(whole)):
        (tmp_path / "claims.log").write_bytes(whole[:cut])
        again = Journal(tmp_path / "claims.log")
        assert again.open() == [b"first"] * (cut >= 13)
        again.close()
    (tmp_path / "claims.log").write_bytes(whole[:-1] + b"x")
    altered = Journal(tmp_path / "claims.log")
    assert altered.open() == [b"first"]
    altered.close()


async def test_a_journal_that_cannot_be_written_refuses_the_claim(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, store._journal._file)
    os.close(full)
    with pytest.raises(StoreBroken):
        store.claim(taken(1), b"claim")
    await store.close()
