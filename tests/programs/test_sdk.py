"""Mesh for Python programs: the tutorial runs as it is written, and what it says comes out."""

import asyncio
import re

import msgspec
import pytest

from agents import MODEL, a_town, until
from mesh.errors import MeshError
from mesh.protocol import links
from mesh.sdk import Asked, AsyncMesh, Mesh, control
from mesh.sdk.documents import FilesTooLarge, NamedFile
from mesh.sdk.mesh import Answer, NotEnded, WhichNetwork
from shape.sources import ROOT

pytestmark = pytest.mark.anyio
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def signed_in(person, device):
    """The home of a device at which its person is signed in too."""
    home = device.home
    home.write(msgspec.structs.replace(home.read(), session=person.session))
    return home.path


async def test_the_tutorial_runs_as_it_is_written(tmp_path, capsys):
    blocks = BLOCK.findall((ROOT / "docs" / "sdk.md").read_text(encoding="utf-8"))
    assert len(blocks) > 5
    async with a_town(tmp_path) as (_, ann, _):
        device = await ann.device("attic")
        scope = {"HOME": await signed_in(ann, device)}

        def run():
            for block in blocks:
                exec(compile(block, "docs/sdk.md", "exec"), scope)

        await asyncio.to_thread(run)
    said = capsys.readouterr().out
    assert "attic ['home']" in said
    assert f"{device.id} local 0 1.0" in said
    assert "[0, 0, 0]" in said
    assert "2 True" in said


async def test_links_let_devices_in_and_both_faces_say_the_same(tmp_path):
    async with a_town(tmp_path) as (_, ann, ben):
        worker = await ben.device("ben-box")
        device = await ann.device("ann-box", work=False)
        home = await signed_in(ann, device)
        async with AsyncMesh(home) as mesh:
            assert links.parse(await mesh.invite_device()).url == ann.record.url
            done = await mesh.embed(["a", "b"], Asked(model=MODEL))
            assert (done.device, done.vectors) == (worker.id, [[1.0, 0.0, 0.0, 0.0]] * 2)
            assert done.charge > 0
            assert (await mesh.embed(["a"], Asked(device="ben-box"))).device == worker.id
            with pytest.raises(MeshError) as refused:
                await mesh.embed(["a"], Asked(device="nowhere"))
            assert refused.value.wire_code == "device.unknown"
            named = {member.name for member in await mesh.members()}

        def asked():
            with Mesh(home, network="home") as same:
                assert {member.name for member in same.members()} == named == {"Ann", "Ben"}
                assert len(same.devices()) == 2
            with Mesh(home, network="other") as other, pytest.raises(WhichNetwork):
                other.devices()

        await asyncio.to_thread(asked)


def test_an_answer_comes_in_pieces_and_its_whole_only_at_the_end():
    closed = []

    def lines():
        try:
            yield control.Said("a")
            yield control.Said("b")
            yield control.Ran("J", "D", "direct", 3, 1, "m", {"text": "ab"})
        finally:
            closed.append(True)

    answer = Answer(lines())
    texts = answer.texts()
    assert next(texts) == "a"
    with pytest.raises(NotEnded):
        _ = answer.done
    assert list(texts) == ["b"]
    assert (answer.done.text, answer.done.charge) == ("ab", 3)
    left = Answer(lines()).texts()
    next(left)
    left.close()
    assert len(closed) == 2


async def test_a_batch_is_submitted_once_whatever_is_repeated_and_its_lines_come_back(tmp_path):
    async with a_town(tmp_path) as (_, ann, _):
        device = await ann.device("attic")
        async with AsyncMesh(device.home.path) as mesh:
            lines = ["one text", {"id": "b", "text": "another"}, {"id": "bad", "nothing": 1}]
            batch = await mesh.submit_batch(lines, name="mine")
            again = await mesh.submit_batch(lines, name="mine")
            assert (again.batch, again.again, again.lines) == (batch.batch, True, 3)
            with pytest.raises(MeshError) as other:
                await mesh.submit_batch(["other content"], name="mine")
            assert other.value.wire_kind == "conflict"

            async def ended():
                return (await mesh.batch("mine")).state == "done"

            await until(ended)
            done = [line async for line in mesh.batch_results("mine")]
            assert [(line.id, line.error is None) for line in done] == [(1, True), ("b", True), ("bad", False)]
            with pytest.raises(MeshError) as empty:
                await mesh.submit_batch([])
            assert empty.value.wire_code == "batch.empty"


async def test_a_file_that_is_no_picture_is_told_page_by_page_and_too_much_is_refused(tmp_path):
    async with a_town(tmp_path) as (_, ann, _):
        device = await ann.device("attic")
        (tmp_path / "no.png").write_bytes(b"no picture at all")
        async with AsyncMesh(device.home.path) as mesh:
            pages = [page async for page in mesh.ocr([tmp_path / "no.png", NamedFile("b.pdf", b"%PDF-no")])]
            assert [(page.file, page.read) for page in pages] == [("no.png", None), ("b.pdf", None)]
            assert all(page.error["code"].startswith("input.") for page in pages)
            with pytest.raises(FilesTooLarge):
                await anext(mesh.ocr([NamedFile("a.png", b"x")] * 257))
