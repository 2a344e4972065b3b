"""The table of docs/errors.md, made from the error types themselves. Run this file to write it anew.

Touches: files (reads src, writes docs/errors.md when run).
"""

import ast
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mesh.errors import KINDS
from shape.sources import ROOT, sources

PAGE = ROOT / "docs" / "errors.md"
HEAD = """# Errors

Every error that Mesh shows has a **code** that never changes once released, a **kind** that decides its HTTP status and
the exit code of the command, and a message that ends with the next step. With `--json` it is printed as
`{"error": {"code", "kind", "message", "facts"}}`. This table is made from the source by `tests/shape/error_table.py`.

| code | kind | HTTP | exit | what it says |
|---|---|---|---|---|
"""


class ErrorType(NamedTuple):
    """One error type as written: where, its name, its bases, code and kind (None: inherited), and its message."""

    where: str
    name: str
    bases: tuple[str, ...]
    code: str | None
    kind: str | None
    message: str


def _text(body: list[ast.stmt], name: str) -> str | None:
    for node in body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == name and isinstance(node, ast.Assign | ast.AnnAssign):
            return node.value.value if isinstance(node.value, ast.Constant) else None
    return None


def error_types() -> list[ErrorType]:
    """Every class that is MeshError or derives from it, in whatever file."""
    classes = []
    for source in sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                bases = tuple(
                    base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases
                )
                message = " ".join((ast.get_docstring(node) or "").split())
                code, kind = _text(node.body, "code"), _text(node.body, "kind")
                classes.append(ErrorType(source.name, node.name, bases, code, kind, message))
    known = {"MeshError"}
    while True:
        more = {one.name for one in classes if known.intersection(one.bases)} - known
        if not more:
            return [one for one in classes if one.name == "MeshError" or known.intersection(one.bases)]
        known |= more


def kind_of(error: ErrorType, errors: list[ErrorType]) -> str:
    """The kind of an error type, its own or inherited."""
    if error.kind:
        return error.kind
    parents = [one for one in errors if one.name in error.bases]
    return kind_of(parents[0], errors) if parents else "failed"


def page() -> str:
    """The whole text of docs/errors.md."""
    errors = error_types()
    rows = {}
    for error in errors:
        if error.code:
            kind = kind_of(error, errors)
            message = error.message.replace("|", "\\|")
            rows[error.code] = (
                f"| `{error.code}` | {kind} | {KINDS[kind].status} | {KINDS[kind].exit_code} | {message} |\n"
            )
    return HEAD + "".join(rows[code] for code in sorted(rows))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
