"""What devices say to each other stays with them: neither words nor anything long reaches the coordinator."""

import hashlib
import secrets

import msgspec
import pytest
from structlog.testing import capture_logs

from agents import a_town
from mesh.agent.asking.asked import JobFailed
from mesh.errors import RemoteError
from mesh.protocol import link
from mesh.workloads.embeddings import payload_of

pytestmark = pytest.mark.anyio
PROMPT = "the letter that nobody else is to read"


def kept_by_the_coordinator(town):
    """All that lies in its folder, the database's log among it."""
    return b"".join(file.read_bytes() for file in (town.folder / "data").rglob("*") if file.is_file())


async def test_neither_input_nor_its_digest_nor_an_engines_words_reach_the_coordinator_or_a_log(tmp_path):
    with capture_logs() as logged:
        async with a_town(tmp_path) as (town, ann, ben):
            asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
            done = await asker.run(PROMPT)
            words = f"cannot read {PROMPT}"
            worker.engines.failure = RemoteError(words, "failed", words, {"text": words})
            with pytest.raises(JobFailed):
                await asker.run(PROMPT, "and more")
            worker.engines.failure = None
            await asker.run("one")  # what the others left behind waits to be reported by now
            await asker.reported()
            await worker.reported()
            kept = kept_by_the_coordinator(town)
            assert done.job.encode() in kept, "this is where it would be"
            assert PROMPT.encode() not in kept
            for guess in (PROMPT.encode(), msgspec.msgpack.encode(payload_of((PROMPT,)))):
                for digest in (hashlib.sha256(guess), hashlib.blake2b(guess, digest_size=32), hashlib.sha1(guess)):
                    assert digest.digest() not in kept and digest.hexdigest().encode() not in kept
    assert logged, "this is where it would be"
    assert PROMPT not in repr(logged)


async def test_a_worker_that_answers_at_length_does_not_keep_its_requester_from_reporting(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        worker.engines.failure = RemoteError("x" * 100_000, "failed", "It failed.")
        for _ in range(4):
            with pytest.raises(JobFailed) as failed:
                await asker.run("one")
            assert {one["code"] for one in failed.value.facts["attempts"]} == {RemoteError.code}
        worker.engines.failure = None
        await asker.run("one")  # what the others left behind waits to be reported by now
        await asker.reported()


async def test_what_waits_is_reported_in_parts_that_the_link_takes(tmp_path):
    async with a_town(tmp_path) as (_, ann, _ben):
        box = await ann.device("box", work=False)
        facts = [secrets.token_hex(30_000) for _ in range(60)]
        assert sum(map(len, facts)) > 3 * link.MESSAGE_BYTES_MAX
        await box.agent.parts.outbox.add_facts(facts)
        await box.reported()
