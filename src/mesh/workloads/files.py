"""The model files of this device: one folder, each file named by its SHA-256, checked before every load.

Files are written beside their place and renamed when they are whole and checked, so that a file under a hash's name is
complete. A file that no longer has its hash (a bad disk, another program) is removed and fetched again; it is never
loaded.

Touches: files, clock (their ages); what ``sources`` touches.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mesh.errors import MeshError
from mesh.units import HOUR, MIB
from mesh.workloads.catalogue import ModelEntry, ModelFile, Source, WebFile, parse_source
from mesh.workloads.checking import Say, SourceFailed, WrongHash, hash_matches
from mesh.workloads.downloads import download
from mesh.workloads.sources import PipIndex, fetch

PART_PREFIX = ".part-"
PART_AGE_S = 24 * HOUR
"""Unfinished downloads older than this were left by a process that was killed."""
HALF_PREFIX = ".half-"
HALF_AGE_S = 14 * 24 * HOUR
"""What came of a file of the web is kept so long for the command that goes on with it."""

PIP_ENVIRONMENT = (
    *("PATH", "HOME", "SYSTEMROOT", "LOCALAPPDATA", "XDG_CACHE_HOME"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
"""What pip may see of the environment: how to reach the network and where its cache is, and nothing else."""


class NoSource(MeshError):
    """A model file is not on this device, and no source of it could be read. See the reasons; then try again."""

    code = "model.no_source"
    kind = "unavailable"


class DiskBudget(MeshError):
    """This model does not fit into the disk space that models may take here. Remove one, or raise the budget."""

    code = "model.disk_budget"
    kind = "conflict"


class DiskRefused(MeshError):
    """A model file could not be written to this device's disk. Make room or correct the folder's rights, then retry."""

    code = "model.disk_refused"


def _silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""


class ModelFiles:
    """The folder of model files."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str] | None = None, *, index_url: str | None = None
    ) -> None:
        """Keep files in ``folder``. ``environment``: the program's, of which pip gets what PIP_ENVIRONMENT names.

        ``index_url`` replaces pip's package index; hashes are pinned whatever the index.
        """
        allowed = {name: value for name, value in (environment or {}).items() if name in PIP_ENVIRONMENT}
        allowed.setdefault("PATH", os.defpath)
        self._folder = folder
        self._index = PipIndex(allowed, index_url)
        self._fetching: dict[str, asyncio.Lock] = {}
        self.from_web = False
        """Whether files of the web may be fetched: where the owner has just asked for it, and nowhere else."""
        self.budget: Callable[[], int | None] = lambda: None
        """The bytes that all models together may take; asked before each fetch."""

    def path(self, file: ModelFile) -> Path:
        """Where ``file`` is or will be."""
        return self._folder / file.sha256

    def present(self, entry: ModelEntry) -> bool:
        """Whether all files of a model are here, going by their sizes: a quick look, no promise."""
        return all(_size(self.path(file)) == file.size_bytes for file in entry.files)

    async def ensure(self, entry: ModelEntry, say: Say = _silent) -> dict[str, Path]:
        """Have all files of a model here and checked: its names → paths. Missing and damaged ones are fetched.

        ``say`` is called with ``checking``, ``downloading`` or ``copying`` and bytes, also from other threads. Raises
        NoSource, WrongHash, PipMissing, BadEntry, DiskBudget or DiskRefused.
        """
        await asyncio.to_thread(self._must_fit, entry)
        for file in entry.files:
            async with self._fetching.setdefault(file.sha256, asyncio.Lock()):
                say("checking", 0, file.size_bytes)
                try:
                    if not await asyncio.to_thread(self._good, file):
                        await self._fetch(file, say)
                except OSError as error:
                    raise DiskRefused(
                        f"{file.name} could not be read or written: {error.strerror}. Make room or correct the rights.",
                        file=file.name,
                    ) from error
        return {file.name: self.path(file) for file in entry.files}

    def remove(self, entry: ModelEntry, others: Iterable[ModelEntry]) -> int:
        """Delete a model's files, except those that ``others`` share; returns the bytes that are free now.

        Raises DiskRefused.
        """
        shared = {file.sha256 for other in others if other.id != entry.id for file in other.files}
        freed = 0
        for file in entry.files:
            path = self.path(file)
            if file.sha256 not in shared and path.is_file():
                try:
                    size = path.stat().st_size
                    path.unlink()
                except OSError as error:
                    raise DiskRefused(f"{file.name} could not be removed: {error.strerror}.", file=file.name) from error
                freed += size
        return freed

    def size(self) -> int:
        """The bytes that all files here take, unfinished ones included."""
        return sum(_size(path) for path in self._folder.rglob("*") if path.is_file()) if self._folder.is_dir() else 0

    def _must_fit(self, entry: ModelEntry) -> None:
        """Refuse to fetch what has no room, before anything is fetched. Raises DiskBudget, DiskRefused."""
        missing = sum(file.size_bytes for file in entry.files if _size(self.path(file)) != file.size_bytes)
        if not missing:
            return
        budget = self.budget()
        taken = self.size() if budget is not None else 0
        if budget is not None and taken + missing > budget:
            raise DiskBudget(
                f"{entry.id} needs {missing / MIB:.0f} MiB more; models may take {budget / MIB:.0f} MiB here, and take "
                f"{taken / MIB:.0f} MiB. Remove one (`mesh models remove`), or raise it (`mesh models budget`).",
                model=entry.id, needed=missing, budget=budget, taken=taken,
            )  # fmt: skip
        free = shutil.disk_usage(next(path for path in (self._folder, *self._folder.parents) if path.exists())).free
        if missing > free:
            raise DiskRefused(
                f"{entry.id} needs {missing / MIB:.0f} MiB; the disk has {free / MIB:.0f} MiB free. Make room first.",
                model=entry.id,
            )

    def _good(self, file: ModelFile) -> bool:
        path = self.path(file)
        if not path.is_file():
            return False
        if hash_matches(path, file):
            return True
        path.unlink()
        return False

    async def _fetch(self, file: ModelFile, say: Say) -> None:
        reasons: list[MeshError] = []
        for source in file.sources:
            try:
                await self._fetch_from(file, source, say)
                return
            except (SourceFailed, WrongHash) as error:
                reasons.append(error)
        if len(reasons) == 1:
            raise reasons[0]
        texts = " ".join(reason.message for reason in reasons) or "It has no source."
        raise NoSource(f"The model file {file.name} could not be fetched from anywhere. {texts}", file=file.name)

    async def _fetch_from(self, file: ModelFile, source: Source, say: Say) -> None:
        parsed = parse_source(source)
        if isinstance(parsed, WebFile):
            await self._fetch_web(file, parsed.url, say)
            return
        part = await asyncio.to_thread(self._new_part)
        try:
            await fetch(file, source, part, index=self._index, say=say)
            await asyncio.to_thread(self._keep, part / file.sha256, file.sha256)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, part, ignore_errors=True))

    async def _fetch_web(self, file: ModelFile, url: str, say: Say) -> None:
        if not self.from_web:
            raise SourceFailed("Only `mesh models pull` fetches files of the web. Pull the model on this device.")
        await asyncio.to_thread(self._sweep)
        half = self._folder / f"{HALF_PREFIX}{file.sha256}"
        await download(url, half, file, say)
        await asyncio.to_thread(self._keep, half, file.sha256)
        await asyncio.to_thread(half.unlink, missing_ok=True)

    def _sweep(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in self._folder.glob(HALF_PREFIX + "*"):
            if time.time() - old.stat().st_mtime > HALF_AGE_S:
                old.unlink(missing_ok=True)

    def _new_part(self) -> Path:
        self._sweep()
        for old in self._folder.glob(PART_PREFIX + "*"):
            if time.time() - old.stat().st_mtime > PART_AGE_S:
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=PART_PREFIX, dir=self._folder))

    def _keep(self, whole: Path, name: str) -> None:
        """Give a checked file its name, durably. One that another process put there meanwhile stays as it is:
        an engine that is about to read it was given the right to that very file.
        """
        place = self._folder / name
        try:
            os.link(whole, place)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            os.replace(whole, place)
        if os.name == "posix":
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1
