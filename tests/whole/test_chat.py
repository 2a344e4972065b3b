"""`mesh run chat` between two people, with the real model: words as they come, pay by count, all ways to break it."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import msgspec
import openai
import psutil
import pytest

from foreign import python_clients, told_by_python
from mesh.cli.programs import MESH
from mesh.cli.stage import Player
from mesh.workloads.catalogue import BUILTIN, CHAT_DEFAULT
from modelfolder import shared_model_files
from whole.network import Network, a_network, eventually, give_model
from whole.test_faults import kill_agent

PER_KB = 160_000  # micro-credits
STORY = "Tell a very long story about a harbour, with many people in it."
LIMIT_S = 100.0
HARBOUR = "What is a harbour?"
OPENAI_ASK: dict[str, Any] = {
    "model": "mesh/auto",
    "messages": [{"role": "user", "content": HARBOUR}],
    "max_tokens": 24,
    "temperature": 0,
}
WET = {"type": "object", "properties": {"wet": {"type": "boolean"}}, "required": ["wet"]}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("chat")) as made:
        ben = made.person("ben")
        made.join(made.ada)
        made.join(ben)
        give_model(ben)
        give_model(ben, "chat")
        made.stage.at_once(lambda: made.up(made.ada, "--only-ask"), lambda: made.up(ben))
        made.ready("ben")
        yield made


class Asking:
    """A chat that a player asks in a process of its own; its lines are read one by one."""

    def __init__(self, player: Player, message: str, *options: str) -> None:
        command = [*MESH, "run", "chat", "--message", message, "--json", *options]
        self.process = subprocess.Popen(
            command, env=player.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.lines: list[dict[str, Any]] = []

    def __enter__(self) -> "Asking":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait(LIMIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def until(self, event: str, times: int = 1) -> dict[str, Any]:
        """Read on until an event has come so often."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            times -= self.lines[-1].get("event") == event
            if times == 0:
                return self.lines[-1]
        raise AssertionError(f"no {event} came: {self.lines[-3:]}")

    def rest(self) -> int:
        """Read to the end; returns the exit code."""
        assert self.process.stdout is not None
        self.lines += [json.loads(line) for line in self.process.stdout]
        return self.process.wait(LIMIT_S)

    @property
    def text(self) -> str:
        return "".join(line["text"] for line in self.lines if line.get("event") == "text")


def charged(network: Network, job: str) -> int | None:
    """What Ada paid for a job, once it is settled."""
    me = next(one["member"] for one in network.ada.mesh("members", "list")["members"] if one["name"] == "Ada")
    lines = network.ada.mesh("ledger", "show")["lines"]
    paid = [-one["amount"] for one in lines if one["job"] == job and one["member"] == me]
    return sum(paid) if paid else None


def cost(question: str, answer: str) -> int:
    size = len(question.encode()) + len(answer.encode())
    return -(-size * PER_KB // 1000)


def word_of(text: str) -> str:
    """A word from the middle of an answer, that an answer is to stop before."""
    return text.split()[5]


def engine_of(network: Network, name: str) -> psutil.Process:
    """The process of somebody's chat engine: the newest, since it was loaded last."""
    agent = psutil.Process(network.agents[name].process.pid)
    return max(
        (one for one in agent.children(recursive=True) if "mesh.workloads.child" in one.cmdline()),
        key=lambda one: float(one.create_time()),
    )


def test_the_words_come_one_by_one_and_the_last_line_says_what_it_was(network: Network) -> None:
    with Asking(
        network.ada, "What is a harbour?", "--max-tokens", "30", "--seed", "1", "--system", "Be brief."
    ) as chat:
        begun = chat.until("begun")
        assert chat.rest() == 0
        done = chat.lines[-1]
        assert [line["event"] for line in chat.lines] == ["begun", *["text"] * (len(chat.lines) - 2), "done"]
        assert len(chat.lines) > 8
        assert chat.text == done["text"] != ""
        question = "Be brief." + "What is a harbour?"
        assert begun["estimate"] == cost(question, "x" * 30 * 6)
        assert (done["device"], done["path"]) == (network.devices["ben"], "direct")
        assert done["charge"] == cost(question, done["text"])
        assert done["usage"]["completion_tokens"] <= 30
        assert eventually(lambda: charged(network, done["job"]), "the job is settled") == done["charge"]


def test_what_it_costs_is_said_before_and_whom_it_needs_is_asked_for(network: Network) -> None:
    asked = ("run", "chat", "--message", "Say hello.", "--max-tokens", "12")
    found = network.ada.mesh(*asked, "--estimate")
    assert (found["device"], found["cost"]) == (network.devices["ben"], cost("Say hello.", "x" * 12 * 6))
    needy = network.ada.attempt(*asked, "--memory", "1000GiB")
    assert needy.exit_code == 4
    assert {(one["device"], one["gate"]) for one in needy.value["error"]["facts"]["gates"]} >= {
        (network.devices["ben"], "memory")
    }


def test_people_see_the_text_alone_on_stdout(network: Network) -> None:
    shown = subprocess.run(
        [*MESH, "run", "chat", "--message", "Say hello.", "--max-tokens", "12"],
        env=network.ada.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip()
    assert "It costs at most" in shown.stderr
    assert "credits" in shown.stderr and "credits" not in shown.stdout


def test_an_engine_that_is_killed_breaks_the_stream_in_band_and_pays_what_was_counted(network: Network) -> None:
    alone = ("--route", "local")  # the first job of its kind: what is owed for it does not wait for a series to end
    with Asking(network.ada, STORY, "--max-tokens", "2000", *alone) as chat:
        begun = chat.until("begun")
        chat.until("text", times=60)  # more than a beat: something was counted
        engine_of(network, "ben").kill()
        assert chat.rest() == 1
        error = chat.lines[-1]["error"]
        assert error["code"] == "stream.broken"
        assert error["facts"]["cause"] == "engine.crashed"
        assert error["facts"]["bytes"] == len(chat.text.encode())
        paid = eventually(lambda: charged(network, begun["job"]), "the cut stream is paid", timeout_s=60)
        assert 0 < paid <= cost(STORY, chat.text)
    with Asking(network.ada, "Say hello.", "--max-tokens", "4") as again:
        assert again.rest() == 0, "the next chat finds a new process"


def test_a_chat_that_is_stopped_by_its_asker_stops_the_engine_and_pays_what_came(network: Network) -> None:
    with Asking(network.ada, STORY, "--max-tokens", "2000") as chat:
        begun = chat.until("begun")
        chat.until("text", times=10)
        chat.process.terminate()
        chat.process.wait(LIMIT_S)
        eventually(
            lambda: network.ben.mesh("status")["agent"].get("jobs_here", 0) == 0, "the engine was told", timeout_s=60
        )
        paid = eventually(lambda: charged(network, begun["job"]), "what came is paid", timeout_s=60)
        assert cost(STORY, "") < paid < cost(STORY, "x" * 2000 * 6)
        assert network.ada.mesh("ledger", "verify")["ok"]


@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        (("--message", ""), "input.chat_empty", 2),
        (("--message", "x", "--temperature", "9"), "input.chat_setting", 2),
        (("--message", "x", "--max-tokens", "0"), "input.chat_setting", 2),
        (("--message", "7" * 4_500, "--max-tokens", "4"), "input.chat_too_long", 2),
        (("--message", "x", "--model", "no-such-model"), "placement.nowhere", 4),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_reason(
    network: Network, options: tuple[str, ...], code: str, exit_code: int
) -> None:
    refused = network.ada.attempt("run", "chat", *options)
    assert (refused.value["error"]["code"], refused.exit_code) == (code, exit_code)


def test_openais_client_chats_with_the_real_model_unchanged(network: Network) -> None:
    here = network.agents["ada"].ready
    with openai.OpenAI(base_url=f"{here['gateway']}/v1", api_key=here["key"], max_retries=0) as client:

        def ask(**more: Any) -> Any:
            return client.chat.completions.create(**{**OPENAI_ASK, **more})

        raw = client.chat.completions.with_raw_response.create(**OPENAI_ASK)
        whole = raw.parse()
        text = whole.choices[0].message.content
        assert raw.headers["x-mesh-device"] == network.devices["ben"]
        assert int(raw.headers["x-mesh-charge"]) == cost(HARBOUR, text)
        assert (whole.usage.completion_tokens, whole.choices[0].finish_reason) == (24, "length")
        chunks = list(ask(stream=True, stream_options={"include_usage": True}))
        pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
        assert "".join(pieces) == text and len(pieces) > 1
        usage = whole.usage.model_dump()
        assert chunks[-1].usage.model_dump() == usage and usage["prompt_tokens"] > 5
        stopped = ask(stop=[word_of(text)]).choices[0]
        assert (stopped.message.content, stopped.finish_reason) == (text.split(word_of(text))[0], "stop")
        strict = {"type": "json_schema", "json_schema": {"name": "wet", "schema": WET}}
        assert set(json.loads(ask(response_format=strict, max_tokens=60).choices[0].message.content)) == {"wet"}
        loose = ask(response_format={"type": "json_object"}, max_tokens=40).choices[0].message.content
        assert loose.lstrip().startswith("{")
        said = client.responses.create(model="mesh/auto", input=HARBOUR, temperature=0, max_output_tokens=24)
        assert said.output_text == text
        continued = client.completions.create(model="mesh/auto", prompt="One, two, three,", max_tokens=8, temperature=0)
        assert continued.choices[0].text and continued.usage.completion_tokens <= 8
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError) as refused:
                ask(messages=[{"role": "user", "content": "7" * 4_500}], stream=stream)
            assert (refused.value.status_code, refused.value.code) == (413, "input.chat_too_long")


@pytest.mark.timeout(600)  # a first time installs it
def test_ollamas_client_chats_with_the_real_model_unchanged(network: Network) -> None:
    here = network.agents["ada"].ready
    with openai.OpenAI(base_url=f"{here['gateway']}/v1", api_key=here["key"], max_retries=0) as client:
        text = client.chat.completions.create(**OPENAI_ASK).choices[0].message.content
    assert text is not None
    stop = word_of(text)

    async def told() -> Any:
        environment = {"URL": here["gateway"], "KEY": here["key"], "STOP": stop}
        return await told_by_python("ollama_python_real.py", await python_clients(), 300.0, **environment)

    ollama = asyncio.run(told())
    assert [ollama[how] for how in ("whole", "streamed", "generated", "lines")] == [text] * 4
    assert ollama["pieces"] > 2
    assert {(one["done"], one["reason"], one["made"]) for one in ollama["counts"]} == {(True, "length", 24)}
    assert ollama["stopped"] == [text.split(stop)[0], "stop"]
    assert set(json.loads(ollama["json"])) == {"wet"}
    assert 0 < ollama["trimmed"]["asked"] < 4096, "the oldest messages were left out"
    status, words = ollama["refused"]
    assert status == 413 and "this model's window has room for 4,096" in words


def test_a_model_of_ones_own_is_used_without_a_restart_and_a_wrong_entry_beside_it_is_told(network: Network) -> None:
    entry = BUILTIN.entry("chat", CHAT_DEFAULT)
    file = {
        **msgspec.to_builtins(entry.files[0]),
        "sources": [{"uri": f"file:{shared_model_files().path(entry.files[0])}"}],
    }
    own = {**msgspec.to_builtins(entry), "id": "own-1024", "settings": {"context_tokens": 1024}, "files": [file]}
    catalogue = network.ben.home / "catalogue.json"
    catalogue.write_text(json.dumps([{**own, "id": "own-wrong", "licence": 7}, own], indent=1))
    wrong = network.ben.mesh("models", "list")["wrong"]
    assert [(one["line"], one["model"], one["field"]) for one in wrong] == [(2, "own-wrong", "licence")]
    refused = network.ben.attempt("models", "pull", "own-wrong")
    assert (refused.exit_code, refused.value["error"]["code"]) == (2, "model.bad_entry")
    assert network.ben.mesh("models", "pull", "own-1024")["offered"]
    with Asking(network.ada, HARBOUR, "--max-tokens", "12", "--model", "own-1024") as chat:
        assert chat.rest() == 0
        assert (chat.lines[-1]["model"], chat.lines[-1]["device"]) == ("own-1024", network.devices["ben"])
    asked = {"model": "own-1024", "messages": OPENAI_ASK["messages"], "max_tokens": 12}
    ready = network.agents["ben"].ready
    listed = httpx2.get(
        f"{ready['gateway']}/v1/models", headers={"authorization": f"Bearer {ready['key']}"}, timeout=LIMIT_S
    ).json()["data"]
    told = {one["id"]: (one.get("licence"), one.get("size_bytes")) for one in listed}
    assert told["own-1024"] == ("Apache-2.0", entry.size_bytes)
    answer = httpx2.post(
        f"{network.agents['ada'].ready['gateway']}/v1/chat/completions",
        headers={"authorization": f"Bearer {network.agents['ada'].ready['key']}"},
        json=asked,
        timeout=LIMIT_S,
    )
    assert (answer.status_code, answer.headers["x-mesh-device"]) == (200, network.devices["ben"])
    assert answer.json()["usage"]["completion_tokens"] > 0
    assert network.ben.mesh("status")["agent"]["wrong_models"][0].startswith("line 2, model own-wrong, licence: ")
    found = network.ben.attempt("doctor").value["findings"]
    assert [one["code"] for one in found if one["level"] == "problem"] == ["catalogue.wrong"]


def test_a_worker_that_is_killed_in_the_middle_ends_the_stream_in_band(network: Network) -> None:
    with Asking(network.ada, STORY, "--max-tokens", "2000") as chat:
        chat.until("text", times=10)
        agent = psutil.Process(network.agents["ben"].process.pid)
        for process in [agent, *agent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert chat.rest() == 1
        assert chat.lines[-1]["error"]["code"] == "stream.broken"
        assert chat.text


def test_a_catalogue_that_is_none_keeps_no_agent_from_starting(network: Network) -> None:
    (network.ben.home / "catalogue.json").write_text("[{")
    network.up(network.ben)
    network.ready("ben")
    assert len(network.ben.mesh("status")["agent"]["wrong_models"]) == 1


def test_with_resume_another_device_goes_on_when_the_one_that_speaks_is_killed(network: Network) -> None:
    cleo = network.person("cleo")
    network.join(cleo)
    give_model(cleo)
    give_model(cleo, "chat")
    if network.agents["ben"].process.poll() is not None:  # by the test before
        network.up(network.ben)
    network.up(cleo)
    network.ready("ben", "cleo")
    for name in ("ben", "cleo"):  # both have shown how fast they are, so that each may do the rest in time
        with Asking(network.ada, "Say hello.", "--max-tokens", "4", "--device", network.devices[name]) as chat:
            assert chat.rest() == 0
    with Asking(network.ada, STORY, "--max-tokens", "400", "--resume") as chat:
        begun = chat.until("begun")
        chat.until("text", times=10)
        (speaks,) = [name for name, device in network.devices.items() if device == begun["device"]]
        (other,) = {"ben", "cleo"} - {speaks}
        kill_agent(network.agents[speaks])
        assert chat.rest() == 0
        done = chat.lines[-1]
        (joined,) = [line for line in chat.lines if line.get("event") == "joined"]
        assert (joined["device"], joined["after"]) == (network.devices[other], begun["job"])
        assert (done["job"], done["device"], len(done["joined"])) == (joined["job"], joined["device"], 1)
        before = "".join(line["text"] for line in chat.lines[: chat.lines.index(joined)] if line["event"] == "text")
        assert joined["at"] == len(before) < len(chat.text)
        assert done["text"] == chat.text, "what was said before stays"
        assert joined["charge"] == cost(STORY, before)
        assert done["charge"] == joined["charge"] + cost(STORY + before, chat.text[len(before) :])
        rest = eventually(lambda: charged(network, done["job"]), "the rest is paid", timeout_s=60)
        assert rest == done["charge"] - joined["charge"]
        first = network.ada.mesh("job", "show", begun["job"])
        assert first["code"] == "stream.broken"
        assert network.ada.mesh("ledger", "verify")["ok"]


def test_an_answer_in_json_that_is_to_go_on_elsewhere_is_refused(network: Network) -> None:
    form = network.ada.home / "form.json"
    form.write_text(json.dumps(WET))
    refused = network.ada.attempt("run", "chat", "--message", "Is water wet?", "--schema", str(form), "--resume")
    assert (refused.value["error"]["code"], refused.exit_code) == ("stream.cannot_resume", 2)
