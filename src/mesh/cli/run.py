"""`mesh run`: run a job on the best device that may do it.

Touches: files (input), the agent's control socket, processes (a requester for one command, where no agent runs).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import asking, here
from mesh.cli.agent import agent_for
from mesh.cli.output import Json, Out, foreign, table
from mesh.errors import MeshError
from mesh.units import credits_text

if TYPE_CHECKING:
    from mesh.sdk.control import Ran

app = typer.Typer(help="Run a job: embeddings, ocr, chat.", no_args_is_help=True)
SIMILARITIES_MAX = 8
"""More texts than this make a table that nobody reads; --json has the vectors."""


class NoSuchFile(MeshError):
    """This file cannot be read. Check its name and your right to read it."""

    code = "input.file_unreadable"
    kind = "invalid"


@app.command()
@asking.takes_options
def embeddings(
    text: Annotated[list[str] | None, typer.Option("--text", help="A text; give it as often as you like.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A UTF-8 file with a text per line.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Another model than the default.")] = None,
    options: asking.Asked = asking.Asked(),
    json: Json = False,
) -> None:
    """Turn texts into vectors, for search and comparison."""
    from mesh.sdk import control
    from mesh.workloads.contract import Payload
    from mesh.workloads.embeddings import Embeddings, payload_of, vectors_of

    out, place = Out(json), here.home()
    payload = payload_of([*(text or []), *(lines_of(file) if file else [])])
    Embeddings().check(payload)
    with agent_for(place, out):
        request = control.Run("embeddings", payload.manifest, model=model, **options.fields(place))
        if options.estimate:
            asking.show_estimate(place, asking.estimate(place, request), out)
            return
        *_, ran = asking.perform(place, request, out, "embeddings")
        assert isinstance(ran, control.Ran)
        names = {} if json else asking.names_of(place)
    vectors = vectors_of(Payload(ran.manifest, ran.blobs))
    value = {
        "job": ran.job,
        "device": ran.device,
        "path": ran.path,
        "charge": ran.charge,
        "units": ran.units,
        "model": ran.model,
        "attempts": ran.attempts,
        "parts": ran.parts,
        "embeddings": vectors,
    }
    out.result(value, lambda: _show(payload.manifest["texts"], vectors, ran, names))


def lines_of(file: Path) -> list[str]:
    """The texts of a file, one per line; empty lines are skipped. Raises NoSuchFile, InputTooLarge, NotUtf8."""
    from mesh.workloads.embeddings import INPUT_BYTES_MAX, InputTooLarge, NotUtf8

    try:
        with file.open("rb") as opened:
            content = opened.read(INPUT_BYTES_MAX * 2 + 1)  # twice: line ends and empty lines are not input
    except OSError as error:
        raise NoSuchFile(
            f"{file} cannot be read: {error.strerror}. Check its name and your right to read it."
        ) from error
    if len(content) > INPUT_BYTES_MAX * 2:
        raise InputTooLarge(limit=INPUT_BYTES_MAX)
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotUtf8(
            f"Line {line} of {file} is not UTF-8. Save the file as UTF-8, or convert it (iconv), and send it again.",
            line=line,
        ) from error
    return [line for line in decoded.split("\n") if line.strip()]


def _show(texts: list[str], vectors: list[list[float]], ran: "Ran", names: dict[str, str]) -> None:
    cost = f"{credits_text(ran.charge)} credits" if ran.charge else "nothing"
    print(f"{len(vectors)} vectors of {len(vectors[0])} numbers from {foreign(ran.model)}.")
    where = dict.fromkeys((part.device, part.path) for part in ran.parts or (ran,))
    told = ", ".join(f"{foreign(names.get(device, device))} ({path})" for device, path in where)
    jobs = f" as {len(ran.parts)} jobs" if ran.parts else ""
    print(f"Worked on by {told}{jobs}; it cost {cost}.")
    if 1 < len(vectors) <= SIMILARITIES_MAX:
        print("How alike the texts are (1: the same meaning, 0: nothing in common):")
        rows = [
            (shorten(text), *(f"{sum(a * b for a, b in zip(one, other, strict=True)):.2f}" for other in vectors))
            for text, one in zip(texts, vectors, strict=True)
        ]
        table(("text", *(f"#{number + 1}" for number in range(len(vectors)))), rows)
    print(f"Why there: mesh job why {ran.job}     The vectors: --json")


def shorten(text: str, length: int = 48) -> str:
    """A text for a table's cell."""
    return text if len(text) <= length else text[: length - 1] + "…"
