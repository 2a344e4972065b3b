"""`mesh privacy`: what is kept about you, all of it as a file, and deleting your account.

Touches: files of the home and where you export to, sockets (through the client), stdin.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, day, foreign, table
from mesh.errors import MeshError
from mesh.units import credits_text

if TYPE_CHECKING:
    from mesh.sdk.privacy import DeletionPlan, DeletionSeen, NetworkLeft, TableFate

app = typer.Typer(help="Your data: export, delete, cancel, status.", no_args_is_help=True)
FILE = "mesh-my-data.json"


class NotMeant(MeshError):
    """Nothing was deleted: the name that was typed is not yours. Try again, or leave it as it is."""

    code = "privacy.not_meant"
    kind = "invalid"


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", help="The file; only you can read it.")] = Path(FILE),
    json: Json = False,
) -> None:
    """Everything that the coordinator keeps about you, table by table, as one JSON file."""
    from mesh.sdk import privacy

    with here.coordinator(here.home()) as client:
        pieces = client.pieces(privacy.export())
        first = next(pieces, b"")  # a refusal comes before a file is made
        part = out.with_name(out.name + ".part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(first)
            for piece in pieces:
                file.write(piece)
        part.replace(out)
    report = privacy.report_of(out.read_bytes()).report
    value = {"file": str(out), "report": report}
    rows = [(one.table, str(one.rows)) for one in report if one.rows]

    def people() -> None:
        print(f"Written: {out}")
        table(("table", "#rows"), rows)

    Out(json).result(value, people)


@app.command()
def delete(
    name: Annotated[str | None, typer.Option("--name", help="Your own name: you mean it, and are not asked.")] = None,
    json: Json = False,
) -> None:
    """Delete your account in 30 days; first says what that means. Signing in, or `mesh privacy cancel`, keeps it."""
    from mesh.sdk import privacy

    out, place = Out(json), here.home()
    with here.coordinator(place) as client:
        plan = client.do(privacy.deletion())
        if name is None:
            _tell(plan, out)
            session = place.read().session
            mine = "" if session is None else session.name
            print(f"To delete it, type your name, {foreign(mine)}: ", end="", file=sys.stderr, flush=True)
            name = sys.stdin.readline().strip()
            if name != mine:
                raise NotMeant
        asked = client.do(privacy.delete(name))
    words = (
        f"Your account goes on {day(asked.due_ms)}. Until then everything stays as it is, but you are signed out "
        f"everywhere else.\nTo keep it: mesh privacy cancel, or sign in again anywhere.\nKeep this receipt; with it "
        f"you can read afterwards what became of your data:\n  mesh privacy status --receipt {asked.receipt}"
    )
    out.result(asked, words)


@app.command()
def cancel(json: Json = False) -> None:
    """Keep the account after all."""
    from mesh.sdk import privacy

    with here.coordinator(here.home()) as client:
        client.do(privacy.keep())
    Out(json).result({"kept": True}, "Your account stays.")


@app.command()
def status(
    receipt: Annotated[
        str | None, typer.Option("--receipt", help="From `mesh privacy delete`; needs no sign-in.")
    ] = None,
    json: Json = False,
) -> None:
    """What is kept about you and what deleting your account would mean; with a receipt, what became of it."""
    from mesh.sdk import privacy

    out, place = Out(json), here.home()
    if receipt is not None:
        from mesh.sdk.client import Coordinator

        with Coordinator(place.coordinator()) as anybody:
            seen = anybody.do(privacy.look(receipt))
        out.result(seen, lambda: _tell_end(seen))
        return
    with here.coordinator(place) as client:
        plan = client.do(privacy.deletion())
    out.result(plan, lambda: _tell(plan, out))


def _tell(plan: "DeletionPlan", out: Out) -> None:
    if plan.due_ms is not None:
        out.note(f"Your account goes on {day(plan.due_ms)}. To keep it: mesh privacy cancel")
    else:
        out.note("Deleting your account happens 30 days after you ask for it, and then means:")
    if plan.operator:
        out.note("- You operate this installation: hand it over first, mesh auth hand-over PERSON.")
    for one in plan.networks:
        out.note(f"- {foreign(one.name)}: {_parting(one)} {_money(one)} {_devices(one)}".rstrip())
    if plan.tables and not out.as_json:
        out.note("What is kept about you, and what becomes of it:")
        _tables(plan.tables)


def _tell_end(seen: "DeletionSeen") -> None:
    if seen.done_ms is not None:
        print(f"Done on {day(seen.done_ms)}. What became of each table's rows:")
        _tables(seen.tables)
    elif seen.closed_ms is not None:
        print("The account is closed; what is kept about it is being deleted.")
    else:
        print(f"It goes on {day(seen.due_ms)}.")


def _parting(one: "NetworkLeft") -> str:
    if one.parting == "blocked":
        return "you are its only admin: make somebody else one first, mesh members role NAME admin."
    return "ends, as nobody else is in it." if one.parting == "end" else "you leave it."


def _money(one: "NetworkLeft") -> str:
    words = ""
    if one.balance > 0:
        words = f"Your {credits_text(one.balance)} credits are burnt."
    elif one.balance < 0:
        words = f"Your debt of {credits_text(-one.balance)} credits stays there until an admin closes it."
    if one.pending > 0:
        words += f" {credits_text(one.pending)} that are still pending are burnt when they come."
    return words


def _devices(one: "NetworkLeft") -> str:
    if not one.devices:
        return ""
    return f"Removed: {', '.join(foreign(name) for name in one.devices)}."


def _tables(tables: "Sequence[TableFate]") -> None:
    rows = [
        (one.table, str(one.rows), str(one.erased), str(one.pseudonymised), str(one.kept), one.why) for one in tables
    ]
    table(("table", "#rows", "#erased", "#anonymous", "#kept", "why"), rows)
