"""The project's source files as trees, read once for all shape tests.

Touches: files under src (reads).
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "mesh"


class Source(NamedTuple):
    """One file: its path below src/mesh, its text and its tree."""

    name: str
    text: str
    tree: ast.Module

    @property
    def docstring(self) -> str:
        """The module's docstring, or nothing."""
        return ast.get_docstring(self.tree) or ""

    def imports(self) -> Iterator[str]:
        """Top-level names of every import anywhere in the file."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


@cache
def sources() -> tuple[Source, ...]:
    """Every Python file under src/mesh, by name."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(path.relative_to(SOURCE).as_posix(), text, ast.parse(text)))
    return tuple(found)


def names(source: Source) -> Iterator[str]:
    """The modules of Mesh that a file imports anywhere in it, also for types alone."""
    known = {one.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for one in sources()}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("mesh."):
            below = node.module.removeprefix("mesh.")
            parts = {f"{below}.{alias.name}" for alias in node.names} & known
            yield from parts or {below}
