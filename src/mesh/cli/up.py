"""`mesh up`: run this machine's agent; in an empty home first make everything that a private network needs.

Touches: files of the home, processes (a coordinator of one's own), signals, sockets, all through what it starts.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out

if TYPE_CHECKING:
    from mesh.agent.main import Options, Ready
    from mesh.sdk.home import Home


def add_to(app: typer.Typer) -> None:
    """Put the command at the top level of ``mesh``."""
    app.command()(up)


def up(
    host: Annotated[
        str | None, typer.Option("--host", help="With a coordinator of your own: the address it listens on.")
    ] = None,
    direct: Annotated[bool, typer.Option("--direct/--no-direct", help="Whether direct paths are taken.")] = True,
    only_ask: Annotated[bool, typer.Option("--only-ask", help="Ask for jobs, but work on none.")] = False,
    json: Json = False,
) -> None:
    """Run this machine's agent in the foreground, until Ctrl-C or `mesh down`."""
    from mesh.agent.main import Options
    from mesh.cli import logs

    out, place = Out(json), here.home()
    logs.to_stderr()
    with ExitStack() as stack:
        own = prepare(place, host, out, stack)
        with out.progress("model") as show:
            options = Options(
                work=not only_ask,
                gateway=not only_ask,
                direct=direct,
                say=lambda stage, done, total: show(stage, done / total if total else 0.0),
            )
            asyncio.run(serve(place, options, lambda ready: announce(place, ready, out, own)))


def prepare(place: "Home", host: str | None, out: Out, stack: ExitStack) -> bool:
    """Start this home's own coordinator if it has one, and join if it has not. Returns whether it has its own."""
    from mesh.cli import beside, first_run

    record = place.read()
    own = beside.owns_coordinator(place) or (place.empty() and record.coordinator is None)
    if own:
        if place.empty():
            out.note("First run: making a private network on this machine …")
        settled = stack.enter_context(beside.Beside(place, host))
        first_run.settle_in(place, settled.ready, out)
    elif record.device is None and record.session is not None:
        first_run.be_a_device(place, out)
    return own


async def serve(place: "Home", options: "Options", on_ready: "Callable[[Ready], None]") -> None:
    """Run the agent until it ends or a signal asks it to."""
    from mesh.agent.main import run

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt by itself
            loop.add_signal_handler(number, stop.set)
    await run(place, on_ready, options=options, stop=stop)


def announce(place: "Home", ready: "Ready", out: Out, own: bool) -> None:
    """Say that the agent works. The gateway's key is shown only with --json: logs keep what people see."""
    value = {"event": "ready", "device": ready.device, "gateway": ready.gateway, "key": ready.key}
    people = f"Ready. This device is {ready.device}."
    if ready.gateway:
        people += f"\nPrograms on this machine: {ready.gateway}/v1 with the key in {place.gateway_file}"
    people += "\nTry: mesh run embeddings --text 'a harbour at night' --text 'boats in the dark'"
    if own:
        people += f"\n{how_to_add(place)}"
    out.result(value, people)


def how_to_add(place: "Home") -> str:
    """How the next machine comes in: on loopback the coordinator must first be reachable for it."""
    url = place.coordinator().url
    steps = "mesh device invite     and there: mesh device join LINK --name NAME, then mesh up"
    if "//127." in url or "//localhost" in url or "//[::1]" in url:
        return f"To add a machine: stop this, start it with `mesh up --host 0.0.0.0` on your LAN, then\n  {steps}"
    return f"To add a machine: {steps}"
