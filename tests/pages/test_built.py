"""What `dev.py web` built: small, nothing inline, nothing from outside."""

import gzip
import re

import pytest

from mesh.pages.files import BUILT

# Scripts of each first page, as gzip makes them.
BUDGETS = {"dashboard.html": 180_000, "agent.html": 120_000}


@pytest.mark.parametrize("entry", BUDGETS)
def test_first_page_is_small(entry: str) -> None:
    html = (BUILT / entry).read_text(encoding="utf-8")
    scripts = re.findall(r'(?:src|href)="/(assets/[^"]+\.js)"', html)
    assert scripts, "the built page loads no script: python3 dev.py web"
    assert sum(len(gzip.compress((BUILT / name).read_bytes(), 9)) for name in scripts) <= BUDGETS[entry]


@pytest.mark.parametrize("entry", BUDGETS)
def test_pages_carry_nothing_inline(entry: str) -> None:
    html = (BUILT / entry).read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son[a-z]+=|\sstyle=|javascript:", html)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html), "nothing comes from outside"
