"""`/v1/ocr`, a route of our own: an image or a PDF to the text of its pages, each where it ran best.

``{"model": "mesh/auto", "document": BASE64}`` (a ``data:`` URL may stand there too; other URLs are never fetched) is
answered by ``{"object", "model", "text", "pages": [...], "usage": {"pages", "charge"}}``. A page that cannot be read
has an ``error`` and leaves the others alone.

Touches: what ``documents`` touches (the requester is an argument).
"""

import base64
import binascii
from typing import Any

import msgspec

from mesh.agent.asking.documents import PageDone, read_documents
from mesh.agent.gateway.calls import Call, Reply, headers_of
from mesh.agent.gateway.openai import BadRequest, read
from mesh.errors import MeshError
from mesh.workloads.contract import Payload
from mesh.workloads.ocr import Ocr

OCR = Ocr()


class OcrRequest(msgspec.Struct, frozen=True):
    """The body of POST /v1/ocr. Unknown fields are ignored."""

    model: str
    document: str


_requests: msgspec.json.Decoder[OcrRequest] = msgspec.json.Decoder(OcrRequest)
_encode = msgspec.json.Encoder().encode


def read_ocr(body: bytes) -> tuple[OcrRequest, bytes]:
    """Read a request and the document in it. Raises BadRequest, BadInput."""
    request = read(_requests, body)
    text = request.document
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise BadRequest("A `data:` URL must be in base64.")
    try:
        return request, base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("`document` must be the file itself in base64; nothing is fetched from a URL.") from error


async def ocr(call: Call) -> Reply:
    """A document to the text of its pages. Raises what the first page met where none could be read."""
    request, content = read_ocr(call.body)
    ask = call.ask(OCR, Payload({}), request.model)
    pages: list[PageDone] = []
    await read_documents(call.run_one, ask, [content], lambda page, _: pages.append(page))
    results = [page.done for page in pages if not isinstance(page.done, MeshError)]
    if not results and isinstance(pages[0].done, MeshError):
        raise pages[0].done
    told = [_page(page) for page in pages]
    body = {
        "object": "ocr",
        "model": request.model,
        "text": "\n\n".join(page["text"] for page in told if "text" in page),
        "pages": told,
        "usage": {"pages": len(results), "charge": sum(result.charge for result in results)},
    }
    return Reply(_encode(body), headers_of(results))


def _page(page: PageDone) -> dict[str, Any]:
    if isinstance(page.done, MeshError):
        return {"page": page.page, "error": {"code": page.done.wire_code, "message": page.done.message}}
    return {"page": page.page, **page.done.payload.manifest["pages"][0]}
