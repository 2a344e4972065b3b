"""Chats that are looked at again, between real agents and with the real model: honest ones pass, others are found."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agents import Device, HeldEngines, Person, Town, a_town, until
from mesh.agent.asking.asked import Ask
from mesh.agent.engines.own import Engines
from mesh.protocol.values import Routing
from mesh.sdk import calls, review
from mesh.workloads.catalogue import BUILTIN, CHAT_DEFAULT, Catalogue, ModelEntry, Source
from mesh.workloads.chat import payload_of
from mesh.workloads.contract import Payload
from mesh.workloads.known import workload_named
from mesh.workloads.replay import STRETCH_BYTES, STRETCH_TOKENS, beginning
from modelfolder import shared_model_files
from programs.test_agent_checks import WELCOME, _checks, items

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]
CHAT = workload_named("chat")
LIMIT_S = 120.0
INVENTED = "Boats sleep there at night, and in the morning they sail out to catch fish for the whole town to eat."


class RealChats(HeldEngines):
    """Answers chats with a real model, or as a test has it."""

    def __init__(self, pool: Engines) -> None:
        super().__init__()
        self.pool = pool
        self.instead: str | None = None
        self.build = ""

    async def run(self, workload, model, payload, **how):
        if workload != "chat":
            return await super().run(workload, model, payload, **how)
        if self.instead is None or "replay" in payload.manifest:
            result = await self.pool.run(workload, model, payload, **how)
            self.build = result.manifest["engine"]
            return result
        how["listener"].outlet.put(self.instead.encode())
        manifest = {"model": model, "engine": self.build, "text": self.instead, "finish": "stop"}
        return Payload({**manifest, "prompt_tokens": 30, "tokens": 24, "left_out": 0})


def worse_model(folder: Path) -> ModelEntry:
    """The default model with a bit changed in each byte of a fifth of its weights, as a coarser one would have it."""
    entry = BUILTIN.entry("chat", CHAT_DEFAULT)
    content = bytearray(shared_model_files().path(entry.files[0]).read_bytes())
    first, last = len(content) // 2, len(content) * 7 // 10
    content[first:last] = content[first:last].translate(bytes(one ^ 1 for one in range(256)))
    path = folder / "worse.gguf"
    path.write_bytes(content)
    file = msgspec.structs.replace(
        entry.files[0], sha256=hashlib.sha256(content).hexdigest(), sources=(Source(f"file:{path}"),)
    )
    return msgspec.structs.replace(entry, files=(file,))


async def ask(desk: Device, box: Device, question: str, **settings) -> str:
    """Have a chat written there, and what came of the look at it."""
    payload = payload_of([("user", question)], **{"temperature": 0.0, "max_tokens": 48, **settings})
    order = Ask(CHAT, payload, model=CHAT_DEFAULT, routing=Routing("device", box.id), limit_s=LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        result = await desk.agent.parts.requester.run(order)
    return str(result.payload.manifest["text"])


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[tuple[Town, Person, Person]]:
    async with a_town(tmp_path) as (town, ann, ben):
        await ann.do(calls.change_settings(town.network, {"credit_line": "strict"}))
        yield town, ann, ben


async def test_an_honest_chat_passes_and_invented_text_and_another_models_are_found(town, tmp_path) -> None:
    town, ann, ben = town
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(Engines(shared_model_files(), lanes=1))
        await pool.prepare("chat", CHAT_DEFAULT)
        worse = Catalogue((worse_model(tmp_path),))
        other = await stack.enter_async_context(Engines(shared_model_files(), lanes=1, catalogue=worse))
        desk, box = await ann.device("desk", start=False), await ben.device("box", start=False)
        desk.engines, box.engines = RealChats(pool), RealChats(pool)
        await desk.start()
        await box.start()

        async def known(passed: int, missed: int, skipped: int) -> None:
            async def decided() -> bool:
                found = tuple(len(_checks(town, state)) for state in ("passed", "missed", "skipped"))
                assert found[1] <= missed, "nobody is accused wrongly"
                return found == (passed, missed, skipped)

            await until(decided)

        await ask(desk, box, "What is a harbour?")
        await known(1, 0, 0)
        await ask(desk, box, "Name three fruits.", temperature=0.9, seed=3)
        await known(1, 0, 1)  # of many right answers one: nobody can say
        box.engines.instead = INVENTED
        assert await ask(desk, box, "What is a harbour?") == INVENTED
        await known(1, 1, 1)
        assert [one.kind for one in (await ann.do(review.listing(town.network))).items] == ["miss"]
        box.engines.instead, box.engines.pool = None, other
        await ask(desk, box, "Tell a short story about the sea.")
        await known(1, 2, 1)

        async def out_of_use() -> bool:
            return "quarantine" in await items(ann, town)

        await until(out_of_use)
        assert (await ben.do(calls.balance(town.network))).pending == 0
        assert await ann.balance() == await ben.balance() == WELCOME


async def test_of_a_long_answer_only_a_stretch_is_read_and_it_is_found_where_something_was_put_in(tmp_path) -> None:
    async with Engines(shared_model_files(), lanes=1) as pool:
        question = payload_of([("user", "Tell a very long story about a harbour.")], temperature=0.0, max_tokens=200)
        honest = (await pool.run("chat", CHAT_DEFAULT, question, limit_s=LIMIT_S)).manifest
        text, half = honest["text"], beginning(honest["text"], 2)
        assert STRETCH_BYTES * 3 / 2 < half < len(text.encode()) - 100
        changed = text.encode()[:half].decode() + " " + INVENTED

        async def gap(claimed: str, begin: int) -> float:
            stretch = {"text": claimed, "finish": "length", "begin": begin, "tokens": STRETCH_TOKENS}
            payload = Payload({**question.manifest, "replay": stretch})
            CHAT.check(payload)
            found = (await pool.run("chat", CHAT_DEFAULT, payload, limit_s=LIMIT_S)).manifest["replayed"]
            assert found["tokens"] <= STRETCH_TOKENS
            return float(found["gap_max"])

        assert await gap(text, 0) < 1
        assert await gap(text, half) < 1
        assert await gap(changed, 0) < 1, "what was put in later is not seen from there"
        assert await gap(changed, half) > 2
