"""Every finding that is not plainly good is in the table of docs/operate.md, and nothing else is."""

import ast
import re
from collections.abc import Iterator

from mesh.devices.machine_findings import ISOLATION_WORDS
from shape.sources import ROOT, sources

COMPUTED = {"version.{}": ("older", "newer"), "isolation.{}": tuple(ISOLATION_WORDS)}
"""Codes whose last word is a value: the words that it takes."""


def codes() -> Iterator[str]:
    """The codes of all findings made in the rules that are not always ``ok``."""
    for source in sources():
        if not source.name.endswith("_findings.py"):
            continue
        for node in ast.walk(source.tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"):
                continue
            code, level = node.args[:2]
            if isinstance(level, ast.Constant) and level.value == "ok":
                continue
            if isinstance(code, ast.Constant):
                yield str(code.value)
            elif isinstance(code, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in code.values)
                yield from (text.format(word) for word in COMPUTED[text])


def test_the_table_of_findings_is_whole() -> None:
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    table = page.partition("## What netcheck and doctor find")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    documented = {code for row in rows for code in re.findall(r"`([a-z_]+\.[a-z_]+)`", row)}
    assert documented == set(codes()) - {"isolation.strict"}
