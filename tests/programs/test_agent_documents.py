"""Documents are spread over devices page by page, and come back in order, also where a page or a device fails."""

import asyncio

import pytest

from agents import HeldEngines, a_town, until
from mesh.agent.asking.asked import Ask
from mesh.agent.asking.documents import FilesTooLarge, NoFile, PageDone, read_documents
from mesh.errors import MeshError
from mesh.jobs.placement import NowhereToRun
from mesh.protocol.values import ModelOffer, Need, Routing
from mesh.sdk import AsyncMesh, control
from mesh.sdk.documents import NamedFile, PageRead, ReadFiles
from mesh.workloads.contract import BadInput, Payload
from mesh.workloads.known import workload_named
from mesh.workloads.ocr import BadReading, Ocr
from mesh.workloads.pages import page_size
from papers import a_page, a_pdf, encoded

pytestmark = pytest.mark.anyio

OCR = workload_named("ocr")
WIDTHS = [1000 + 10 * number for number in range(12)]
PLENTY_S = 60.0


class Readers(HeldEngines):
    """Engines that say of a page how wide it is; ``refuse``: widths that they fail on."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse: set[int] = set()
        self.read: list[int] = []
        self._reading = ModelOffer("ocr", OCR.default_model, 0.0, digest="made-up")

    async def prepare(self, workload, model, say=None):
        return None

    async def measure(self, workload, model):
        if workload != "ocr":
            return await super().measure(workload, model)
        self._reading = ModelOffer("ocr", model, 2.0, digest="made-up", warm=True)
        return self._reading

    def offer(self, workload, model):
        return self._reading if workload == "ocr" else super().offer(workload, model)

    async def run(self, workload, model, payload, *, limit_s, turn=None, listener=None):
        OCR.check(payload)
        self.turns.append(turn)
        size = page_size(payload.blobs[0])
        self.read.append(size.width)
        await self.gate.wait()
        if size.width in self.refuse:
            raise BadInput(width=size.width)
        page = {"width": size.width, "height": size.height, "turned": 0, "confidence": 0.9}
        return Payload({"model": model, "pages": [{**page, "text": f"{size.width} wide", "lines": []}]})


async def a_reading_device(person, name, **how):
    device = await person.device(name, start=False, **how)
    device.engines = Readers()
    return await device.start()


def a_document(widths=WIDTHS):
    # Pillow gives a page's size in points of 1/72 inch, 150 dpi each: the drawn ones are a pixel off at most
    return a_pdf([a_page([], (width, 700)) for width in widths])


async def read(device, *contents, **changes):
    told: list[PageDone] = []
    ask = Ask(OCR, Payload({}))._replace(**changes)
    async with asyncio.timeout(PLENTY_S):
        await read_documents(device.agent.parts.requester.run, ask, contents, lambda page, _: told.append(page))
    return told


def widths_of(told):
    return [int(page.done.payload.manifest["pages"][0]["text"].split()[0]) for page in told]


async def test_pages_are_spread_over_devices_and_come_back_in_order(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        workers = [await a_reading_device(ben, name) for name in ("one", "two")]
        for worker in workers:
            worker.engines.gate.clear()
        reading = asyncio.ensure_future(read(asker, a_document()))
        await until(lambda: all(worker.engines.read for worker in workers))
        for worker in workers:
            worker.engines.gate.set()
        told = await reading
        assert [(page.file, page.page) for page in told] == [(0, number) for number in range(1, 13)]
        assert all(abs(found - width) <= 1 for found, width in zip(widths_of(told), WIDTHS, strict=True))
        assert {page.done.device for page in told} == {worker.id for worker in workers}
        assert {page.done.charge for page in told} == {37_500}
        assert {turn.group for worker in workers for turn in worker.engines.turns} == {asker.id}


async def test_a_page_that_fails_is_named_and_the_others_are_read(tmp_path):
    async with a_town(tmp_path) as (_town, ann, _ben):
        device = await a_reading_device(ann, "ann-box")
        device.engines.refuse = {1200}
        files = [encoded(a_page([], (width, 400)), "PNG") for width in (1100, 1200, 1300)]
        told = await read(device, files[0], b"no picture", files[1], b"%PDF-1.7 broken", files[2])
        failed = {page.file: page.done.wire_code for page in told if isinstance(page.done, MeshError)}
        assert failed == {1: "input.kind_unknown", 2: "input.invalid", 3: "input.unreadable"}
        assert widths_of([page for page in told if page.file in (0, 4)]) == [1100, 1300]


async def test_a_program_hands_in_documents_as_a_batch_and_what_is_none_fails_alone(tmp_path):
    picture = tmp_path / "plan.png"
    picture.write_bytes(encoded(a_page([], (1100, 400)), "PNG"))
    given = [
        picture,
        NamedFile("scan.pdf", a_document(WIDTHS[:2])),
        {"id": "again", "file": str(picture)},
        str(tmp_path / "away.pdf"),
        NamedFile("no.png", b"no picture"),
    ]
    async with a_town(tmp_path) as (_town, ann, _ben):
        device = await a_reading_device(ann, "ann-box")
        async with AsyncMesh(device.home.path) as mesh:
            batch = await mesh.submit_batch(given, "ocr", name="papers")
            assert (batch.lines, batch.workload) == (6, "ocr")
            assert (await mesh.submit_batch(given, "ocr", name="papers")).again

            async def ended():
                return (await mesh.batch("papers")).state == "done"

            await until(ended)
            lines = {line.id: line async for line in mesh.batch_results("papers")}
            assert list(lines) == ["plan.png", "scan.pdf:1", "scan.pdf:2", "again", "away.pdf", "no.png"]
            assert lines["again"].manifest["pages"][0]["text"] == "1100 wide"
            assert {id for id, line in lines.items() if line.error} == {"away.pdf", "no.png"}
            with pytest.raises(MeshError) as wrong:
                await mesh.submit_batch([{"text": "no file"}], "ocr")
            assert wrong.value.wire_code == "batch.bad_line"
        assert sorted(path.suffix for path in device.home.batches.iterdir() if path.name.startswith("new-")) == []


async def test_where_nobody_reads_the_reason_is_told_once(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        with pytest.raises(MeshError) as refused:
            await read(asker, a_document(WIDTHS[:3]), routing=Routing("device", device=worker.id))
        assert refused.value.wire_code == NowhereToRun.code
        assert refused.value.facts["gates"]


async def test_the_most_to_pay_is_for_all_pages_together(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        await a_reading_device(ben, "ben-box")
        told = await read(asker, a_document(WIDTHS[:2]), max_cost=2 * 37_500)
        assert sum(page.done.charge for page in told) == 2 * 37_500
        with pytest.raises(MeshError):
            await read(asker, a_document(WIDTHS[:2]), max_cost=2 * 37_500 - 2)


async def told_by(device, request):
    return await asyncio.to_thread(lambda: list(control.stream(device.home.control_socket, request, PLENTY_S)))


async def test_the_price_of_all_pages_is_said_before_and_they_wait_for_a_reader(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        picture = encoded(a_page([], (900, 400)), "PNG")
        letters = (NamedFile("letter.pdf", a_document(WIDTHS[:3])), NamedFile("photo.png", picture))
        [nowhere] = await told_by(asker, control.Estimate(ReadFiles(letters)))
        assert (nowhere.device, nowhere.error["code"]) == (None, NowhereToRun.code)

        waits: asyncio.Queue[control.Waiting] = asyncio.Queue()
        loop, answers = asyncio.get_running_loop(), []

        def follow():
            for answer in control.stream(asker.home.control_socket, ReadFiles(letters, wait=True), PLENTY_S):
                answers.append(answer)
                if isinstance(answer, control.Waiting):
                    loop.call_soon_threadsafe(waits.put_nowait, answer)

        reading = asyncio.create_task(asyncio.to_thread(follow))
        assert (await waits.get()).error["code"] == NowhereToRun.code
        worker = await a_reading_device(ben, "ben-box")
        await reading
        pages = [answer for answer in answers if isinstance(answer, PageRead)]
        assert [(page.file, page.page, page.error) for page in pages] == [
            *(("letter.pdf", number, None) for number in (1, 2, 3)),
            ("photo.png", 1, None),
        ]

        [found] = await told_by(asker, control.Estimate(ReadFiles(letters, max_cost=4 * 37_500)))
        assert (found.device, found.cost, found.error) == (worker.id, 4 * 37_500, None)
        [dear] = await told_by(asker, control.Estimate(ReadFiles(letters, max_cost=4 * 37_500 - 1)))
        assert (dear.device, dear.error["code"]) == (None, NowhereToRun.code)
        [needy] = await told_by(asker, control.Estimate(ReadFiles(letters, need=Need(gpu=True))))
        assert "gpu" in {gate.gate for gate in needy.explanation.refused if gate.device == worker.id}
        with pytest.raises(MeshError) as refused:
            await told_by(asker, ReadFiles(letters, need=Need(gpu=True)))
        assert "gpu" in {gate["gate"] for gate in refused.value.facts["gates"]}


async def test_a_cancelled_document_leaves_no_job(tmp_path):
    async with a_town(tmp_path) as (_town, ann, _ben):
        device = await a_reading_device(ann, "ann-box")
        device.engines.gate.clear()
        reading = asyncio.ensure_future(read(device, a_document()))
        await until(lambda: device.engines.read)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await until(lambda: device.agent.parts.requester.running == 0)


async def test_nothing_and_too_much_are_refused(tmp_path):
    async def never(ask):
        raise AssertionError

    ask = Ask(OCR, Payload({}))
    with pytest.raises(NoFile):
        await read_documents(never, ask, [], lambda *_: None)
    with pytest.raises(FilesTooLarge):
        await read_documents(never, ask, [bytes(21 << 20)] * 2, lambda *_: None)


async def test_a_reading_that_does_not_fit_its_pages_is_refused():
    payload = Payload({}, (encoded(a_page([], (200, 100)), "PNG"),))
    word = {"text": "a", "confidence": 0.5, "box": [0, 0, 10, 10]}
    page = {
        "width": 200,
        "height": 100,
        "turned": 0,
        "confidence": 0.5,
        "text": "a",
        "lines": [{**word, "words": [word]}],
    }
    Ocr().check_result(payload, Payload({"model": "m", "pages": [page]}))
    wrong = [
        {"width": 100},
        {"turned": 45},
        {"turned": 90},
        {"confidence": float("nan")},
        {"confidence": 1.5},
        {"text": "a" * (1 << 20)},
        {"text": 7},
        {"lines": [{**word, "words": [{**word, "box": [0, 0, 201, 10]}]}]},
        {"lines": [{**word, "words": [{**word, "box": [10, 0, 5, 10]}]}]},
        {"lines": [{**word, "box": [0, 0, 1], "words": []}]},
        {"lines": [{**word, "words": []}] * 2001},
    ]
    for change in wrong:
        with pytest.raises(BadReading):
            Ocr().check_result(payload, Payload({"model": "m", "pages": [{**page, **change}]}))
    for manifest, blobs in [({"model": "m", "pages": []}, ()), ({"model": "m", "pages": [page]}, (b"x",)), ({}, ())]:
        with pytest.raises(BadReading):
            Ocr().check_result(payload, Payload(manifest, blobs))
