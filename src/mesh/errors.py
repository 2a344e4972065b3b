"""What can go wrong, as types: a stable code, a kind, and the reader's next step.

A concrete error is a subclass beside its owner. Its docstring is the message people see: what happened, then what to do
next. Its ``code`` (``area.reason``) never changes once released; its ``kind`` decides the HTTP status and the exit code
by the one table below. ``facts`` carry codes and numbers about this occurrence, never payloads.

Touches: nothing.
"""

import re
from typing import Any, ClassVar, NamedTuple

_CODE = re.compile(r"[a-z_]{1,31}\.[a-z0-9_]{1,32}")
"""The form of a code. What another program calls one goes into records: it has no room for text there."""


class Kind(NamedTuple):
    """What a kind of error means to an HTTP client and to a shell."""

    status: int
    exit_code: int


KINDS: dict[str, Kind] = {
    "invalid": Kind(400, 2),
    "unauthenticated": Kind(401, 3),
    "forbidden": Kind(403, 3),
    "not_found": Kind(404, 1),
    "conflict": Kind(409, 1),
    "gone": Kind(410, 1),
    "too_large": Kind(413, 2),
    "nowhere": Kind(422, 4),
    "reused": Kind(422, 1),
    "too_many": Kind(429, 1),
    "failed": Kind(500, 1),
    "unavailable": Kind(503, 1),
    "unreachable": Kind(502, 5),
    "timed_out": Kind(504, 6),
}
"""The one table: kind → HTTP status, exit code (the exit codes are documented in docs/cli.md)."""


class MeshError(Exception):
    """Something was refused or failed. See the code."""

    code: ClassVar[str] = "mesh.error"
    kind: ClassVar[str] = "failed"

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        """``message`` replaces the docstring where the occurrence knows more; ``facts`` must be JSON values."""
        self.message = message or " ".join((type(self).__doc__ or self.code).split())
        self.facts = facts
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    def wire(self) -> dict[str, Any]:
        """The form in which an error crosses a boundary: ``code``, ``kind``, ``message``, ``facts``."""
        return {"code": self.wire_code, "kind": self.wire_kind, "message": self.message, "facts": self.facts}

    @property
    def wire_code(self) -> str:
        """The stable code of this occurrence."""
        return type(self).code

    @property
    def wire_kind(self) -> str:
        """The kind of this occurrence: a key of ``KINDS``."""
        return type(self).kind


class RemoteError(MeshError):
    """Another program refused or failed."""

    code = "mesh.remote"

    def __init__(self, code: str, kind: str, message: str, facts: dict[str, Any] | None = None) -> None:
        """Hold what the other side said; an unknown kind counts as ``failed``."""
        super().__init__(message, **(facts or {}))
        self._code = code
        self._kind = kind if kind in KINDS else "failed"

    @property
    def wire_code(self) -> str:
        """The code that the other side gave."""
        return self._code

    @property
    def wire_kind(self) -> str:
        """The kind that the other side gave, or ``failed``."""
        return self._kind


def from_wire(error: dict[str, Any]) -> RemoteError:
    """Read what ``MeshError.wire`` wrote; odd fields become empty ones, and what is no code ``mesh.remote``."""
    facts, code = error.get("facts"), str(error.get("code", ""))
    return RemoteError(
        code if _CODE.fullmatch(code) else RemoteError.code,
        str(error.get("kind", "failed")),
        str(error.get("message", "The other side gave no reason.")),
        {str(key): value for key, value in facts.items()} if isinstance(facts, dict) else {},
    )


def reason_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that people can act on, where a group holds nothing but such; else the whole group: a bug."""
    reasons, rest = group.split(MeshError)
    if rest is not None or reasons is None:
        return group
    leaf: BaseException = reasons
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
