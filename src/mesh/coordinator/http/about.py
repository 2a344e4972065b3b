"""What anybody may ask: whether it lives, and which coordinator it is.

Touches: clock (through the desk), files in the package (looks whether they are there).
"""

from fastapi import APIRouter, Request, Response

import mesh
from mesh.coordinator.http.access import public
from mesh.coordinator.http.desk import answer, desk_of
from mesh.pages.files import Files
from mesh.sdk.answers import About

router = APIRouter()


@router.get("/healthz", dependencies=[public("says only that the process lives")])
async def healthz() -> Response:
    """Alive."""
    return answer({"ok": True})


@router.get("/v1/about", dependencies=[public("names the coordinator; its key is in every link")])
async def about(request: Request) -> Response:
    """Version, key and clock, and whether there is a dashboard."""
    parts = desk_of(request).parts
    files = request.app.state.files
    assert isinstance(files, Files)
    chain = parts.snapshot.histories[""].chain
    return answer(About(mesh.__version__, parts.keys.public, parts.now_ms(), chain, files.there))
