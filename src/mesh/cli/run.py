"""`mesh run`: run a job on the best device that may do it.

Touches: files (input), the agent's control socket, processes (a requester for one command, where no agent runs).
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mesh.cli import here
from mesh.cli.agent import agent_for
from mesh.cli.output import Json, Out, foreign, table
from mesh.errors import MeshError
from mesh.units import credits_text

if TYPE_CHECKING:
    from mesh.protocol.values import Routing
    from mesh.sdk.control import Ran
    from mesh.sdk.home import Home

app = typer.Typer(help="Run a job: embeddings, ocr.", no_args_is_help=True)
SILENCE_S_MAX = 900.0
"""The agent reports progress while a job runs; its own limits end a job long before this."""
SIMILARITIES_MAX = 8
"""More texts than this make a table that nobody reads; --json has the vectors."""
_TIER = re.compile(r"tier:([0-4])")


class BadRoute(MeshError):
    """A route is auto, local, or tier:0 to tier:4. To name a device use --device."""

    code = "usage.route"
    kind = "invalid"


class NoSuchFile(MeshError):
    """This file cannot be read. Check its name and your right to read it."""

    code = "input.file_unreadable"
    kind = "invalid"


@app.command()
def embeddings(
    text: Annotated[list[str] | None, typer.Option("--text", help="A text; give it as often as you like.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A UTF-8 file with a text per line.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Run it there: a device's id or name.")] = None,
    route: Annotated[str, typer.Option("--route", help="auto, local (prefer this LAN), tier:N (at least).")] = "auto",
    sensitivity: Annotated[
        Literal["public", "private", "sensitive"], typer.Option("--sensitivity", help="How private the texts are.")
    ] = "private",
    max_cost: Annotated[
        int | None, typer.Option("--max-cost", min=0, help="The most to pay, in micro-credits, as `charge` is.")
    ] = None,
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
        request = control.Run(
            workload="embeddings",
            manifest=payload.manifest,
            sensitivity=sensitivity,
            routing=routing(place, device, route),
            max_cost=max_cost,
        )
        ran = perform(place, request, out, "embeddings")
        name = "" if json else names_of(place).get(ran.device, ran.device)
    vectors = vectors_of(Payload(ran.manifest, ran.blobs))
    value = {
        "job": ran.job,
        "device": ran.device,
        "path": ran.path,
        "charge": ran.charge,
        "units": ran.units,
        "model": ran.model,
        "attempts": ran.attempts,
        "embeddings": vectors,
    }
    out.result(value, lambda: _show(payload.manifest["texts"], vectors, ran, name))


def perform(place: "Home", request: Any, out: Out, title: str) -> "Ran":
    """Have the agent run a job, showing its progress. Raises what the job failed with."""
    from mesh.sdk import control

    try:
        with out.progress(title) as show:
            for answer in control.stream(place.control_socket, request, SILENCE_S_MAX):
                if isinstance(answer, control.Progress):
                    show(answer.stage, answer.fraction)
                elif isinstance(answer, control.Ran):
                    return answer
    except MeshError as error:
        name_gates(place, error, out)
        raise
    raise control.ControlBroken


def name_gates(place: "Home", error: MeshError, out: Out) -> None:
    """Where a job had nowhere to run: say which gate each device failed, by name."""
    gates = error.facts.get("gates")
    if not isinstance(gates, list) or not gates:
        return
    names = names_of(place)
    for gate in gates:
        device = names.get(gate["device"], gate["device"])
        out.note(foreign(f"  {device}  {gate['gate']}: {gate.get('reason') or 'no'}"))


def names_of(place: "Home") -> dict[str, str]:
    """What the devices that the agent knows are called, by id."""
    from mesh.sdk import control

    answer = control.ask(place.control_socket, control.GetPeers(), SILENCE_S_MAX)
    return {one.device: one.name for one in answer.peers} if isinstance(answer, control.Peers) else {}


def routing(place: "Home", device: str | None, route: str) -> "Routing":
    """Read --device and --route. Raises BadRoute, UnknownDevice."""
    from mesh.protocol.values import Routing
    from mesh.sdk import control
    from mesh.sdk.naming import device_named

    if device is not None:
        answer = control.ask(place.control_socket, control.GetPeers(), SILENCE_S_MAX)
        peers = answer.peers if isinstance(answer, control.Peers) else ()
        return Routing("device", device=device_named(peers, device))
    if route == "auto":
        return Routing("auto")
    if route == "local":
        return Routing("local")
    tier = _TIER.fullmatch(route)
    if tier is None:
        raise BadRoute
    return Routing("tier", tier=int(tier[1]))


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


def _show(texts: list[str], vectors: list[list[float]], ran: "Ran", name: str) -> None:
    cost = f"{credits_text(ran.charge)} credits" if ran.charge else "nothing"
    print(f"{len(vectors)} vectors of {len(vectors[0])} numbers from {foreign(ran.model)}.")
    print(f"Worked on by {foreign(name)} ({ran.path}); it cost {cost}.")
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
