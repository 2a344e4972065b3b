"""Other people's clients, each in an environment of its own below ``.dev``, made once from pinned versions.

What cannot be installed fails the tests that need it: that these clients work is a promise, not a wish.

Touches: files (.dev), processes, package indexes (only while installing).
"""

import asyncio
import fcntl
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = ROOT / "tests" / "clients"
KEPT = ROOT / ".dev"
INSTALL_S = 300.0
RUN_S = 60.0


async def told_by_python(script: str, python: Path, limit_s: float = RUN_S, **environment: str) -> Any:
    """What a Python script of tests/clients prints as JSON."""
    return json.loads(await _output(limit_s, str(python), "-I", str(CLIENTS / script), env=environment))


async def told_by_node(script: str, node: Path, **environment: str) -> Any:
    """What a Node script of tests/clients prints as JSON. ``node``: as ``node_clients`` gave it."""
    return json.loads(await _output(RUN_S, str(node), script, env=environment, cwd=_node_folder()))


async def python_clients() -> Path:
    """An interpreter with the clients of tests/clients/requirements.txt, made where it is missing."""
    pins = CLIENTS / "requirements.txt"
    folder = KEPT / "clients-python"
    python = folder / "bin" / "python"
    uv = (sys.executable, "-m", "uv")
    await asyncio.to_thread(_locked, folder, (pins,), lambda: _install_python(uv, folder, python, pins))
    return python


async def node_clients() -> Path:
    """Node, beside which the client of tests/clients/package.json is installed."""
    node = node_here()
    sources = tuple(CLIENTS / name for name in ("package.json", "package-lock.json", ".npmrc"))
    folder = _node_folder()
    await asyncio.to_thread(_locked, folder, sources, lambda: _install_node(node, folder, sources))
    for script in CLIENTS.glob("*.mjs"):  # modules are looked for beside the script
        (folder / script.name).write_bytes(script.read_bytes())
    return node


def node_here() -> Path:
    """The Node that builds the pages."""
    return Path(_dev().node()) / "node"


def _node_folder() -> Path:
    return KEPT / "clients-node"


def _dev() -> Any:
    spec = importlib.util.spec_from_file_location("mesh_dev", ROOT / "dev.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _locked(folder: Path, sources: tuple[Path, ...], install: Callable[[], None]) -> None:
    """Install once for all test processes; anew where the pins have changed."""
    want = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    stamp = folder / ".made-from"
    with _only_one(folder.name):
        if not stamp.exists() or stamp.read_text() != want:
            install()
            stamp.write_text(want)


@contextmanager
def _only_one(name: str) -> Iterator[None]:
    KEPT.mkdir(exist_ok=True)
    with (KEPT / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install_python(uv: tuple[str, ...], folder: Path, python: Path, pins: Path) -> None:
    _run(*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    _run(*uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", str(pins))


def _install_node(node: Path, folder: Path, sources: tuple[Path, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        (folder / source.name).write_bytes(source.read_bytes())
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    _run(str(node.parent / "npm"), "ci", cwd=folder, env={**os.environ, "PATH": path})


def _run(*command: str, **options: Any) -> None:
    import subprocess

    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


async def _output(limit_s: float, *command: str, env: dict[str, str], cwd: Path | None = None) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ.get("PATH", os.defpath), **env},
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limit_s):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complained.decode()
    return said
