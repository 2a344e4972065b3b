"""Pages drawn and read for real, in their confined processes: the text is right, whatever file it came in."""

import asyncio

import pytest

from mesh.agent.asking.drawing import Drawer
from mesh.agent.engines.own import APART_IDLE_MAX, APART_JOBS_MAX, Engines
from mesh.agent.engines.slots import Known
from mesh.errors import MeshError
from mesh.workloads.catalogue import BUILTIN, OCR_DEFAULT
from mesh.workloads.contract import Payload, Turn
from mesh.workloads.ocr import Ocr, Page, read_of
from mesh.workloads.pages import page_size
from modelfolder import shared_model_files
from papers import LOCKED, a_noisy_page, a_page, a_pdf, accuracy, encoded, lines_of_text
from waiting import until

pytestmark = pytest.mark.anyio

PLENTY_S = 100.0
LINES = lines_of_text(24)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def engines():
    async with Engines(shared_model_files(), lanes=2) as pool:
        await pool.prepare("ocr", OCR_DEFAULT)
        yield pool


@pytest.fixture(scope="module")
async def drawer():
    async with Drawer() as made:
        yield made


async def one_page(drawer: Drawer, content: bytes) -> bytes:
    (page,) = await drawer.draw(content, 0, 1)
    assert isinstance(page, bytes), page
    return page


async def read(pool: Engines, page: bytes, requester: str = "a") -> Page:
    payload = Payload({}, (page,))
    result = await pool.run("ocr", OCR_DEFAULT, payload, limit_s=PLENTY_S, turn=Turn(requester))
    Ocr().check_result(payload, result)
    return read_of(result).pages[0]


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {"quality": 85}), ("WEBP", {"quality": 85})])
async def test_of_a_clean_page_99_in_100_characters_are_right(engines, drawer, kind, options):
    page = await one_page(drawer, encoded(a_page(LINES), kind, **options))
    found = await read(engines, page)
    assert accuracy(found.text, LINES) >= 0.99
    assert found.confidence > 0.9 and found.turned == 0
    assert engines.isolation("ocr", OCR_DEFAULT) in ("strict", "limited")


async def test_a_pdf_is_read_page_by_page(engines, drawer):
    texts = [lines_of_text(8, seed) for seed in (2, 3, 4)]
    content = a_pdf([a_page(lines) for lines in texts])
    assert await drawer.total(content) == 3
    pages = await drawer.draw(content, 0, 3)
    assert [page_size(page) for page in pages] == [(1241, 1754)] * 3  # A4 in points, drawn at 150 dpi
    found = await asyncio.gather(*(read(engines, page) for page in pages))
    assert all(accuracy(page.text, lines) >= 0.99 for page, lines in zip(found, texts, strict=True))
    (last,) = await drawer.draw(content, 2, 1)
    assert last == pages[2]


async def test_a_bad_scan_is_read(engines, drawer):
    found = await read(engines, await one_page(drawer, encoded(a_noisy_page(LINES), "PNG")))
    assert accuracy(found.text, LINES) >= 0.97


async def test_small_letters_of_a_screen_are_read(engines, drawer):
    lines = [line[:40] for line in lines_of_text(6)]
    page = await one_page(drawer, encoded(a_page(lines, (640, 400), letters=14), "PNG"))
    assert page_size(page) == (1280, 800)
    assert accuracy((await read(engines, page)).text, lines) >= 0.97


@pytest.mark.parametrize("turned", [90, 180])
async def test_a_page_on_its_side_or_head_is_turned(engines, drawer, turned):
    page = await one_page(drawer, encoded(a_page(LINES).rotate(turned, expand=True), "PNG"))
    found = await read(engines, page)
    assert accuracy(found.text, LINES) >= 0.99
    assert (found.turned, found.width, found.height) == (turned, 1240, 1754)


async def test_a_cameras_note_of_its_orientation_is_followed(drawer):
    turned = a_page(LINES[:3], (1200, 1000)).rotate(90, expand=True)
    exif = turned.getexif()
    exif[0x0112] = 6  # to be shown turned clockwise by 90 degrees
    page = await one_page(drawer, encoded(turned, "JPEG", exif=exif))
    assert page_size(page) == (1200, 1000)


async def test_boxes_lie_on_their_words_and_lines(engines, drawer):
    found = await read(engines, await one_page(drawer, encoded(a_page(["Harbour office"], letters=40), "PNG")))
    (line,) = found.lines
    assert [word.text for word in line.words] == ["Harbour", "office"]
    harbour, office = (word.box for word in line.words)
    assert 75 <= harbour[0] < harbour[2] < office[0] < office[2] == line.box[2]
    assert 95 <= line.box[1] < line.box[3] <= 160
    assert all(0.8 < word.confidence <= 1 for word in line.words)


async def test_an_empty_page_has_no_text(engines, drawer):
    found = await read(engines, await one_page(drawer, encoded(a_page([]), "PNG")))
    assert (found.text, found.lines, found.confidence) == ("", (), 0.0)


async def test_what_is_seen_through_is_white_and_colours_are_grey(engines, drawer):
    page = a_page(LINES[:4]).convert("L")
    clear = page.convert("RGBA")
    clear.putalpha(page.point(lambda value: 255 - value))
    found = await read(engines, await one_page(drawer, encoded(clear, "PNG")))
    assert accuracy(found.text, LINES[:4]) >= 0.99


async def test_a_large_photo_is_scaled_down(drawer):
    page = await one_page(drawer, encoded(a_page(LINES, (6000, 4000), letters=80), "JPEG"))
    assert page_size(page) == (2048, 1365)


async def test_a_pdf_with_a_password_says_so(drawer):
    with pytest.raises(MeshError) as refused:
        await drawer.total(LOCKED)
    assert (refused.value.wire_code, refused.value.wire_kind) == ("input.pdf_locked", "invalid")


async def test_each_requester_has_a_process_of_their_own_and_few_wait(engines, drawer):
    page = await one_page(drawer, encoded(a_page(["seven"]), "PNG"))
    await asyncio.gather(*(read(engines, page, requester) for requester in ("x", "y", "x")))
    first = set(engines.processes().values())
    await read(engines, page, "x")
    assert set(engines.processes().values()) == first, "the same requester finds their process again"
    for requester in ("p", "q", "r", "s"):
        await read(engines, page, requester)
    assert len(engines.processes()) <= APART_IDLE_MAX + 1


async def test_a_process_is_replaced_after_fifty_jobs(drawer):
    page = await one_page(drawer, encoded(a_page([], (40, 40)), "PNG"))
    async with Engines(shared_model_files(), lanes=2) as pool:
        seen = []
        for _ in range(APART_JOBS_MAX + 1):
            await read(pool, page)
            seen += list(pool.processes().values())[-1:]
        assert len(set(seen[: APART_JOBS_MAX - 1])) == 1 and seen[-1] != seen[0]
        await until(lambda: list(pool.processes().values()) == seen[-1:])


def of_pages(count):
    return Payload({}, (b"page",) * count), Payload({})


async def test_speed_is_assumed_until_the_first_job_tells():
    known = Known(Ocr(), BUILTIN.entry("ocr", OCR_DEFAULT))
    known.assume(2)
    assert known.speed.expected_s(1) == pytest.approx(0.375), "a page of 0.75 s, on one of two lanes"
    known.learn(*of_pages(1), 3.0, 2)
    assert known.speed.expected_s(1) == pytest.approx(1.5)
    known.learn(*of_pages(4), 12.0, 2)
    assert known.speed.expected_s(1) == pytest.approx(1.8), "later ones count by a fifth"
    async with Engines(shared_model_files(), lanes=2) as pool:
        offer = await pool.measure("ocr", OCR_DEFAULT)
        assert offer.units_per_s == pytest.approx(2 / 0.75) and not offer.warm and pool.processes() == {}
