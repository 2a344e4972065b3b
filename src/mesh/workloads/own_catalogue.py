"""The models that a device's owner has added: the file ``catalogue.json`` of the home, beside the built-in catalogue.

Entries are written like the built-in ones, hashes and sizes included; what is not well-formed is refused as a whole,
with the reason. A model of one's own cannot take the name of a built-in one.

Touches: files (reads).
"""

from pathlib import Path

import msgspec

from mesh.units import MIB
from mesh.workloads.catalogue import BUILTIN, BadEntry, Catalogue, ModelEntry
from mesh.workloads.known import WORKLOADS

FILE_BYTES_MAX = MIB
_entries: msgspec.json.Decoder[tuple[ModelEntry, ...]] = msgspec.json.Decoder(tuple[ModelEntry, ...])


def read_catalogue(path: Path) -> Catalogue:
    """The built-in models and those of the file, where there is one. Raises BadEntry."""
    try:
        with path.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise BadEntry(f"{path} is larger than a catalogue may be.")
        own = _entries.decode(content)
    except FileNotFoundError:
        return BUILTIN
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise BadEntry(f"{path} is not a catalogue: {error}. Correct it, or move it away.") from error
    for entry in own:
        if entry.workload not in WORKLOADS:
            raise BadEntry(f"Model {entry.id} is for {entry.workload!r}, which is none of {', '.join(WORKLOADS)}.")
    return Catalogue((*BUILTIN, *own))
