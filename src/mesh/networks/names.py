"""Names of networks, devices and people: what a terminal, a page or a CSV file can show without harm.

Touches: nothing.
"""

import re
import unicodedata

from mesh.errors import MeshError
from mesh.ids import is_name

PERSON_NAME_MAX = 100
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's kinds of control, format (bidi marks are among them), surrogate, private and separator characters."""


_LIKE_LINKS = re.compile(r"[:/@\\]|[.\u3002\uff0e\uff61](?=\S)")
"""What makes an address out of words: a scheme, a path, a mailbox, a dot inside (in any script that has one)."""
_JOINER = "\u200d"
"""Joins emoji into one; alone it hides nothing."""


class BadName(MeshError):
    """Names of networks and devices are 1 to 63 of a-z, 0-9 and hyphens inside. Choose another name."""

    code = "name.invalid"
    kind = "invalid"


class NameTaken(MeshError):
    """This name is taken. Choose another one."""

    code = "name.taken"
    kind = "conflict"


def machine_name(text: str) -> str:
    """The name of a network or a device. Raises BadName."""
    if not is_name(text):
        raise BadName
    return text


def person_name(text: str) -> str:
    """A person's name, trimmed: any script, nothing that hides or reorders text. Raises BadName."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= PERSON_NAME_MAX or any(unicodedata.category(char) in _HIDDEN for char in name):
        raise BadName("A person's name is 1 to 100 characters, none of them invisible. Choose another name.")
    return name


def unlinked(name: str) -> str:
    """A name as a letter has it: nothing in it that a mail program would make a link of."""
    return _LIKE_LINKS.sub(" ", name)


def hides(text: str) -> bool:
    """Whether a text has characters that hide, reorder or steer: what a line of words must not have."""
    return any(unicodedata.category(char) in _HIDDEN and char != _JOINER for char in text)


def visible(text: str) -> str:
    """A text with every such character replaced by a mark that can be seen."""
    return "".join("\ufffd" if hides(char) else char for char in text) if hides(text) else text
