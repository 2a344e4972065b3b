"""Chromium for the tests of pages: the machine's own; where it has none, Debian's is installed, loudly, as root."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SHELL = "chromium-headless-shell"
"""Debian's package of the browser without its own windows: a page opens in half the time and a third of the CPU."""
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def chromium() -> str:
    """Its path. Raises where there is none and none can be installed: these tests never skip."""
    found = _found()
    if found:
        return found
    lock = Path(tempfile.gettempdir()) / "mesh-test-chromium.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # several test processes want it at once
        return _found() or _installed()


def _found() -> str | None:
    return os.environ.get("MESH_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def _installed() -> str:
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise RuntimeError(
            f"The tests of pages need Chromium. Install it (Debian: apt-get install {SHELL}), "
            "or name it in MESH_TEST_CHROMIUM."
        )
    print("Installing Chromium for the tests of pages …", file=sys.stderr, flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], env=quiet, check=True)
    subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", SHELL], env=quiet, check=True)
    found = _found()
    if not found:
        raise RuntimeError("Chromium was installed, but its program is not on PATH.")
    return found
