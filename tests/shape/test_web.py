"""The pages' sources: colours have one home, and the lock names no hosts."""

import json
import re

import pytest

from shape.sources import ROOT

WEB = ROOT / "web"
SOURCES = sorted(file for file in (WEB / "src").rglob("*") if file.suffix in (".ts", ".tsx", ".css"))
COLOURS = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgba?|hsla?|oklch|oklab|lab|lch|hwb)\(")
PALETTE = re.compile(r"\b(?:bg|text|border|fill|stroke|outline|ring)-(?:\[#|white|black|[a-z]+-(?:50|[1-9]00|950)\b)")


@pytest.mark.parametrize("source", SOURCES, ids=lambda file: file.relative_to(WEB).as_posix())
def test_colours_have_one_home(source) -> None:  # type: ignore[no-untyped-def]
    if source.name == "tokens.css":
        return
    text = source.read_text(encoding="utf-8")
    assert not COLOURS.findall(text), "colours are tokens: src/tokens.css"
    assert not PALETTE.findall(text), "colours are tokens: src/tokens.css"


def test_the_lock_names_no_hosts() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))
    assert len(lock["packages"]) > 20
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not name or package.get("integrity"), name
