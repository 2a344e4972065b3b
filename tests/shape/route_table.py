"""The table of docs/http.md, made from the routes themselves. Run this file to write it anew.

Touches: files (writes docs/http.md when run).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastapi.routing import APIRoute

from mesh.coordinator.http import app as application
from mesh.coordinator.http.access import Access
from mesh.networks.membership import PERMISSIONS
from shape.sources import ROOT

PAGE = ROOT / "docs" / "http.md"
HEAD = """# The coordinator's HTTP API

JSON both ways. `Authorization: Bearer mesh_…` carries a session (from `/v1/claim`, or read-only from
`/v1/sessions/device`); the dashboard's pages carry it in a cookie that scripts cannot read, and act only from their own
origin with the header `x-mesh-page`. Every act takes an `Idempotency-Key`: the same key again does nothing twice and
gets the first answer, for a day. Every refusal is `{"error": {"code", "kind", "message", "facts"}}` (see
[errors](errors.md)). `/openapi.json` describes it all for programs. Lists come in pages: `limit`, and `cursor` of the
answer before. Bodies are at most 256 KiB: payloads of jobs never come here. Devices speak over the WebSocket
`/v1/link`; [wire](wire.md) has its messages. The WebSocket `/v1/networks/{network}/events` (a page's cookie and origin;
`devices.read`) says `{"now_ms", "look": ["devices" | "jobs" | "people" | "settings"]}`: what to look at again, and at
least every 4 seconds that it lives. With `?age_ms=` it says what changed since a page of that age began to read, too.

*Who* is a permission in the network of the path, with the roles that have it; `operator` is the person who claimed the
installation. This table is made from the source by `tests/shape/route_table.py`.

| method | path | who | what |
|---|---|---|---|
"""


def routes() -> list[APIRoute]:
    """Every route of the API; anything that is not one would be a way around the permissions."""
    found = list(application.api(None).routes)  # type: ignore[arg-type]
    assert all(isinstance(route, APIRoute) for route in found), found
    return found  # type: ignore[return-value]


def access_of(route: APIRoute) -> list[Access]:
    """What a route declares."""
    return [one.dependency for one in route.dependencies if isinstance(one.dependency, Access)]


def page() -> str:
    """The whole text of docs/http.md."""
    rows = []
    for route in sorted(routes(), key=lambda each: (each.path, sorted(each.methods or ()))):
        (access,) = access_of(route)
        who = access.label
        if access.permission is not None:
            roles = [role for role, allowed in PERMISSIONS.items() if access.permission in allowed]
            who = f"`{access.label}`: {', '.join(roles)}"
        what = (route.endpoint.__doc__ or "").strip().splitlines()[0]
        rows.append(f"| {' '.join(sorted(route.methods or ()))} | `{route.path}` | {who} | {what} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
