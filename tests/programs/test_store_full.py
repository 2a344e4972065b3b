"""A PostgreSQL server whose disk is full: every caller is told, readers read on, and nobody has to restart anything.

Touches: files, processes, sockets, threads (databases), mounts (a small file system of its own; needs root).
"""

import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mesh.coordinator.store import postgres
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.errors import BatchLost
from mesh.coordinator.store.opening import open_database
from pg_server import Server

_ADD = text("insert into ballast (id, bytes) values (:id, :bytes)")
CALLERS = 12
SIZE = 400_000
"""Bytes that each caller writes, which no compression makes less."""


class Disk:
    """A file system in memory, of a size that can be changed while it is in use."""

    def __init__(self, where: Path) -> None:
        self.where = where
        where.mkdir()
        self._mount("-t", "tmpfs", "-o", "size=96m", "mesh-test")

    def resize(self, megabytes: int) -> None:
        self._mount("-o", f"remount,size={megabytes}m")

    def used_mb(self) -> int:
        return shutil.disk_usage(self.where).used // 2**20

    def _mount(self, *options: str) -> None:
        done = subprocess.run(["mount", *options, str(self.where)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"this test makes a file system, which root may: {done.stderr}"

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.where)], check=True, timeout=30)


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Disk, str]]:
    """A disk, and the address of a database whose tables are on it."""
    if os.geteuid() != 0:
        assert "CI" not in os.environ, "a file system of its own needs root, and CI has to test this"
        pytest.skip("a file system of its own needs root")
    server: Server = request.getfixturevalue("on_postgres")(tmp_path).server
    made = Disk(server.folder / f"disk-{secrets.token_hex(4)}")
    try:
        where = server.on_disk(made.where)
        try:
            with postgres.engine_for(where).begin() as connection:
                connection.execute(text("create table ballast (id text primary key, bytes text)"))
            yield made, where
        finally:
            server.off_disk(where)
    finally:
        made.close()


def add(store: Store, name: str) -> str:
    store.run(_ADD, {"id": name, "bytes": secrets.token_hex(SIZE)})
    return name


def known(store: Store) -> set[str]:
    return {row.id for row in store.rows(text("select id from ballast"))}


def test_a_full_disk_tells_every_caller_and_is_over_when_there_is_room(disk: tuple[Disk, str]) -> None:
    room, where = disk
    with open_database(where) as database:
        database.write_and_wait(add, "before")
        room.resize(room.used_mb() + 2)
        said: dict[str, Any] = {}

        def call(name: str) -> None:
            try:
                said[name] = database.write_and_wait(add, name)
            except Exception as error:  # noqa: BLE001 - looked at below
                said[name] = error

        threads = [threading.Thread(target=call, args=(f"m{at}",)) for at in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(said) == CALLERS, "nobody is left waiting"
        lost = {name: answer for name, answer in said.items() if answer != name}
        assert lost, "so much does not fit"
        assert {type(answer) for answer in lost.values()} == {BatchLost}
        assert {answer.facts["reason"] for answer in lost.values()} == {"53100"}
        assert database.read_and_wait(known) == {"before", *said} - set(lost), "those that were told so are in"
        room.resize(96)
        assert database.write_and_wait(add, "after") == "after", "no restart was needed"
        for name in lost:
            assert database.write_and_wait(add, name) == name
        assert database.read_and_wait(known) == {"before", "after", *said}
    with postgres.engine_for(where).connect() as connection:
        assert connection.execute(text("select count(*) from ballast")).scalar_one() == CALLERS + 2
