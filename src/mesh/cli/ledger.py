"""`mesh ledger`: your credits, every line of them, and the proof that they add up.

Touches: files of the home, sockets (through the client).
"""

from typing import Annotated

import msgspec
import typer

from mesh.cli import here
from mesh.cli.job import clock
from mesh.cli.output import Json, Out, table
from mesh.errors import MeshError
from mesh.units import credits_text

app = typer.Typer(help="Credits: show, verify.", no_args_is_help=True)


class LedgerWrong(MeshError):
    """The ledger does not add up. Keep a copy of the coordinator's data folder and tell its operator."""

    code = "ledger.wrong"


@app.command()
def show(
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many lines, newest first.")] = 50,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Your balance and the lines that concern you."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        balance, page = client.do(calls.balance(meant)), client.do(calls.ledger(meant, limit))
        names = {one.member: one.name for one in client.do(calls.members(meant)).members}
    value = {**msgspec.structs.asdict(balance), "lines": page.lines, "cursor": page.cursor}
    rows = [
        (
            clock(one.time_ms),
            one.kind,
            f"{names.get(one.member, one.member)}, {one.account}" if one.member else one.account,
            credits_text(one.amount),
            credits_text(one.balance),
            one.job or "",
        )
        for one in page.lines
    ]

    def people() -> None:
        print(
            f"Your balance: {credits_text(balance.balance)} credits, "
            f"{credits_text(balance.pending)} pending, {credits_text(balance.held)} held."
        )
        table(("when", "what", "account", "#credits", "#then", "job"), rows, empty="No lines yet.")

    Out(json).result(value, people)


@app.command()
def verify(network: here.Network = None, json: Json = False) -> None:
    """Check the whole ledger: every posting sums to zero, every balance is the sum of its lines."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        found = client.do(calls.verify(here.network_of(place, client, network)))
    if not found.ok:
        raise LedgerWrong(problems=list(found.problems))
    people = f"verify: ok ({found.postings} postings, {found.entries} entries, sum {found.total})"
    Out(json).result(found, people)
