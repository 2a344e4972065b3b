"""`mesh review list|show|decide`: what waits for an admin's eye.

Touches: files of the home, sockets (through the client).
"""

from typing import Annotated

import typer

from mesh.cli import here
from mesh.cli.job import clock
from mesh.cli.output import Json, Out, foreign, table

app = typer.Typer(
    help="What waits for an admin's eye: quarantine, misses of spot checks, marks, odd earnings.", no_args_is_help=True
)


@app.command("list")
def listing(network: here.Network = None, json: Json = False) -> None:
    """Show what waits, and by which act each item is answered."""
    from mesh.sdk import calls, review

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = client.do(review.listing(meant))
        machines = {one.device: one.name for one in client.do(calls.devices(meant)).devices}
    rows = [
        (one.kind, machines.get(one.device, one.device), clock(one.since_ms), _facts(one.facts), ", ".join(one.acts),
         one.item)
        for one in found.items
    ]  # fmt: skip
    columns = ("what", "device", "since", "how", "answered by", "item")
    Out(json).result(found, lambda: table(columns, rows, empty="Nothing waits for review."))


@app.command()
def show(
    item: Annotated[str, typer.Argument(help="As `mesh review list` names it.")],
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Show one item, with the newest spot checks of its device."""
    from mesh.sdk import calls, review

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = client.do(review.show(meant, item))
        names = {str(one.member): one.name for one in client.do(calls.members(meant)).members}
    rows = [
        (clock(one["asked_ms"]), one["state"] + (", cleared" if one["cleared_ms"] else ""),
         names.get(one["owner"], one["owner"]), one["job"])
        for one in found.checks
    ]  # fmt: skip

    def people() -> None:
        print(f"{found.kind} of {foreign(found.device)}: {foreign(_facts(found.facts))}")
        print(f"Answer with: mesh review decide {found.item} {'|'.join(found.acts)}\n")
        table(("checked", "outcome", "by", "job"), rows, empty="This device was not checked yet.")

    Out(json).result(found, people)


@app.command()
def decide(
    item: Annotated[str, typer.Argument(help="As `mesh review list` names it.")],
    act: Annotated[str, typer.Argument(help="One of the acts that the list names.")],
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Answer an item; what you decide is in the log that members read (`mesh net audit`)."""
    from mesh.sdk import review

    place = here.home()
    with here.coordinator(place) as client:
        client.do(review.decide(here.network_of(place, client, network), item, act))
    Out(json).result({"item": item, "act": act}, "Done; it is in the log of decisions.")


def _facts(facts: dict[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
