"""Documents through the gateway: pages in order, and nothing fetched from anywhere."""

import base64

import pytest

from gateways import OCR_MODEL, a_gateway, error_of
from mesh.jobs.placement import NowhereToRun
from papers import a_page, a_pdf, encoded

pytestmark = pytest.mark.anyio


def packed(content):
    return base64.b64encode(content).decode()


async def test_a_document_is_read_page_by_page(tmp_path):
    async with a_gateway(tmp_path) as served:
        pages = [a_page(["one"], (200, 100)), a_page(["two"], (200, 100))]
        answer = await served.http.post("/v1/ocr", json={"model": "mesh/auto", "document": packed(a_pdf(pages))})
        body = answer.json()
        assert answer.status_code == 200, body
        assert [page["page"] for page in body["pages"]] == [1, 2]
        assert sorted(page["text"] for page in body["pages"]) == ["page 1", "page 2"]
        assert body["text"] == "\n\n".join(page["text"] for page in body["pages"])
        assert body["usage"] == {"pages": 2, "charge": 134}
        assert answer.headers["x-mesh-charge"] == "134"
        assert sorted(answer.headers["x-mesh-job"].split(",")) == ["P1", "P2"]


async def test_an_image_may_stand_in_a_data_url_and_other_urls_are_never_fetched(tmp_path):
    async with a_gateway(tmp_path) as served:
        image = packed(encoded(a_page(["one"], (200, 100)), "PNG"))
        body = {"model": OCR_MODEL, "document": f"data:image/png;base64,{image}"}
        assert len((await served.http.post("/v1/ocr", json=body)).json()["pages"]) == 1
        for document in ("http://127.0.0.1:1/x.png", "file:///etc/passwd", "data:image/png,plain", "not base64!"):
            refused = await served.http.post("/v1/ocr", json={"model": OCR_MODEL, "document": document})
            assert error_of(refused) == (400, "gateway.bad_request"), document
        assert len(served.jobs.asked) == 1


async def test_what_is_no_document_and_what_nobody_can_read_are_refused(tmp_path):
    async with a_gateway(tmp_path) as served:
        refused = await served.http.post("/v1/ocr", json={"model": OCR_MODEL, "document": packed(b"plain words")})
        assert refused.status_code == 400, refused.text
        served.jobs.error = NowhereToRun()
        image = packed(encoded(a_page(["one"], (200, 100)), "PNG"))
        refused = await served.http.post("/v1/ocr", json={"model": OCR_MODEL, "document": image})
        assert error_of(refused) == (422, "placement.nowhere")
