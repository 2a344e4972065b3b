"""Documents over kill -9: a worker in the middle of one, and a requester in the middle of a batch of them."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from mesh.cli.programs import MESH
from papers import a_page, a_pdf, encoded
from whole.network import Network, a_network, eventually
from whole.test_faults import kill_agent

PAGES = 6
LIMIT_S = 150.0
LINES = ["the harbour office received seven boxes of paper on Friday"] * 6


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("killed")) as made:
        for player in (made.ada, made.person("ben"), made.person("cara")):
            made.join(player)
        made.stage.at_once(
            lambda: made.up(made.ada, "--only-ask"), lambda: made.up(made.ben), lambda: made.up(made.people["cara"])
        )
        made.ready("ben", "cara")
        yield made


def a_register(pages: int) -> bytes:
    return a_pdf([a_page([f"Register page {number}", *LINES]) for number in range(1, pages + 1)])


def first_lines(pages: list[dict[str, Any]]) -> list[str]:
    return [page["text"].split("\n")[0] for page in pages]


def engines_of(network: Network, name: str) -> set[int]:
    children = psutil.Process(network.agents[name].process.pid).children(recursive=True)
    return {one.pid for one in children if "mesh.workloads.child" in " ".join(one.cmdline())}


def charges(network: Network) -> dict[str, list[int]]:
    """What Ada was charged, by job."""
    me = next(one["member"] for one in network.ada.mesh("members", "list")["members"] if one["name"] == "Ada")
    found: dict[str, list[int]] = {}
    for line in network.ada.mesh("ledger", "show", "--limit", "500")["lines"]:
        if line["member"] == me and line["job"]:
            found.setdefault(line["job"], []).append(-line["amount"])
    return found


@pytest.mark.timeout(300)
def test_pages_of_a_worker_that_is_killed_are_read_elsewhere_and_paid_once(network: Network) -> None:
    source = network.stage.folder / "register.pdf"
    source.write_bytes(a_register(PAGES))
    before = engines_of(network, "ben")
    command = [*MESH, "run", "ocr", "--image", str(source), "--json"]
    reading = subprocess.Popen(command, env=network.ada.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    eventually(lambda: engines_of(network, "ben") - before, "Ben's device begins to read", timeout_s=90)
    kill_agent(network.agents["ben"])
    said, noted = reading.communicate(timeout=LIMIT_S)
    assert reading.returncode == 0, noted.decode()
    read = json.loads(said)
    assert first_lines(read["pages"]) == [f"Register page {number}" for number in range(1, PAGES + 1)]
    assert len({page["job"] for page in read["pages"]}) == PAGES
    ends = [(one["device"], bool(one.get("code"))) for page in read["pages"] for one in page["attempts"]]
    assert (network.devices["ben"], True) in ends, "a page of his was given up"
    assert network.devices["cara"] in {page["device"] for page in read["pages"]}
    wanted = {page["job"]: [page["charge"]] for page in read["pages"]}
    assert all(charge > 0 for [charge] in wanted.values())
    eventually(lambda: charges(network) == wanted, "each page is paid, once", timeout_s=90)
    assert network.ada.mesh("ledger", "verify")["ok"]


@pytest.mark.timeout(300)
def test_a_batch_of_documents_goes_on_after_a_kill_and_every_page_has_its_place(network: Network) -> None:
    folder = network.stage.folder / "scans"
    folder.mkdir()
    (folder / "letter.pdf").write_bytes(a_register(PAGES))
    (folder / "photo.jpg").write_bytes(encoded(a_page(["Good morning"], (1200, 400)), "JPEG"))
    (folder / "broken.png").write_bytes(b"no picture")
    earlier = charges(network)
    batch = network.ada.mesh("batch", "submit", str(folder), "--workload", "ocr")
    assert batch["lines"] == PAGES + 2
    name = batch["batch"]
    eventually(lambda: network.ada.mesh("batch", "show", name)["ok"] >= 1, "a page is read", timeout_s=90)
    kill_agent(network.agents["ada"])
    network.up(network.ada, "--only-ask")
    waited = network.ada.attempt("batch", "show", name, "--wait")
    assert (waited.exit_code, waited.value["ok"], waited.value["failed"]) == (1, PAGES + 1, 1)
    shown = subprocess.run(
        [*MESH, "batch", "results", name, "--json"], env=network.ada.environment, capture_output=True, timeout=LIMIT_S
    )
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [line["id"] for line in lines] == [
        "broken.png", *(f"letter.pdf:{number}" for number in range(1, PAGES + 1)), "photo.jpg"
    ]  # fmt: skip
    assert lines[0]["error"]["code"] == "batch.bad_line" and "broken.png" in lines[0]["error"]["message"]
    expected = [*(f"Register page {number}" for number in range(1, PAGES + 1)), "Good morning"]
    assert first_lines(lines[1:]) == expected
    assert lines[1]["lines"][0]["words"][0]["text"] == "Register" and lines[1]["confidence"] > 0.5
    paid = Counter({job: sum(amounts) for job, amounts in earlier.items()})
    paid.update({line["job"]: line["charge"] for line in lines[1:]})
    eventually(
        lambda: {job: sum(amounts) for job, amounts in charges(network).items()} == dict(paid),
        "each page is paid, once",
        timeout_s=90,
    )


def test_documents_of_a_batch_are_named_by_lines_too_and_wrong_ones_are_told(network: Network) -> None:
    page = network.stage.folder / "note.png"
    page.write_bytes(encoded(a_page(["Good evening"], (1200, 400)), "PNG"))
    named = network.stage.folder / "list.jsonl"
    named.write_text(json.dumps({"id": "note", "file": str(page)}) + '\n{"id": "odd", "text": 7}\n')
    done = network.ada.attempt("batch", "submit", str(named), "--workload", "ocr", "--wait")
    assert (done.exit_code, done.value["ok"], done.value["failed"]) == (1, 1, 1)
    nothing = network.ada.attempt("batch", "submit", str(network.stage.folder / "none.pdf"), "--workload", "ocr")
    assert (nothing.exit_code, nothing.value["error"]["code"]) == (2, "input.file_unreadable")
    empty = network.stage.folder / "empty"
    empty.mkdir()
    refused = network.ada.attempt("batch", "submit", str(empty), "--workload", "ocr")
    assert (refused.exit_code, refused.value["error"]["code"]) == (2, "batch.empty")
