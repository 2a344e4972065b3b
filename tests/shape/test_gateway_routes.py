"""Every route of the gateway is in docs/apis.md, and nothing else is."""

import re

from mesh.agent.gateway.routes import ROUTES
from shape.sources import ROOT

ROW = re.compile(r"^\| (GET|POST) \| `([^`{]+)(?:\{id\})?` \|", re.MULTILINE)


def test_the_page_lists_every_route_and_no_other() -> None:
    page = (ROOT / "docs" / "apis.md").read_text(encoding="utf-8")
    assert sorted(ROW.findall(page)) == sorted((route.method, route.path) for route in ROUTES)
