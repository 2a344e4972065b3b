"""Every command of the command line takes --json and is in docs/cli.md."""

import re
from collections.abc import Iterator

import pytest
import typer.main

from mesh.cli.asking import Asked
from mesh.cli.main import app, perform
from shape.sources import ROOT, sources


def commands() -> Iterator[tuple[str, set[str]]]:
    """Every command with its options."""
    top = typer.main.get_command(app)
    for name, command in top.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {"": command})
        for verb, one in inner.items():
            yield f"mesh {name} {verb}".strip(), {option for param in one.params for option in param.opts}


def test_every_command_takes_json() -> None:
    assert [command for command, options in commands() if "--json" not in options] == []


def groups() -> Iterator[str]:
    """The command itself, and every group that does nothing by itself (`mesh serve` does)."""
    yield ""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands") and not command.invoke_without_command:
            yield name


@pytest.mark.parametrize("group", list(groups()))
def test_a_group_without_a_command_says_what_there_is(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(group.split()) in (0, 2)
    said = "".join(capsys.readouterr())
    assert said.startswith(f"Usage: {' '.join(['mesh', *group.split()])} [OPTIONS]") and "\nCommands:\n" in said, said


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [command for command, _ in commands() if f"`{command}" not in page] == []


def test_every_job_is_asked_with_the_same_options() -> None:
    shared = {f"--{name.replace('_', '-')}" for name in Asked._fields}
    jobs = {command: options for command, options in commands() if command.startswith("mesh run ")}
    assert jobs.keys() >= {"mesh run embeddings", "mesh run ocr", "mesh run chat"}
    assert {command: shared - options for command, options in jobs.items() if shared - options} == {}


MENTIONED = re.compile(r"`mesh ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?[^`]*`")


def test_no_text_names_a_command_that_does_not_exist() -> None:
    known = {command for command, _ in commands()}
    listed = set(known)
    known |= {command.rpartition(" ")[0] for command in known}  # a noun alone
    texts = {source.name: source.text for source in sources()}
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    texts.update({page.name: page.read_text(encoding="utf-8") for page in pages})
    programs = {command for command in known if command.count(" ") == 1 and command in listed}
    wrong = [
        f"{name}: {match[0]}"
        for name, text in texts.items()
        for match in MENTIONED.finditer(text)
        if (f"mesh {match[1]} {match[2]}" if match[2] else f"mesh {match[1]}") not in known
        and (f"mesh {match[1]}" not in programs)
    ]
    assert wrong == []
