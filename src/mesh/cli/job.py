"""`mesh job`: what was asked, where it ran, and why there.

Touches: files of the home, sockets (through the client).
"""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mesh.cli import explained, here
from mesh.cli.output import Json, Out, foreign, table
from mesh.errors import MeshError
from mesh.ids import JobId
from mesh.units import credits_text

ANSWER_S = 10.0
UNKNOWN_HERE = "job.unknown"
"""How an agent says that it did not ask for a job."""


app = typer.Typer(help="Jobs: list, show, why, cancel.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="A job's id, from `mesh run` or `mesh job list`.")]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many, newest first.")] = 20,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """The jobs that you may see, newest first."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = client.do(calls.jobs(meant, limit))
        names = {one.device: one.name for one in client.do(calls.devices(meant)).devices}
    rows = [
        (clock(one.created_ms), one.state, one.workload, _on(one.device, names), _cost(one.charge), one.job)
        for one in found.jobs
    ]
    Out(json).result(found, lambda: table(("when", "state", "kind", "on", "#credits", "id"), rows))


@app.command()
def show(job: Id, network: here.Network = None, json: Json = False) -> None:
    """One job's record; it holds no texts and no results."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        found = client.do(calls.job(here.network_of(place, client, network), JobId(job)))
    people = (
        f"{found.workload} by {found.model}: {found.state}, {_cost(found.charge) or 'no'} credits, {found.units} units"
    )
    Out(json).result(found, foreign(people))


@app.command()
def cancel(job: Id, network: here.Network = None, json: Json = False) -> None:
    """Stop a job of yours, whichever of your devices asked for it."""
    from mesh.sdk import calls, control

    place = here.home()
    try:
        control.ask(place.control_socket, control.Cancel(JobId(job)), ANSWER_S)
    except MeshError as here_unknown:  # no agent runs here, or another device asked for it
        if here_unknown.wire_code not in (control.AgentAway.code, UNKNOWN_HERE):
            raise
        with here.coordinator(place) as client:
            client.do(calls.cancel(here.network_of(place, client, network), JobId(job)))
    Out(json).result({"job": job, "cancelled": True}, "Cancelled.")


@app.command()
def why(job: Id, network: here.Network = None, json: Json = False) -> None:
    """Why a job went where it went: each device's gates, the score table, what would have changed it."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = client.do(calls.why(meant, JobId(job)))
        names = {one.device: one.name for one in client.do(calls.devices(meant)).devices}
    Out(json).result(found, lambda: explained.show(found, names))


def clock(time_ms: int) -> str:
    """A time for people, in their own time zone."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _on(device: str | None, names: Any) -> str:
    return "" if device is None else names.get(device, device)


def _cost(charge: int | None) -> str:
    return "" if charge is None else credits_text(charge)
