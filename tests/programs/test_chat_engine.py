"""Chat in its process, with the real model: words as they come, right ends, nothing shared, nothing left running."""

import asyncio
import json
import os
import signal
import sys

import msgspec
import psutil
import pytest

from mesh.agent.engines.own import Engines
from mesh.errors import MeshError
from mesh.units import MIB
from mesh.workloads import processor
from mesh.workloads.catalogue import BUILTIN, CHAT_DEFAULT, Catalogue
from mesh.workloads.chat import Chat, payload_of, prompt_payload
from mesh.workloads.contract import Listener, Outlet
from mesh.workloads.process import EngineCrashed, JobTimedOut
from modelfolder import shared_model_files
from waiting import until

pytestmark = pytest.mark.anyio

MODEL = CHAT_DEFAULT
CHAT = Chat()
PLENTY_S = 90.0
STORY = "Tell a very long story about a harbour, with many people in it."


class Reading:
    """Reads a chat's stream as it comes."""

    def __init__(self):
        self.come = []
        self.outlet = Outlet(self._put)

    def _put(self, content):
        self.come.append(content)
        self.outlet.took(len(content))

    @property
    def text(self):
        return b"".join(self.come).decode()


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def engines(anyio_backend):
    async with Engines(shared_model_files(), lanes=2) as pool:
        await pool.prepare("chat", MODEL)
        await pool.measure("chat", MODEL)
        yield pool


async def say(pool, payload, reading=None, *, model=MODEL, **changes):
    listener = Listener(outlet=reading.outlet) if reading else Listener()
    result = await pool.run("chat", model, payload, **{"limit_s": PLENTY_S, "listener": listener, **changes})
    CHAT.check_result(payload, result)
    return result.manifest


def asked(message, **settings):
    return payload_of([("user", message)], **{"temperature": 0.0, **settings})


async def test_the_answer_comes_token_by_token_and_the_whole_says_the_same(engines):
    reading = Reading()
    answer = await say(engines, asked(STORY, max_tokens=24), reading)
    assert len(reading.come) > 2, "words that are said close together leave together"
    assert reading.text == answer["text"] != ""
    assert (answer["finish"], answer["tokens"]) == ("length", 24)
    assert answer["prompt_tokens"] > 5
    assert answer["model"] == MODEL


async def test_while_it_reads_a_long_question_it_tells_how_far_it_is(engines):
    reading, told = Reading(), []

    def advance(fraction):
        told.append((fraction, len(reading.come)))

    question = asked("Tell me more. " * 350, max_tokens=4)
    await say(engines, question, listener=Listener(outlet=reading.outlet, advance=advance), limit_s=200.0)
    assert all(come == 0 for _, come in told), "it is said before the first word"
    fractions = [fraction for fraction, _ in told]
    assert len(set(fractions)) > 1, "seconds of reading are no silence"
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] < 1


async def test_the_same_question_has_the_same_answer_alone_and_beside_others(engines):
    payload = asked("Name three colours.", max_tokens=16)
    alone = await say(engines, payload)
    beside = await asyncio.gather(*(say(engines, payload) for _ in range(3)), say(engines, asked(STORY, max_tokens=16)))
    assert {answer["text"] for answer in [alone, *beside[:3]]} == {alone["text"]}


@pytest.mark.parametrize(
    "payload",
    [
        asked(STORY, max_tokens=30),
        prompt_payload("Once upon a time, in a small harbour, there was an old", temperature=0.0, max_tokens=30),
    ],
    ids=["chat", "prompt"],
)
async def test_an_answer_that_broke_off_goes_on_where_it_was_and_says_nothing_twice(engines, payload):
    whole = (await say(engines, payload))["text"]
    said = whole[: len(whole) // 2].rpartition(" ")[0]
    rest = CHAT.go_on(payload, said)
    reading = Reading()
    answer = await say(engines, rest, reading)
    assert reading.text == answer["text"]
    assert not answer["text"].startswith(said[:20])
    assert (said + answer["text"])[: len(said) + 6] == whole[: len(said) + 6]
    assert answer["tokens"] <= rest.manifest["max_tokens"] < 30


async def test_characters_of_several_bytes_are_never_cut(engines):
    reading = Reading()
    await say(engines, asked("Repeat exactly: 😀😀😀 日本語 ñandú", max_tokens=30), reading)
    for content in reading.come:
        content.decode()  # each by itself
    assert any(len(content) > len(content.decode()) for content in reading.come)


async def test_it_ends_before_a_stop_text_and_does_not_say_it(engines):
    whole = await say(engines, asked("Count: one, two, three. Go on.", max_tokens=40))
    words = whole["text"].split()
    mark = words[len(words) // 2]
    reading = Reading()
    cut = await say(engines, asked("Count: one, two, three. Go on.", max_tokens=40, stop=[mark]), reading)
    assert cut["finish"] == "stop"
    assert mark not in cut["text"]
    assert whole["text"].startswith(cut["text"].rstrip())
    assert reading.text == cut["text"]


async def test_json_mode_keeps_to_its_schema(engines):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    answer = await say(engines, asked("Describe a sailor.", max_tokens=80, json=schema))
    value = json.loads(answer["text"])
    assert set(value) == {"name", "age"}
    assert isinstance(value["age"], int)
    loose = await say(engines, asked("Describe a sailor as a JSON object with a name.", max_tokens=200, json=True))
    if loose["finish"] == "stop":
        assert isinstance(json.loads(loose["text"]), dict)


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "http://127.0.0.1/x"}, {"type": "nonsense"}, {"$ref": "#/nowhere"}],
)
async def test_a_schema_that_cannot_be_kept_is_refused_and_the_process_lives(engines, schema):
    pid = engines.processes()[MODEL]
    with pytest.raises(MeshError) as refused:
        await say(engines, asked("x", max_tokens=4, json=schema))
    assert refused.value.wire_code in ("input.chat_setting", "engine.chat_refused")
    assert "127.0.0.1" not in refused.value.message
    assert engines.processes()[MODEL] == pid


async def test_messages_over_the_window_are_an_error_that_counts_or_lose_the_oldest_where_allowed():
    entry = BUILTIN.entry("chat", MODEL)
    small = msgspec.structs.replace(entry, id="small", settings={**entry.settings, "context_tokens": 256})
    old = [("user" if number % 2 == 0 else "assistant", f"Part {number}. " + "old words " * 20) for number in range(20)]
    messages = [("system", "You answer in one word."), *old, ("user", "What is the capital of France?")]
    async with Engines(shared_model_files(), lanes=1, catalogue=Catalogue((small,))) as pool:
        with pytest.raises(MeshError) as refused:
            await say(pool, payload_of(messages, max_tokens=8), model="small")
        assert refused.value.wire_code == "input.chat_too_long"
        assert refused.value.facts["limit"] == 256 < refused.value.facts["tokens"]
        assert f"{refused.value.facts['tokens']:,} tokens" in refused.value.message
        answer = await say(pool, payload_of(messages, max_tokens=8, temperature=0.0, trim=True), model="small")
        assert 0 < answer["left_out"] < 20
        assert 32 < answer["prompt_tokens"] < 256
        with pytest.raises(MeshError) as refused:  # there is nothing that may go
            await say(pool, payload_of([("user", "word " * 400)], trim=True), model="small")
        assert refused.value.wire_code == "input.chat_too_long"
        cut = await say(pool, asked(STORY, max_tokens=500), model="small")
        assert cut["finish"] == "length"  # the window is full
        assert cut["prompt_tokens"] + cut["tokens"] <= 257


async def test_a_prompt_is_continued(engines):
    answer = await say(engines, prompt_payload("Once upon a time, there", max_tokens=8, temperature=0.0))
    assert answer["tokens"] == 8
    assert answer["text"].startswith(" ")


async def test_nothing_of_an_earlier_prompt_shortens_a_later_one(engines):
    """What another requester has asked cannot be told from the time of one's own answer."""
    prefix = "The quick brown fox jumps over the lazy dog near the old harbour wall. " * 12
    payload = asked(prefix + "Why?", max_tokens=1)
    took = []
    for _ in range(3):
        child = psutil.Process(engines.processes()[MODEL])
        before = child.cpu_times().user
        await say(engines, payload)
        took.append(child.cpu_times().user - before)
    assert min(took[1:]) > took[0] / 3, (
        "reading a prompt again takes as long as the first time (a kept prefix: a tenth)"
    )


async def test_a_cancel_stops_it_in_time_and_the_process_goes_on(engines):
    reading = Reading()
    pid = engines.processes()[MODEL]
    job = asyncio.ensure_future(say(engines, asked(STORY, max_tokens=3000), reading))
    await until(lambda: len(reading.come) > 3)
    job.cancel()
    # it would have been killed after a second (CANCEL_GRACE_S), and another would answer
    assert (await say(engines, asked("Hi", max_tokens=2)))["tokens"] <= 2
    assert engines.processes()[MODEL] == pid
    assert await asyncio.to_thread(psutil.Process(pid).cpu_percent, 0.3) < 20
    assert job.cancelled()


async def test_a_time_limit_ends_it(engines):
    with pytest.raises(JobTimedOut):
        await say(engines, asked(STORY, max_tokens=3000), limit_s=0.5)


async def test_a_killed_process_breaks_its_stream_and_the_next_chat_works(engines):
    reading = Reading()
    job = asyncio.ensure_future(say(engines, asked(STORY, max_tokens=3000), reading))
    await until(lambda: len(reading.come) > 3)
    pid = engines.processes()[MODEL]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineCrashed):
        await job
    assert reading.come
    assert (await say(engines, asked("Hi", max_tokens=2)))["tokens"] <= 2
    assert engines.processes()[MODEL] != pid


@pytest.mark.skipif(sys.platform != "linux", reason="sockets and memory are looked at through /proc")
async def test_it_listens_nowhere_is_confined_and_small(engines):
    await say(engines, asked("Hi", max_tokens=2))
    child = psutil.Process(engines.processes()[MODEL])
    assert [one for one in child.net_connections("all") if one.status == psutil.CONN_LISTEN] == []
    assert list(child.net_connections("inet")) == []
    assert engines.isolation("chat", MODEL) == "strict"
    assert child.memory_info().rss < 700 * MIB
    assert BUILTIN.entry("chat", MODEL).memory_limit_bytes > child.memory_info().rss


async def test_its_speed_is_measured_before_its_first_job_and_offered(engines):
    engines.assume("chat", MODEL)
    assert not engines.measured("chat", MODEL)
    offer = await engines.measure("chat", MODEL)
    assert engines.measured("chat", MODEL)
    assert offer.units_per_s > 0
    assert offer.units_per_s != 2 / CHAT.assumed_s


def test_a_processor_without_the_instructions_is_told_apart():
    assert processor.missing("fpu sse avx avx2 fma f16c") == ()
    assert processor.missing("fpu sse avx") == ("avx2", "fma", "f16c")
