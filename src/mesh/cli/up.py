"""`mesh up`: run this machine's agent; in an empty home first make everything that a private network needs.

Touches: files of the home, processes (a coordinator of one's own), signals, sockets, all through what it starts.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out

if TYPE_CHECKING:
    from mesh.agent.supervisor import Say
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
    from mesh.agent.supervisor import command
    from mesh.cli import logs

    out, place = Out(json), here.home()
    logs.to_stderr()
    with ExitStack() as stack:
        own = prepare(place, host, out, stack)
        with out.progress("model") as show:
            flags = [flag for flag, on in (("--only-ask", only_ask), ("--no-direct", not direct)) if on]
            told = Told(place, out, show, own)
            asyncio.run(serve(command(place.path, flags), told.say))


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


async def serve(program: list[str], say: "Say") -> None:
    """Run the agent, restarted when it crashes, until it ends or a signal asks it to."""
    from mesh.agent.supervisor import supervise

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt by itself
            loop.add_signal_handler(number, stop.set)
    await supervise(program, say, stop)


class Told:
    """What the agent says, told to people or programs. It is ready once; a restart after a crash is a note."""

    def __init__(self, place: "Home", out: Out, show: Callable[[str, float], None], own: bool) -> None:
        self._place = place
        self._out = out
        self._show = show
        self._own = own
        self._announced = False

    def say(self, said: dict[str, Any]) -> None:
        """Take one object that the agent said."""
        if said["event"] == "model":
            self._show(said["stage"], said["done"] / said["total"] if said["total"] else 0.0)
        elif said["event"] == "crashed":
            self._out.note(f"The agent crashed ({said['exit_code']}); it starts again in {said['restart_in_s']} s.")
        elif not self._announced:
            self._announced = True
            announce(self._place, said, self._out, self._own)


def announce(place: "Home", ready: dict[str, Any], out: Out, own: bool) -> None:
    """Say that the agent works. The gateway's key is shown only with --json: logs keep what people see."""
    people = f"Ready. This device is {ready['device']}."
    if ready["gateway"]:
        people += f"\nPrograms on this machine: {ready['gateway']}/v1 with the key in {place.gateway_file}"
    people += "\nTry: mesh run embeddings --text 'a harbour at night' --text 'boats in the dark'"
    if own:
        people += f"\n{how_to_add(place)}"
    out.result(ready, people)


def how_to_add(place: "Home") -> str:
    """How the next machine comes in: on loopback the coordinator must first be reachable for it."""
    url = place.coordinator().url
    steps = "mesh device invite     and there: mesh device join LINK --name NAME, then mesh up"
    if "//127." in url or "//localhost" in url or "//[::1]" in url:
        return f"To add a machine: stop this, start it with `mesh up --host 0.0.0.0` on your LAN, then\n  {steps}"
    return f"To add a machine: {steps}"
