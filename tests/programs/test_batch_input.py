"""Input of batches: what a line may be, what fails alone, what is refused as a whole, and what is left behind."""

import io
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from mesh.agent.batches.files import ABANDONED_S, BatchFiles, DiskFull, Line, QuotaReached
from mesh.errors import MeshError
from mesh.ids import BatchId
from mesh.sdk import batch_input
from mesh.sdk.batch_input import Checked, Unreadable, bring, from_json, from_text, lines_below, lines_of


def read(content: bytes) -> list[Checked]:
    return list(from_json(lines_of(io.BytesIO(content))))


def kept(folder: Path, lines: Iterable[Checked]) -> list[Line]:
    """What the agent finds of lines that were brought."""
    name = bring(folder, lines)
    home = folder / "01BATCH"
    home.mkdir()
    (folder / name).rename(home / "input")
    [found] = BatchFiles(folder).lines(BatchId("01BATCH"), bytearray(99))
    return found


def test_objects_and_texts_keep_their_ids_and_blank_lines_are_no_lines() -> None:
    found = read(b'\xef\xbb\xbf{"id": "a", "text": "one"}\n\n  \n"two"\r\n{"id": 7, "text": "three"}')
    assert found == [{"id": "a", "text": "one"}, {"text": "two", "id": 4}, {"id": 7, "text": "three"}]


@pytest.mark.parametrize(
    "line",
    [b"{", b"[1]", b"nonsense", b'{"id": "\xff"}', b'{"id": ""}', b'{"id": true}', b'{"id": 1.5}', b'{"id": null}',
     b'{"id": "%s"}' % (b"x" * 201), b"[" * 200_000],
)  # fmt: skip
def test_a_line_that_cannot_be_read_fails_alone_and_says_where(tmp_path: Path, line: bytes) -> None:
    bad, good = kept(tmp_path, from_json(lines_of(io.BytesIO(line + b'\n{"text": "fine"}\n'))))
    assert bad.broken.startswith("Line 1 ") and (bad.id, bad.fields) == (1, {})
    assert (good.broken, good.id, good.fields) == ("", 2, {"text": "fine"})


def test_text_that_is_not_utf8_fails_alone(tmp_path: Path) -> None:
    first, second = kept(tmp_path, from_text(lines_of(io.BytesIO(b"caf\xe9\nplain\n"))))
    assert "UTF-8" in first.broken and second.fields == {"text": "plain"}


def test_a_line_cannot_pass_itself_off_as_the_note_about_another(tmp_path: Path) -> None:
    found = kept(tmp_path, from_json(lines_of(io.BytesIO(b'["x", "made up"]\n"fine"\n'))))
    assert found[0].broken.startswith("Line 1 is no JSON object")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "batch.empty"),
        (b"\n \n", "batch.empty"),
        (b"%PDF-1.7\n\x00\xff\n", "batch.bad_line"),
        (b'{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n', "batch.same_id"),
        (b'{"text": "%s"}\n' % (b"x" * batch_input.LINE_BYTES_MAX), "batch.line_too_long"),
    ],
)
def test_input_that_is_none_is_refused_as_a_whole_and_leaves_no_file(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(MeshError) as refused:
        bring(tmp_path / "batches", from_json(lines_of(io.BytesIO(content))))
    assert refused.value.wire_code == code
    assert list((tmp_path / "batches").iterdir()) == []


def test_what_is_brought_is_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "batches"
    name = bring(folder, [{"id": 1, "text": "secret"}])
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_names_each_line_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("two\nthree\n")
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / ".hidden").write_text("never\n")
    assert [one["id"] for one in map(_fields, from_text(lines_below(tmp_path)))] == ["a.txt:1", "b.txt:1", "b.txt:2"]


def _fields(line: Checked) -> dict[str, object]:
    assert not isinstance(line, Unreadable)
    return line


def test_a_note_is_written_as_an_array_so_that_no_object_means_it(tmp_path: Path) -> None:
    name = bring(tmp_path, [Unreadable(3, "Line 3 is odd."), {"id": 4}])
    assert [msgspec.json.decode(line) for line in (tmp_path / name).read_bytes().splitlines()] == [
        [3, "Line 3 is odd."],
        {"id": 4},
    ]


def test_what_would_outgrow_the_quota_or_the_disk_is_not_taken(tmp_path: Path) -> None:
    name = bring(tmp_path, [{"id": 1, "text": "x" * 500}])
    with pytest.raises(QuotaReached) as refused:
        BatchFiles(tmp_path, quota_bytes=400).take(name)
    assert "400 bytes" in refused.value.message
    with pytest.raises(DiskFull):
        BatchFiles(tmp_path, free_bytes_min=1 << 62).take(name)
    small = BatchFiles(tmp_path, quota_bytes=10_000)
    assert small.take(name).lines == 1
    kept = tmp_path / "01BATCH"
    kept.mkdir()
    (kept / "results").write_bytes(b"\0" * 9_800)
    with pytest.raises(QuotaReached):
        small.take(name)  # what other batches keep counts
    small.erase(BatchId("01BATCH"))
    assert small.take(name).lines == 1


def test_what_a_killed_command_left_is_erased_after_an_hour_and_a_half_made_batch_at_once(tmp_path: Path) -> None:
    files = BatchFiles(tmp_path)
    name = bring(tmp_path, [{"id": 1, "text": "left behind"}])
    (tmp_path / "01HALFMADE").mkdir()
    now_s = (tmp_path / name).stat().st_mtime
    files.open(set(), now_s + ABANDONED_S - 1)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    files.open(set(), now_s + ABANDONED_S + 1)
    assert list(tmp_path.iterdir()) == []
