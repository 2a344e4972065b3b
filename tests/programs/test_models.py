"""The models of a home: what they may take on the disk, taking one away and bringing it back, while an agent runs."""

import asyncio
import hashlib

import pytest

from agents import EMBEDDINGS, MODEL, a_home, a_town
from mesh.jobs.placement import NowhereToRun
from mesh.sdk import control
from mesh.sdk.home import HomeUnreadable
from mesh.sdk.models import ForgetModel, ModelChoice, OfferModel, read_choice, write_choice
from mesh.workloads.catalogue import ModelEntry, ModelFile, Source
from mesh.workloads.files import DiskBudget, DiskRefused, ModelFiles

pytestmark = pytest.mark.anyio


def entry_of(folder, id, **contents):
    files = []
    for name, content in contents.items():
        path = folder / f"source-{name}-{id}"
        path.write_bytes(content)
        source = Source(uri=f"file:{path}")
        files.append(ModelFile(name, len(content), hashlib.sha256(content).hexdigest(), (source,)))
    return ModelEntry(id, "embeddings", "MIT", tuple(files), {}, 1 << 30)


async def test_what_does_not_fit_the_budget_is_refused_before_anything_is_fetched(tmp_path):
    files = ModelFiles(tmp_path / "models")
    small, large = entry_of(tmp_path, "small", a=b"a" * 100), entry_of(tmp_path, "large", b=b"b" * 100, c=b"c" * 101)
    files.budget = lambda: 300
    await files.ensure(small)
    stages = []
    with pytest.raises(DiskBudget) as refused:
        await files.ensure(large, lambda *said: stages.append(said))
    assert (refused.value.facts["needed"], refused.value.facts["taken"], stages) == (201, 100, [])
    assert files.size() == 100
    files.budget = lambda: 301
    await files.ensure(large)
    files.budget = lambda: 1  # what is there already stays and is used
    assert set(await files.ensure(large)) == {"b", "c"}


async def test_a_disk_without_room_is_told_before_anything_is_fetched(tmp_path):
    content = b"x"
    entry = entry_of(tmp_path, "huge", a=content)
    huge = ModelFile("a", 1 << 60, entry.files[0].sha256, entry.files[0].sources)
    with pytest.raises(DiskRefused, match="Make room first"):
        await ModelFiles(tmp_path / "models").ensure(ModelEntry("huge", "embeddings", "MIT", (huge,), {}, 1 << 30))


async def test_removing_a_model_leaves_the_files_that_others_share(tmp_path):
    files = ModelFiles(tmp_path / "models")
    one, other = entry_of(tmp_path, "one", a=b"mine", t=b"shared"), entry_of(tmp_path, "other", t=b"shared")
    await files.ensure(one)
    assert files.remove(one, (one, other)) == 4
    assert (files.present(one), files.present(other)) == (False, True)
    assert files.remove(one, (one, other)) == 0
    await files.ensure(one)
    assert files.present(one)


def test_choices_are_kept_and_a_damaged_file_is_told(tmp_path):
    home = a_home(tmp_path)
    assert read_choice(home) == ModelChoice()
    write_choice(home, ModelChoice(("m",), 5))
    assert read_choice(home) == ModelChoice(("m",), 5)
    home.models_file.write_bytes(b"{")
    with pytest.raises(HomeUnreadable):
        read_choice(home)


def embedding_models(capability):
    return [offer.model for offer in capability.offers if offer.workload == "embeddings"]


async def test_a_model_that_is_forgotten_gets_no_more_jobs_until_it_is_offered_again(tmp_path):
    async with a_town(tmp_path) as (_, ann, _):
        device = await ann.device("box")
        assert (await device.run()).device == device.id

        async def ask(request):
            return await asyncio.to_thread(control.ask, device.home.control_socket, request, 60.0)

        await ask(ForgetModel("embeddings", MODEL))
        assert device.engines.unloaded == [MODEL]
        assert embedding_models((await ask(control.GetModels())).capability) == []
        with pytest.raises(Exception) as refused:
            await device.run()
        assert refused.value.wire_code == NowhereToRun.code
        await ask(OfferModel("embeddings", MODEL))
        assert embedding_models((await ask(control.GetModels())).capability) == [MODEL]
        assert (await device.run()).device == device.id


async def test_a_removed_model_is_not_fetched_by_itself_at_the_next_start(tmp_path):
    async with a_town(tmp_path) as (_, ann, _):
        device = await ann.device("box")
        write_choice(device.home, ModelChoice((EMBEDDINGS.default_model,)))
        await asyncio.to_thread(control.ask, device.home.control_socket, ForgetModel("embeddings", MODEL), 60.0)
        await device.stop()
        await device.start()
        assert embedding_models(device.agent.parts.myself.capability()) == []
        write_choice(device.home, ModelChoice())
        await device.stop()
        await device.start()
        assert embedding_models(device.agent.parts.myself.capability()) == [MODEL]
