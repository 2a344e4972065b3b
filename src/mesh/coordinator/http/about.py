"""What anybody may ask: whether it lives, which coordinator it is, and what to do with a link in a browser.

Touches: clock (through the desk).
"""

from fastapi import APIRouter, Request, Response

import mesh
from mesh.coordinator.http.access import public
from mesh.coordinator.http.desk import answer, desk_of
from mesh.sdk.answers import About

router = APIRouter()
_JOIN_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Mesh</title>
<h1>This is a link into a Mesh network</h1>
<p>Nothing has happened yet: opening this page uses up nothing. Copy the whole address and give it to Mesh:</p>
<ul><li>to sign in as a person: <code>mesh auth claim - --name NAME</code>, then paste it</li>
<li>to let a machine join: <code>mesh device join - --name NAME</code>, then paste it</li></ul>
<p>Whoever holds this address can use it. Pass it on only to the person it is meant for.</p>
</html>
"""


@router.get("/healthz", dependencies=[public("says only that the process lives")])
async def healthz() -> Response:
    """Alive."""
    return answer({"ok": True})


@router.get("/v1/about", dependencies=[public("names the coordinator; its key is in every link")])
async def about(request: Request) -> Response:
    """Version, key and clock."""
    parts = desk_of(request).parts
    chain = parts.snapshot.histories[""].chain
    return answer(About(mesh.__version__, parts.keys.public, parts.now_ms(), chain))


@router.get("/join", dependencies=[public("a page of words; the secret is in the fragment and stays in the browser")])
async def join_page() -> Response:
    """What to do with a link; changes nothing, however often previews fetch it."""
    return Response(_JOIN_PAGE, media_type="text/html")
