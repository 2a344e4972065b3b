"""Copied and restored homes: two machines with one device key are noticed by the order of their starts.

Every home counts its starts, and every start has a random word. The coordinator keeps the newest of both. A home that
comes with a lower count was restored from a backup or copied and left behind; one that comes with the same count and
another word is a copy that was started as often. Whichever of two running copies was started last is taken first; the
other shows itself when its link comes back, which is at once.

Touches: nothing.
"""

from typing import NamedTuple

from mesh.errors import MeshError

COPIED = "copied"
"""Why a device is held."""
WORD_LENGTH_MAX = 32


class CopiedHome(MeshError):
    """This device's folder (MESH_HOME) was copied or restored from a backup, so two machines have one key. It is held.
    The one that should count: stop the other, and an admin runs `mesh device approve NAME`. The copy: empty its folder,
    then `mesh device join LINK --name NAME` makes it a key of its own.
    """

    code = "device.copied"
    kind = "conflict"


class Start(NamedTuple):
    """One start of a home: its number, from 1 (0: none is known yet), and its random word ("" where unsaid)."""

    installation: int = 0
    word: str = ""


def is_copy(known: Start, said: Start) -> bool:
    """Whether ``said`` cannot come from the home whose newest start is ``known``."""
    if said.installation != known.installation:
        return said.installation < known.installation
    return bool(known.word and said.word and known.word != said.word)
