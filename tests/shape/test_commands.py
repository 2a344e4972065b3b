"""Every command of the command line takes --json and is in docs/cli.md."""

from collections.abc import Iterator

import typer.main

from mesh.cli.main import app
from shape.sources import ROOT


def commands() -> Iterator[tuple[str, set[str]]]:
    """Every command with its options."""
    top = typer.main.get_command(app)
    for name, command in top.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {"": command})
        for verb, one in inner.items():
            yield f"mesh {name} {verb}".strip(), {option for param in one.params for option in param.opts}


def test_every_command_takes_json() -> None:
    assert [command for command, options in commands() if "--json" not in options] == []


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [command for command, _ in commands() if f"`{command}" not in page] == []
