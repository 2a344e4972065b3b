"""How lines are chained: each has the hash of its own content and of the one before it.

Who changes, removes or puts in a line must change every hash after it, and so the head that devices keep.

Touches: nothing.
"""

import hashlib
from collections.abc import Sequence

import msgspec

GENESIS = "0" * 64
"""What the first line of a chain follows."""


def linked(before: str, content: Sequence[object]) -> str:
    """The hash of a line (64 hex digits), from that of the one before it and its content: text, whole numbers, None.

    The content is written as one JSON array, which no other content gives.
    """
    return hashlib.sha256(before.encode() + b"\n" + msgspec.json.encode(content)).hexdigest()
