"""`mesh key`: keys of the local gateway, one per program, each with its own limits.

Touches: the agent's control socket.
"""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import here
from mesh.cli.credit import BadCredits, micro
from mesh.cli.output import Json, Out, table
from mesh.units import credits_text

if TYPE_CHECKING:
    from mesh.sdk.keys import Key

ANSWER_S = 10.0
app = typer.Typer(help="Keys of this machine's gateway: create, list, revoke.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="What the key is for: a-z, 0-9 and hyphens.")]


@app.command()
def create(
    name: Name,
    per_minute: Annotated[int | None, typer.Option("--per-minute", min=1, help="Requests in a minute.")] = None,
    concurrent: Annotated[int | None, typer.Option("--concurrent", min=1, help="Requests at once.")] = None,
    credits_per_day: Annotated[
        str | None, typer.Option("--credits-per-day", help="Credits in a day (UTC), for example 60.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key for a program. It is shown this once."""
    from mesh.sdk import control
    from mesh.sdk.keys import CreateKey, KeyMade, Limits

    limits = Limits(per_minute, concurrent, None if credits_per_day is None else _daily(credits_per_day))
    made = control.ask(here.home().control_socket, CreateKey(name, limits), ANSWER_S)
    assert isinstance(made, KeyMade)
    out = Out(json)
    out.result({"name": made.name, "key": made.key}, made.key)
    if not json:
        out.note("This key is not shown again. Send it as `Authorization: Bearer KEY`; `mesh status` shows the URL.")


@app.command("list")
def list_(json: Json = False) -> None:
    """The keys, their limits and what they use."""
    from mesh.sdk import control
    from mesh.sdk.keys import GetKeys, Keys

    answer = control.ask(here.home().control_socket, GetKeys(), ANSWER_S)
    assert isinstance(answer, Keys)
    value = [
        {
            "name": key.name,
            "prefix": key.prefix,
            "limits": {
                "requests_per_minute": key.limits.requests_per_minute,
                "concurrent": key.limits.concurrent,
                "credits_per_day": key.limits.credits_per_day,
            },
            "created_ms": key.created_ms,
            "used_ms": key.used_ms,
            "running": key.running,
            "spent_today": key.spent_today,
        }
        for key in answer.keys
    ]
    rows = [_row(key) for key in answer.keys]
    columns = ("key", "begins", "limits", "last used", "#running", "#credits today")
    Out(json).result({"keys": value}, lambda: table(columns, rows))


@app.command()
def revoke(name: Name, json: Json = False) -> None:
    """Close the gateway to a key, from its next request on."""
    from mesh.sdk import control
    from mesh.sdk.keys import RevokeKey

    control.ask(here.home().control_socket, RevokeKey(name), ANSWER_S)
    Out(json).result({"name": name, "revoked": True}, f"The key {name} opens nothing any more.")


def _daily(text: str) -> int:
    """A day's limit in micro-credits. Raises BadCredits."""
    limit = micro(text)
    if limit <= 0:
        raise BadCredits
    return limit


def _row(key: "Key") -> tuple[str, ...]:
    limits = key.limits
    parts = [
        *([f"{limits.requests_per_minute} a minute"] if limits.requests_per_minute is not None else []),
        *([f"{limits.concurrent} at once"] if limits.concurrent is not None else []),
        *([f"{credits_text(limits.credits_per_day)} credits a day"] if limits.credits_per_day is not None else []),
    ]
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(key.used_ms / 1000)) if key.used_ms else "never"
    spent = credits_text(key.spent_today)
    return (key.name, key.prefix + "…", ", ".join(parts) or "none", used, str(key.running), spent)
