"""Two people, two devices: jobs travel, are explained, and are paid for."""

import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from mesh.cli.output import INTERRUPTED
from mesh.cli.programs import MESH
from mesh.cli.stage import cosine
from whole.network import Network, a_network, eventually

TEXTS = ("The train was late again.", "Once more the train did not come on time.", "Peel the potatoes first.")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("two")) as made:
        ben = made.person("ben")
        made.join(made.ada)
        made.join(ben)
        made.stage.at_once(lambda: made.up(made.ada), lambda: made.up(ben))
        made.ready("ada", "ben")
        yield made


def settled(network: Network, job: str) -> dict[str, int]:
    """The ledger lines of a job by whose they are, once it is settled."""

    def lines() -> dict[str, int]:
        listed = network.ada.mesh("ledger", "show")["lines"]
        return {one["member"] or one["account"]: one["amount"] for one in listed if one["job"] == job}

    return eventually(lines, "the job is settled")


def test_a_job_travels_and_is_paid_for(network: Network) -> None:
    ran = network.embed(network.ada, *TEXTS, on="ben")
    assert ran["device"] == network.devices["ben"]
    assert ran["path"] == "direct"
    vectors = ran["embeddings"]
    assert [len(vector) for vector in vectors] == [384] * 3
    assert cosine(vectors[0], vectors[1]) > 0.6 > 0.3 > cosine(vectors[0], vectors[2])

    size = sum(len(text.encode()) for text in TEXTS)
    assert ran["units"] == size and ran["charge"] == -(-size * 3700 // 1000), "the tariff: 3,700 micro-credits per kB"
    lines = settled(network, ran["job"])
    people = {one["name"]: one["member"] for one in network.ada.mesh("members", "list")["members"]}
    fee = ran["charge"] * 5 // 100
    assert lines == {people["Ada"]: -ran["charge"], people["Ben"]: ran["charge"] - fee, "verification": fee}
    assert network.ada.mesh("ledger", "verify")["ok"]


def test_the_explanation_says_who_could_and_sums_up(network: Network) -> None:
    ran = network.embed(network.ada, "Why there?", on="ben")

    def recorded() -> dict[str, object]:
        why = network.ada.mesh("job", "why", ran["job"])
        return why if why["attempts"] else {}

    why = eventually(recorded, "the job is recorded")
    assert why["chosen"] == network.devices["ben"]
    refused = [gate for gate in why["gates"] if not gate["passed"]]
    assert [(gate["device"], gate["gate"]) for gate in refused] == [(network.devices["ada"], "routing")]
    for score in why["scores"]:
        assert sum(score["terms"].values()) == score["total"]
    assert [(one["attempt"], one["worker"]) for one in why["attempts"]] == [(1, network.devices["ben"])]


def test_the_price_is_said_before_it_runs(network: Network, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ("run", "embeddings", "--text", "a text of a certain length", "--device", network.devices["ben"])
    before = network.ada.mesh("job", "list")["jobs"]
    said = network.ada.mesh(*asked, "--estimate")
    assert (said["device"], said["cost"]) == (network.devices["ben"], -(-26 * 3700 // 1000))
    assert network.ada.mesh("job", "list")["jobs"] == before, "an estimate runs nothing"
    network.ada.show(*asked)
    words = capfd.readouterr()
    assert "Best now: ben-laptop. It costs at most" in words.err and "Worked on by ben-laptop" in words.out


def test_people_read_why_in_plain_words(network: Network, capfd: pytest.CaptureFixture[str]) -> None:
    ran = network.embed(network.ada, "Why there, in words?", on="ben")
    eventually(lambda: network.ada.attempt("job", "why", ran["job"]).value.get("attempts"), "the job is recorded")
    network.ada.show("job", "why", ran["job"])
    printed = capfd.readouterr().out
    for words in (
        "ada-laptop   another device was asked for",
        "ben-laptop   yes: it passed every gate",
        "the terms sum to the total",
        "Chosen: ben-laptop.",
        "Attempt 1 on ben-laptop (direct)",
    ):
        assert words in printed, printed


def test_what_placement_weighs_is_shown_and_set(network: Network, capfd: pytest.CaptureFixture[str]) -> None:
    before = network.ada.mesh("net", "settings")
    changed = network.ada.mesh(
        "net", "settings", "--weight", "seconds=0.4", "--weight", "rtt=0.25", "--permits-per-member", "9"
    )
    assert (changed["weights"]["seconds"], changed["permits_per_member"]) == (0.4, 9)
    network.ben.show("net", "settings")
    printed = capfd.readouterr().out
    assert "expected seconds to the first result" in printed and "may have 9 permits open at a time" in printed
    for wrong, code in (
        ("seconds=0.9", "network.bad_weights"),
        ("seconds", "usage.weight"),
        ("rtt=nan", "usage.weight"),
    ):
        assert network.ada.attempt("net", "settings", "--weight", wrong).value["error"]["code"] == code
    assert network.ben.attempt("net", "settings", "--permits-per-member", "1").exit_code == 3
    restored = network.ada.mesh(
        "net", "settings", "--weight", "seconds=0.5", "--weight", "rtt=0.15", "--permits-per-member", "0"
    )
    assert restored == before


def test_a_policy_is_tried_saved_and_explained(network: Network, capfd: pytest.CaptureFixture[str]) -> None:
    ada, path = network.ada, network.stage.folder / "policy.yaml"
    ada.show("policy", "show")
    text = capfd.readouterr().out
    assert text.startswith("# policy version 0\n")
    path.write_text(text.replace("sensitivity: [public, private]", "sensitivity: public"), encoding="utf-8")
    refused = ada.attempt("policy", "set", str(path))
    assert refused.value["error"]["code"] == "policy.tests_fail" and "members share" in refused.said
    path.write_text(
        "\n".join(["# policy version 0", "grants:", "- {name: scans, workload: ocr}", ""]), encoding="utf-8"
    )
    ada.show("policy", "test", str(path))
    printed = capfd.readouterr().out
    assert "Everybody may run ocr on any device." in printed
    assert "- Ada would no longer run embeddings on private data on ben-laptop" in printed
    assert ada.mesh("policy", "set", str(path), "--note", "an experiment")["version"] == 1
    there = ("--device", network.devices["ben"], "--limit", "8m")
    outcome = ada.attempt("run", "embeddings", "--text", "x", *there)
    assert (outcome.exit_code, outcome.value["error"]["code"]) == (4, "placement.nowhere")
    assert "ben-laptop: the network's rules do not allow it" in outcome.said
    assert ada.attempt("policy", "set", str(path)).value["error"]["code"] == "policy.stale"
    [said] = network.ben.mesh("policy", "why", "--member", "Ada", "--device", "ben-laptop")["decisions"]
    assert not said["allowed"] and "workload ocr" in said["reason"]
    path.write_text(ada.mesh("policy", "show", "--version", "0")["text"], encoding="utf-8")
    assert ada.mesh("policy", "set", str(path), "--base", "1")["version"] == 2
    assert [one["note"] for one in ada.mesh("policy", "versions")["versions"]] == ["", "an experiment"]
    assert ada.mesh("run", "embeddings", "--text", "x", *there)["device"] == network.devices["ben"]
    assert network.ben.attempt("policy", "set", str(path)).exit_code == 3


def test_ones_own_device_is_free_and_recorded(network: Network) -> None:
    ran = network.embed(network.ada, "My own machine does it.", on="ada")
    assert (ran["path"], ran["charge"], ran["device"]) == ("local", 0, network.devices["ada"])

    def recorded() -> list[dict[str, object]]:
        return [one for one in network.ada.mesh("job", "list")["jobs"] if one["job"] == ran["job"] and one["own"]]

    assert eventually(recorded, "own work is recorded")[0]["charge"] == 0


def test_people_see_words_and_programs_see_json(network: Network) -> None:
    shown = subprocess.run(
        (*MESH, "run", "embeddings", "--text", "one", "--text", "two"),
        env=network.ada.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 0 and "mesh job why" in shown.stdout and "0." in shown.stdout
    listed = subprocess.run(
        (*MESH, "device", "list"), env=network.ben.environment, capture_output=True, text=True, timeout=60
    )
    assert "ben-laptop" in listed.stdout and "Ada" in listed.stdout


def test_ben_sees_his_own_jobs_and_lines_only(network: Network) -> None:
    network.embed(network.ada, "not Ben's", on="ada")
    assert network.ben.mesh("job", "list")["jobs"] == []
    people = {one["name"]: one["member"] for one in network.ada.mesh("members", "list")["members"]}
    assert {one["member"] for one in network.ben.mesh("ledger", "show")["lines"]} <= {people["Ben"]}


def test_a_ping_names_its_path(network: Network) -> None:
    outcome = network.ada.attempt("ping", "ben-laptop", "--count", "3")
    assert [one["number"] for one in outcome.objects] == [1, 2, 3]
    assert {one["path"] for one in outcome.objects} == {"direct"}
    assert all(0 < one["rtt_ms"] < 1000 for one in outcome.objects)


def test_status_says_how_this_machine_is(network: Network) -> None:
    status = network.ada.mesh("status")
    assert status["running"] and status["agent"]["link"] == "up" and status["person"] == "Ada"
    assert "ben-laptop" in {peer["name"] for peer in status["peers"]}
    assert "key" not in status["agent"]


def test_a_paused_device_takes_nobody_elses_jobs(network: Network) -> None:
    network.ben.mesh("pause")
    try:
        eventually(lambda: _refused(network), "the coordinator hears of the pause")
        there = ("--device", network.devices["ben"], "--limit", "9m")  # a kind of its own: no series is open for it
        outcome = network.ada.attempt("run", "embeddings", "--text", "x", *there)
        assert outcome.exit_code == 4
        facts = outcome.value["error"]["facts"]
        failed = [gate["gate"] for gate in facts["gates"] if gate["device"] == network.devices["ben"]]
        assert {"state", "contribution"} & set(failed), "the gate is named"
        assert "ben-laptop: it is paused" in outcome.said, "people see the device's name and what keeps it away"
        waiting = looking_on(network, "--text", "waits", *there, "--wait")
        waiting.process.send_signal(signal.SIGINT)
        assert waiting.end() == INTERRUPTED
        assert "No longer waiting" in waiting.said()
        patient = looking_on(network, "--text", "waits", *there, "--wait")
    finally:
        network.ben.mesh("resume")
    network.ready("ben")
    assert patient.end() == 0, "it went on by itself"
    assert "Worked on by ben-laptop" in patient.said()


class Looking:
    """A command whose words a person would see."""

    def __init__(self, network: Network, *arguments: str) -> None:
        self.process = subprocess.Popen(
            (*MESH, "run", "embeddings", *arguments),
            env=network.ada.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self._lines.extend(line.decode() for line in output)

    def said(self) -> str:
        return "".join(self._lines)

    def end(self) -> int:
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"it goes on, and has said: {self.said()}")
        self._reader.join(10)
        return code


def looking_on(network: Network, *arguments: str) -> Looking:
    """A command that waits and has said why."""
    looking = Looking(network, *arguments)
    eventually(lambda: "ben-laptop: it is paused" in looking.said(), "the command says why it waits")
    return looking


def _refused(network: Network) -> bool:
    listed = network.ada.mesh("device", "list")["devices"]
    return any(one["device"] == network.devices["ben"] and one["state"] == "paused" for one in listed)


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        ((), "input.empty", 2),
        (("--text", "   "), "input.empty", 2),
        (("--text", "x" * 20_000), "input.text_too_long", 2),
        (("--text", "a\udcff"), "input.not_utf8", 2),
        (("--text", "x", "--route", "tier:9"), "usage.route", 2),
        (("--text", "x", "--device", "nobody"), "device.unknown", 1),
        (("--text", "x", "--file", "/does/not/exist"), "input.file_unreadable", 2),
        (("--text", "x", "--limit", "0s"), "jobs.bad_spec", 2),
        (("--text", "x", "--limit", "soon"), "usage.span", 2),
        (("--text", "x", "--memory", "lots"), "usage.memory", 2),
        (("--text", "x", "--memory", "999999TiB"), "jobs.bad_spec", 2),
        (("--text", "x", "--tier", "9"), "usage.invalid", 2),
        (("--text", "x", "--tier", "4"), "placement.nowhere", 4),
        (("--text", "x", "--gpu", "--estimate"), "placement.nowhere", 4),
        (("--text", "x", "--tag", "nowhere"), "placement.nowhere", 4),
        (("--text", "a text that costs more than that", "--max-cost", "1"), "placement.nowhere", 4),
    ],
)
def test_bad_requests_say_what_is_wrong(
    network: Network, arguments: tuple[str, ...], code: str, exit_code: int
) -> None:
    where = () if "--device" in arguments or "--route" in arguments else ("--device", network.devices["ben"])
    outcome = network.ada.attempt("run", "embeddings", *arguments, *where)
    assert (outcome.value["error"]["code"], outcome.exit_code) == (code, exit_code)


def test_a_job_with_nowhere_to_run_is_explained_afterwards_too(network: Network) -> None:
    asked = ("--text", "too dear", "--max-cost", "1", "--device", network.devices["ben"])
    outcome = network.ada.attempt("run", "embeddings", *asked)
    job = outcome.value["error"]["facts"]["job"]

    def explained() -> dict[str, object] | None:
        why = network.ada.attempt("job", "why", job)
        return why.value if why.exit_code == 0 and why.value["gates"] else None

    why = eventually(explained, "the refused job's explanation is reported")
    assert [gate["reason"] for gate in why["gates"] if gate["gate"] == "cost" and not gate["passed"]]  # type: ignore[attr-defined, index]


def test_a_file_that_is_not_utf8_is_named_by_its_line(network: Network) -> None:
    path = network.stage.folder / "latin1.txt"
    path.write_bytes("fine\nna\xefve\n".encode("latin-1"))
    outcome = network.ada.attempt("run", "embeddings", "--file", str(path))
    assert outcome.value["error"]["code"] == "input.not_utf8" and "Line 2" in outcome.said


def test_ten_thousand_texts_come_back_whole(network: Network) -> None:
    path = network.stage.folder / "many.txt"
    path.write_text("".join(f"line {number}\n" for number in range(10_000)), encoding="utf-8")
    ran = network.ada.mesh("run", "embeddings", "--file", str(path), "--device", network.devices["ben"])
    assert len(ran["embeddings"]) == 10_000
    assert len({tuple(vector[:4]) for vector in ran["embeddings"]}) == 10_000, "each text has its own vector"


def test_more_than_ten_thousand_texts_are_too_many(network: Network) -> None:
    path = network.stage.folder / "too-many.txt"
    path.write_text("x\n" * 10_001, encoding="utf-8")
    outcome = network.ada.attempt("run", "embeddings", "--file", str(path))
    assert (outcome.value["error"]["code"], outcome.exit_code) == ("input.too_many_texts", 2)


def test_a_device_without_a_person_may_read(network: Network) -> None:
    attic = network.second_home(network.ada, "attic")
    assert network.devices["ada"] in {one["device"] for one in attic.mesh("device", "list")["devices"]}
    assert attic.attempt("device", "invite").exit_code == 3, "a device's session only reads"


def test_a_command_brings_its_own_requester_where_no_agent_runs(network: Network) -> None:
    quiet = network.second_home(network.ada, "quiet")
    ran = network.embed(quiet, "asked from a machine that runs nothing", on="ada")
    assert ran["device"] == network.devices["ada"] and ran["charge"] == 0
    assert not quiet.mesh("status")["running"], "it left again"


def test_the_whole_suite_of_jobs_adds_up(network: Network) -> None:
    proof = network.ben.mesh("ledger", "verify")
    assert proof["ok"] and proof["total"] == 0
    assert network.leaked(*TEXTS, "Why there?", "a text of a certain length", "asked from a machine") == set()
