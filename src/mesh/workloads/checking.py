"""What all ways of fetching a model file have in common: how they fail, and when a file is the right one.

Touches: files (reads).
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from mesh.errors import MeshError
from mesh.workloads.catalogue import ModelFile

Say = Callable[[str, int, int], None]
"""Progress: stage, bytes done, bytes in total (0 if unknown)."""


class SourceFailed(MeshError):
    """A model file could not be fetched. Check the network connection and try again."""

    code = "model.source_failed"
    kind = "unavailable"


class WrongHash(MeshError):
    """A model file is not the one the catalogue names (SHA-256 or size). It was not used; fetch it again."""

    code = "model.wrong_hash"


def hash_matches(path: Path, file: ModelFile) -> bool:
    """Whether the file at ``path`` has the size and SHA-256 that the catalogue names."""
    if path.stat().st_size != file.size_bytes:
        return False
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
