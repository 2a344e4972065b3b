"""`mesh batch`: many inputs as one durable batch on this device; it goes on by itself whatever is restarted.

Touches: files (input, results), stdin, the agent's control socket, files of the home, sockets (through the client).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mesh.cli import asking, batch_view, here
from mesh.cli.agent import agent_for, running
from mesh.cli.output import INTERRUPTED, Json, Out, foreign, line
from mesh.cli.run import NoSuchFile
from mesh.errors import MeshError
from mesh.jobs.batches import ENDED

if TYPE_CHECKING:
    from mesh.sdk.batch_input import Checked, Raw
    from mesh.sdk.batches import Batch
    from mesh.sdk.home import Home

ANSWER_S = 60.0
"""Taking a batch up reads and hashes its input: up to 1 GiB."""
SILENCE_S_MAX = 60.0
"""A watched batch says something every five seconds."""
STDIN = "-"

app = typer.Typer(help="Batches: submit, list, show, results, cancel, resume, delete.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="A batch's id, or the name that it was given.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until it has ended, showing its progress. Ctrl-C leaves it going.")]
Cost = Annotated[int | None, typer.Option("--max-cost", min=0, help="The most to pay for all lines, in micro-credits.")]


class ResultsThere(MeshError):
    """There is a file of this name already, and results never overwrite one. Choose another name for --output."""

    code = "batch.output_exists"
    kind = "conflict"


class NotWritten(MeshError):
    """The results could not be written to that file. Check its folder, its disk, and your right to write there."""

    code = "batch.output_unwritable"


@app.command()
def submit(
    source: Annotated[
        str, typer.Argument(metavar="FILE|-", help="JSON Lines, texts (.txt), documents, a folder, stdin.")
    ],
    workload: Annotated[str, typer.Option("--workload", help="What is done with each line.")] = "embeddings",
    model: Annotated[str | None, typer.Option("--model", help="By which model; else the workload's own.")] = None,
    form: Annotated[
        Literal["json", "text"] | None, typer.Option("--as", help="What a line is; else the file's name tells.")
    ] = None,
    device: asking.Device = None,
    route: asking.Route = "auto",
    sensitivity: asking.Sensitivity = "private",
    tier: asking.Tier = 0,
    gpu: asking.Gpu = False,
    memory: asking.Memory = None,
    tag: asking.Tag = None,
    max_cost: Cost = None,
    limit: Annotated[str, typer.Option("--limit", help="The longest that one line may take, such as 10m.")] = "10m",
    name: Annotated[
        str | None, typer.Option("--name", help="A name of its own: submitting the same again begins nothing new.")
    ] = None,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Hand in many lines at once: each becomes a job, in the background, over restarts, until all are done."""
    from mesh.sdk import batches, control
    from mesh.workloads.known import workload_named

    out, place = Out(json), here.home()
    workload_named(workload)
    options = asking.Asked(device, route, sensitivity, max_cost, limit, tier, gpu, memory, tag=tag)
    if not wait and not running(place):
        raise control.AgentAway
    with agent_for(place, out) if wait else nullcontext():
        terms = options.fields(place)
        terms.pop("wait")
        brought = pages_brought(place, source, form, out) if workload == "ocr" else lines_brought(place, source, form)
        request = batches.SubmitBatch(brought, workload, name, model, **terms)
        batch = asked(place, request)
        if batch.again:
            out.note(f"This was submitted before, as {batch.batch}; nothing new was begun.")
        if wait:
            batch = watched(place, batch.batch, out)
        shown(place, batch, out)
    if wait:
        leave_by(batch)


@app.command("list")
def list_(json: Json = False) -> None:
    """The batches of this device, newest first."""
    from mesh.sdk import batches, control

    found = control.ask(here.home().control_socket, batches.GetBatches(), ANSWER_S)
    assert isinstance(found, batches.Batches)
    value = {"batches": [batch_view.value(one) for one in found.batches]}
    Out(json).result(value, lambda: batch_view.overview(found.batches))


@app.command()
def show(batch: Id, wait: Wait = False, json: Json = False) -> None:
    """How far a batch is: lines, speed, cost, devices, what failed and why."""
    from mesh.sdk import batches

    out, place = Out(json), here.home()
    found = watched(place, batch, out) if wait else asked(place, batches.GetBatch(batch))
    shown(place, found, out)
    if wait:
        leave_by(found)


@app.command()
def results(
    batch: Id,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A new file, for you alone (0600).")] = None,
    as_they_came: Annotated[bool, typer.Option("--as-they-came", help="Not in the order of the input.")] = False,
    json: Json = False,
) -> None:
    """What each line came to, as JSON Lines; what has a result now, if the batch still goes on."""
    from mesh.sdk import batches

    out, place = Out(json), here.home()
    about = asked(place, batches.GetBatch(batch))
    pages = _pages(place, batches.GetResults(batch, as_they_came=as_they_came), about.workload)
    if output is None:
        for page in pages:
            for value in page:
                line(value)
        return
    count = _write(output, pages, about, out)
    words = f"{count} results of {about.lines} lines are in {output}. It holds what the batch holds: keep it private."
    out.result({"batch": about.batch, "lines": count, "output": str(output)}, words)


@app.command()
def cancel(batch: Id, json: Json = False) -> None:
    """Stop what runs; results stay until they are a week old, and `mesh batch resume` goes on with the rest."""
    from mesh.sdk import batches

    place = here.home()
    shown(place, asked(place, batches.CancelBatch(batch)), Out(json))


@app.command()
def resume(
    batch: Id,
    max_cost: Cost = None,
    failed: Annotated[bool, typer.Option("--failed", help="The lines that failed, too.")] = False,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Go on with a batch that was cancelled or stopped, or try again what failed in it."""
    from mesh.sdk import batches

    out, place = Out(json), here.home()
    found = asked(place, batches.ResumeBatch(batch, max_cost, failed=failed))
    if wait:
        found = watched(place, batch, out)
    shown(place, found, out)
    if wait:
        leave_by(found)


@app.command()
def delete(batch: Id, json: Json = False) -> None:
    """Erase a batch with its input and results; what runs of it is cancelled."""
    from mesh.sdk import batches, control

    control.ask(here.home().control_socket, batches.DeleteBatch(batch), ANSWER_S)
    Out(json).result({"batch": batch, "deleted": True}, "Erased, with its input and results.")


def asked(place: "Home", request: Any) -> "Batch":
    """Ask the agent something that a batch answers. Raises what it refuses with."""
    from mesh.sdk import batches, control

    answer = control.ask(place.control_socket, request, ANSWER_S)
    assert isinstance(answer, batches.Batch)
    return answer


def watched(place: "Home", batch: str, out: Out) -> "Batch":
    """Show how a batch gets on until it has ended. Ctrl-C stops the looking, not the batch."""
    from mesh.sdk import batches, control

    try:
        with batch_view.progress(out) as show_progress:
            for answer in control.stream(place.control_socket, batches.GetBatch(batch, watch=True), SILENCE_S_MAX):
                assert isinstance(answer, batches.Batch)
                show_progress(answer)
                last = answer
        return last
    except KeyboardInterrupt:
        out.note(f"\nThe batch goes on while the agent runs. Look again: mesh batch show {batch} --wait")
        raise typer.Exit(INTERRUPTED) from None


def shown(place: "Home", batch: "Batch", out: Out) -> None:
    """Print one batch."""
    out.result(batch_view.value(batch), lambda: batch_view.words(batch, asking.names_of(place)))


def leave_by(batch: "Batch") -> None:
    """The exit code of a batch that was waited for: 0 only when every line has a result."""
    if batch.state in ENDED and (batch.state != "done" or batch.failed):
        raise typer.Exit(1)


def lines_brought(place: "Home", source: str, form: str | None) -> str:
    """Write the lines of a source into the home; returns the new file's name."""
    from mesh.sdk import batch_input

    with opened(source, form) as lines:
        return batch_input.bring(place.batches, lines)


def pages_brought(place: "Home", source: str, form: str | None, out: Out) -> str:
    """Draw documents, or those that a list names, and write their pages into the home; returns the new file's name."""
    from mesh.cli import batch_pages

    if form is None and source != STDIN and batch_pages.is_document(source):
        with readable(source):
            documents = batch_pages.documents_at(source)
    else:
        with opened(source, form) as lines:
            documents = list(batch_pages.documents_of(lines))
    return batch_pages.bring_pages(place.batches, documents, out)


@contextmanager
def readable(source: str) -> "Iterator[None]":
    """What cannot be read inside is said by its name. Raises NoSuchFile."""
    try:
        yield
    except OSError as error:
        raise NoSuchFile(
            f"{source} cannot be read: {error.strerror}. Check its name and your right to read it."
        ) from error


@contextmanager
def opened(source: str, form: str | None) -> "Iterator[Iterator[Checked]]":
    """The checked lines of a file, a folder or stdin. Raises NoSuchFile."""
    from mesh.sdk import batch_input

    path = Path(source)

    def read(raws: "Iterator[Raw]", *, text: bool) -> "Iterator[Checked]":
        return batch_input.from_text(raws) if text else batch_input.from_json(raws)

    with readable(source):
        if source == STDIN:
            yield read(batch_input.lines_of(sys.stdin.buffer), text=form == "text")
        elif path.is_dir():
            yield read(batch_input.lines_below(path), text=form != "json")
        else:
            with path.open("rb") as file:
                text = batch_input.is_text(path) if form is None else form == "text"
                yield read(batch_input.lines_of(file), text=text)


def _pages(place: "Home", request: Any, workload: str) -> Iterator[list[dict[str, Any]]]:
    """All results, a page at a time."""
    import msgspec

    from mesh.sdk import batches, control
    from mesh.workloads.known import workload_named

    handler = workload_named(workload)
    while True:
        page = control.ask(place.control_socket, request, ANSWER_S)
        assert isinstance(page, batches.Results)
        yield [batch_view.result_line(one, handler) for one in page.results]
        if page.next is None:
            return
        request = msgspec.structs.replace(request, after=page.next)


def _write(output: Path, pages: Iterator[list[dict[str, Any]]], about: "Batch", out: Out) -> int:
    """Write results into a new file of the owner alone; returns how many. Raises ResultsThere, NotWritten."""
    import os

    import msgspec

    count, encode = 0, msgspec.json.encode
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file, out.progress("results") as show_progress:
            for page in pages:
                file.writelines(encode(value) + b"\n" for value in page)
                count += len(page)
                show_progress("writing", count / max(1, about.lines))
    except FileExistsError as error:
        raise ResultsThere(f"{output} is there already, and results never overwrite a file.") from error
    except OSError as error:
        raise NotWritten(foreign(f"{output} could not be written: {error.strerror}.")) from error
    return count
