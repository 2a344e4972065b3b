"""A model file from the web, into a file that a broken download goes on with: by ranges, hashed when it is whole.

Only a command of the owner's on this device comes here: no job, coordinator or stranger makes a device fetch from it.
What arrives is never more than the catalogue says, and what is whole is used only if it has the pinned hash.

Touches: sockets (HTTPS), files (the unfinished file), clock.
"""

import asyncio
import os
import ssl
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from mesh.errors import MeshError
from mesh.units import MIB
from mesh.workloads.catalogue import ModelFile, check_url, is_loopback
from mesh.workloads.checking import Say, SourceFailed, WrongHash, hash_matches

READ_S = 30.0
"""A server that says nothing for so long is tried again."""
PAUSES_S = (0.5, 2.0, 5.0)
"""Waits before it is tried again while no byte comes; then it is given up, and the next command goes on."""
REDIRECTS_MAX = 5
CHUNK_BYTES = MIB
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class _Broken(Exception):
    """It broke off, and may go on."""


async def download(url: str, half: Path, file: ModelFile, say: Say) -> None:
    """Have ``file`` whole in ``half``, which may hold its beginning; synced to disk. Raises SourceFailed, WrongHash."""
    begun = _size(half) > 0
    with half.open("ab") as lock:
        _take(lock, file)
        await _all(url, half, file, say)
        if await asyncio.to_thread(hash_matches, half, file):
            return
        await asyncio.to_thread(half.unlink)
    if begun:  # its beginning may have been another file's: once more from the start
        await download(url, half, file, say)
        return
    raise WrongHash(file=file.name)


async def _all(url: str, half: Path, file: ModelFile, say: Say) -> None:
    failures = 0
    while _size(half) < file.size_bytes:
        before = _size(half)
        try:
            await _some(url, half, file, say)
        except _Broken as broken:
            failures = 0 if _size(half) > before else failures
            if failures == len(PAUSES_S):
                raise SourceFailed(
                    f"{file.name} could not be fetched whole: {broken}. What came is kept; the same command goes on.",
                    file=file.name, bytes=_size(half),
                ) from broken  # fmt: skip
            await asyncio.sleep(PAUSES_S[failures])
            failures += 1


async def _some(url: str, half: Path, file: ModelFile, say: Say) -> None:
    """One request, from where the file ends. Raises _Broken, SourceFailed, WrongHash."""
    import httpx2

    done = _size(half)
    headers = {"accept-encoding": "identity", **({"range": f"bytes={done}-"} if done else {})}
    try:
        async with httpx2.AsyncClient(verify=ssl.create_default_context(), timeout=READ_S) as client:
            for _ in range(REDIRECTS_MAX + 1):
                async with client.stream("GET", url, headers=headers) as answer:
                    if answer.is_redirect:
                        url = _followed(url, answer.headers.get("location", ""))
                        continue
                    done = _judged(answer, done, file)
                    await _write(answer, half, file, done, say)
                    return
    except (httpx2.HTTPError, TimeoutError, OSError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise SourceFailed(f"{urlsplit(url).hostname} has a certificate that nobody here vouches for.") from error
        raise _Broken(f"{type(error).__name__} at {urlsplit(url).hostname}") from error
    raise SourceFailed(f"{file.name}: the server sends from one address to the next without end.", file=file.name)


def _judged(answer: Any, done: int, file: ModelFile) -> int:
    """Where what is sent begins. Raises _Broken, SourceFailed, WrongHash."""
    status = answer.status_code
    if status in _PASSING:
        raise _Broken(f"the server said {status}")
    if status == 206:
        span, _, total = answer.headers.get("content-range", "").removeprefix("bytes ").partition("/")
        if not span.startswith(f"{done}-") or total not in (str(file.size_bytes), "*"):
            raise WrongHash(f"{file.name} has another size at its source than the catalogue says.", file=file.name)
        return done
    if status != 200:
        raise SourceFailed(f"{file.name} cannot be had from its source: the server said {status}.", status=status)
    length = answer.headers.get("content-length")
    if length is not None and length != str(file.size_bytes):
        raise WrongHash(f"{file.name} has another size at its source than the catalogue says.", file=file.name)
    return 0


async def _write(answer: Any, half: Path, file: ModelFile, done: int, say: Say) -> None:
    with half.open("r+b") as out:
        out.seek(done)
        out.truncate()
        waits = bytearray()
        try:
            async for piece in answer.aiter_raw():
                waits += piece
                done += len(piece)
                if done > file.size_bytes:
                    raise WrongHash(f"{file.name} is larger than the catalogue says. It was not kept.", file=file.name)
                if len(waits) >= CHUNK_BYTES:
                    await asyncio.to_thread(out.write, bytes(waits))
                    waits.clear()
                    say("downloading", done, file.size_bytes)
        finally:  # also what came before it broke off
            out.write(waits)
            out.flush()
            os.fsync(out.fileno())
    say("downloading", done, file.size_bytes)
    if done < file.size_bytes:
        raise _Broken(f"it ended after {done} of {file.size_bytes} bytes")


def _followed(url: str, location: str) -> str:
    """Where a redirect leads. Never from https to http, never from elsewhere to this machine."""
    target = urljoin(url, location)
    try:
        check_url(target)
    except (MeshError, ValueError) as error:
        raise SourceFailed("The source leads to an address that is not taken.") from error
    if is_loopback(urlsplit(target).hostname or "") and not is_loopback(urlsplit(url).hostname or ""):
        raise SourceFailed("The source leads to an address that is not taken.")
    return target


def _take(lock: IO[bytes], file: ModelFile) -> None:
    """Only one process writes an unfinished file."""
    if os.name != "posix":
        return
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise SourceFailed(f"{file.name} is being fetched by another command. Wait for it.", file=file.name) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
