"""The base of all that a command line and its agent say to each other: one JSON object per line, told apart by a tag.

Touches: nothing.
"""

import msgspec


class Request(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="c", tag=str.lower):
    """Base of what is asked."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="a", tag=str.lower):
    """Base of what is answered."""
