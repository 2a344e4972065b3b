"""`mesh run ocr` as people have it: files of several kinds, in order, with what failed named."""

from collections.abc import Iterator

import pytest

from papers import a_page, a_pdf, encoded
from whole.network import Network, QuickStage


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with QuickStage(tmp_path_factory.mktemp("documents")) as stage:
        made = Network(stage)
        made.join(made.ada)
        made.up(made.ada)
        made.ready("ada")
        yield made


def test_documents_are_read_page_by_page(network: Network) -> None:
    home, folder = network.ada, network.stage.folder
    letter, photo, broken = (folder / name for name in ("letter.pdf", "photo.jpg", "broken.png"))
    letter.write_bytes(a_pdf([a_page(["The harbour office"]), a_page(["Seven boxes of paper"])]))
    photo.write_bytes(encoded(a_page(["Good morning"], (1200, 400)), "JPEG"))
    broken.write_bytes(photo.read_bytes()[:200])
    read = home.mesh("run", "ocr", "--image", str(letter), "--image", str(photo))
    assert [(page["file"], page["page"], page["text"]) for page in read["pages"]] == [
        ("letter.pdf", 1, "The harbour office"),
        ("letter.pdf", 2, "Seven boxes of paper"),
        ("photo.jpg", 1, "Good morning"),
    ]
    assert (read["device"], read["path"], read["charge"], read["failed"]) == (network.devices["ada"], "local", 0, 0)
    assert read["text"] == "The harbour office\n\nSeven boxes of paper\n\nGood morning"
    assert read["pages"][0]["lines"][0]["words"][1]["text"] == "harbour"

    found = home.mesh("run", "ocr", "--image", str(letter), "--estimate")
    assert (found["device"], found["cost"]) == (network.devices["ada"], 0)
    needy = home.attempt("run", "ocr", "--image", str(letter), "--memory", "1000GiB", "--wait", "--limit", "0s")
    assert needy.exit_code == 2, "what nobody can wait for is refused at once"
    needy = home.attempt("run", "ocr", "--image", str(letter), "--memory", "1000GiB")
    assert (needy.exit_code, needy.value["error"]["facts"]["gates"][0]["gate"]) == (4, "memory")

    partly = home.attempt("run", "ocr", "--image", str(photo), "--image", str(broken))
    assert (partly.exit_code, partly.value["failed"], partly.value["pages"][1]["error"]["code"]) == (
        1,
        1,
        "input.unreadable",
    )
    assert partly.value["text"] == "Good morning"
    nothing = home.attempt("run", "ocr", "--image", str(broken))
    error = nothing.value["error"]
    assert (nothing.exit_code, error["code"], error["facts"]["file"]) == (2, "input.unreadable", "broken.png")
    assert network.leaked("harbour", "Seven boxes", "Good morning", "letter.pdf", "photo.jpg", "broken.png") == set()
    listed = home.mesh("models", "list")["models"]
    assert {one["workload"] for one in listed if one["present"]} >= {"embeddings", "ocr"}
