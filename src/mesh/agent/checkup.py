"""Measuring the machine under this device: the home's files, disk, memory, models, engines, the gateway's port.

Nothing is changed: a damaged model file is left where it is, an engine that is started for the check is stopped again.

Touches: files of the home (reads), a loopback socket, processes (an engine), the machine's memory and disk figures.
"""

import asyncio
import os
import platform
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import psutil

from mesh.agent.gateway.server import HOST, owner_of
from mesh.agent.probe import usable_cores, usable_memory
from mesh.devices import facts
from mesh.errors import MeshError
from mesh.protocol.values import Isolation
from mesh.sdk.control import Status
from mesh.sdk.home import Home, HomeUnreadable
from mesh.workloads.catalogue import BUILTIN, ModelEntry
from mesh.workloads.checking import hash_matches
from mesh.workloads.contract import Model
from mesh.workloads.files import ModelFiles
from mesh.workloads.own_catalogue import read_catalogue
from mesh.workloads.process import engine_process

ENGINE_S = 30.0
"""An engine of the default model loads in a second; a device that needs this long is too slow to offer itself."""
LOAD_BYTES_S = 100e6
"""A large model has as much longer as a slow disk takes to read it."""
GATEWAY_S = 3.0
FOLDER_MODE, FILE_MODE = 0o700, 0o600
SECRETS = (
    "home.json", "device.key", "device.key.next", "device.keys", "gateway.json", "agent.db", "agent.sock",
    "coordinator", "relay",
)  # fmt: skip
"""What of a home others may not use. Models are public, and logs hold no secrets: the home's own 0700 covers them."""


async def examine(home: Home, agent: Status | None) -> facts.MachineFacts:
    """Measure the machine. ``agent``: what the running agent says of itself; None where none runs."""
    async with asyncio.TaskGroup() as group:
        turn = asyncio.Lock()  # models that are loaded for the check never share the memory
        own = await asyncio.to_thread(read_catalogue, home.catalogue_file)
        models = [group.create_task(_model(home, entry, agent, turn)) for entry in own.catalogue]
        gateway = group.create_task(_gateway(home, agent is not None))
    state, port, owner = gateway.result()
    made = home.path.is_dir()
    return facts.MachineFacts(
        system=platform.system().lower(),
        arch=platform.machine().lower(),
        python=platform.python_version(),
        cores=usable_cores(),
        memory_bytes=usable_memory(),
        memory_free_bytes=int(psutil.virtual_memory().available),
        disk_free_bytes=shutil.disk_usage(_existing(home.path)).free,
        home=str(home.path),
        home_made=made,
        home_readable=_readable(home),
        permissions="checked" if os.name == "posix" else "unchecked",
        exposed=tuple(_exposed(home)) if made and os.name == "posix" else (),
        models=tuple(model.result() for model in models),
        wrong_models=tuple(map(str, own.wrong)),
        set_aside=0 if agent is None else agent.set_aside,
        gateway=state,
        gateway_port=port,
        gateway_owner=owner,
    )


def _existing(path: Path) -> Path:
    """The folder, or the nearest one above that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _readable(home: Home) -> bool:
    try:
        home.read()
    except HomeUnreadable:
        return False
    return True


# --- files ------------------------------------------------------------------------------------------------------------


def _exposed(home: Home) -> Iterator[facts.Exposed]:
    """What of the home others may use, and what is another user's."""
    wanted = [("", FOLDER_MODE)]
    for name in SECRETS:
        path = home.path / name
        if path.is_dir():
            wanted += [(name, FOLDER_MODE)]
        elif path.exists():
            wanted += [(name, FILE_MODE)]
    for name, mode in wanted:
        status = (home.path / name).stat()
        found = stat.S_IMODE(status.st_mode)
        if status.st_uid != os.getuid():
            yield facts.Exposed(name, found, mode, foreign=True)
        elif found & 0o077:
            yield facts.Exposed(name, found, mode)


# --- models and engines -----------------------------------------------------------------------------------------------


async def _model(home: Home, entry: ModelEntry, agent: Status | None, turn: asyncio.Lock) -> facts.ModelFacts:
    files = ModelFiles(home.models)
    state = await asyncio.to_thread(_state, files, entry)
    found = facts.ModelFacts(entry.workload, entry.id, entry.size_bytes, state, own=entry not in tuple(BUILTIN))
    if found.files != "good":
        return found
    capability = None if agent is None else agent.capability
    if agent is not None and capability is not None and capability.offers and entry.id in agent.condition.warm:
        # it works, and a second one would only take memory
        return msgspec.structs.replace(found, engine="warm", isolation=capability.isolation)
    try:
        async with turn, asyncio.timeout(ENGINE_S + entry.size_bytes / LOAD_BYTES_S):
            return msgspec.structs.replace(found, engine="started", isolation=await _trial(files, entry))
    except TimeoutError:
        return msgspec.structs.replace(found, engine="failed", code="engine.too_slow")
    except MeshError as error:
        return msgspec.structs.replace(found, engine="failed", code=error.wire_code)


def _state(files: ModelFiles, entry: ModelEntry) -> facts.FilesState:
    """Whether the files are what the catalogue names, hashes included."""
    try:
        if not all(files.path(file).is_file() for file in entry.files):
            return "missing"
        return "good" if all(hash_matches(files.path(file), file) for file in entry.files) else "damaged"
    except OSError:
        return "unread"


async def _trial(files: ModelFiles, entry: ModelEntry) -> Isolation:
    """Start an engine as a job would, with one lane; says how far it is confined. Raises the engine's errors."""
    model = Model(entry.id, {file.name: str(files.path(file)) for file in entry.files}, entry.settings, 1)
    async with engine_process(entry.workload, model, memory_limit_bytes=entry.memory_limit_bytes) as process:
        return process.loaded.isolation


# --- the gateway ------------------------------------------------------------------------------------------------------


class _Kept(msgspec.Struct, frozen=True):
    port: int
    key: str


async def _gateway(home: Home, agent_runs: bool) -> tuple[facts.GatewayState, int, str]:
    """How the gateway's port stands: state, port, and who holds it instead."""
    try:
        kept = msgspec.json.decode(home.gateway_file.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return "none", 0, ""
    if agent_runs:
        return "answers" if await _answers(kept) else "silent", kept.port, ""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, kept.port))
            probe.listen(1)
        except OSError:
            return "taken", kept.port, owner_of(kept.port)
    return "free", kept.port, ""


async def _answers(kept: _Kept) -> bool:
    headers = {"authorization": f"Bearer {kept.key}"}
    try:
        async with httpx2.AsyncClient(timeout=GATEWAY_S, trust_env=False) as http:
            response = await http.get(f"http://{HOST}:{kept.port}/v1/models", headers=headers)
    except httpx2.HTTPError:
        return False
    return response.status_code == httpx2.codes.OK
