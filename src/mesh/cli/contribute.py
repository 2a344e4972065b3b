"""`mesh device contribute`: what other people may have of this machine.

Touches: the agent's control socket.
"""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from mesh.cli import here
from mesh.cli.output import Json, Out
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.sdk.control import Status

ANSWER_S = 10.0
HEAD = "Works for others: "


class BadShare(MeshError):
    """A share is written as a percentage, for example 50%."""

    code = "usage.share"
    kind = "invalid"


def add_to(devices: typer.Typer) -> None:
    """Put the command among those about devices."""
    devices.command()(contribute)


def contribute(
    switch: Annotated[
        str, typer.Argument(metavar="[on|off]", help="Work for others at all; without it: as it is.")
    ] = "",
    hours: Annotated[
        list[str] | None,
        typer.Option("--hours", help="Only then, local time: 22:00-08:00; repeatable; `always` ends it."),
    ] = None,
    idle_below: Annotated[
        str | None, typer.Option("--idle-below", help="Only while other programs use less: 30%; `never` ends it.")
    ] = None,
    share: Annotated[str | None, typer.Option("--share", help="Of the processors, for others: 50%.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=0, max=256, help="At once for others; 0: no limit.")] = None,
    battery: Annotated[str | None, typer.Option("--battery-above", help="Off its charger, only above: 50%.")] = None,
    headroom: Annotated[str | None, typer.Option("--headroom-above", help="Of the way to too hot: 10%.")] = None,
    json: Json = False,
) -> None:
    """Say what others may have of this machine; without options, show it. Your own jobs ask none of this."""
    from mesh.devices.contribution import BadTerms, check, hours_of
    from mesh.sdk import control

    socket = here.home().control_socket
    status = control.ask(socket, control.GetStatus(), ANSWER_S)
    assert isinstance(status, control.Status)
    if switch not in ("", "on", "off"):
        raise BadTerms
    changes: dict[str, object] = {"on": switch == "on"} if switch else {}
    if hours:
        changes["hours"] = () if hours == ["always"] else tuple(hours_of(one) for one in hours)
    if idle_below is not None:
        changes["idle_below"] = None if idle_below == "never" else _share(idle_below)
    if jobs is not None:
        changes["jobs_max"] = jobs or None
    for name, text in (("share", share), ("battery_min", battery), ("headroom_min", headroom)):
        if text is not None:
            changes[name] = _share(text)
    if changes:
        terms = check(msgspec.structs.replace(status.terms, **changes))
        status = control.ask(socket, control.SetTerms(terms), ANSWER_S)
        assert isinstance(status, control.Status)
    Out(json).result(_value(status), words(status))


def words(status: "Status") -> str:
    """The terms for people, in a line or two."""
    terms = status.terms
    parts = [
        "on" if terms.on else "off",
        *(["only " + ", ".join(str(one) for one in terms.hours)] if terms.hours else []),
        *([f"while other programs use less than {terms.idle_below:.0%}"] if terms.idle_below is not None else []),
        *([f"{terms.share:.0%} of the processors"] if terms.share < 1 else []),
        *([f"{terms.jobs_max} jobs at once"] if terms.jobs_max is not None else []),
        f"on battery above {terms.battery_min:.0%}",
    ]
    now = f"not now: {status.limit}" if status.limit else "now"
    return f"{HEAD}{', '.join(parts)} ({now})"


def _value(status: "Status") -> dict[str, object]:
    terms = status.terms
    return {
        "on": terms.on,
        "hours": [str(one) for one in terms.hours],
        "idle_below": terms.idle_below,
        "share": terms.share,
        "jobs_max": terms.jobs_max,
        "battery_min": terms.battery_min,
        "headroom_min": terms.headroom_min,
        "contributes": not status.limit,
        "limit": status.limit,
    }


def _share(text: str) -> float:
    number = text.strip().removesuffix("%")
    if not number.replace(".", "", 1).isdecimal():
        raise BadShare
    return float(number) / 100
