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
from mesh.cli.output import Json, Out, foreign

if TYPE_CHECKING:
    from mesh.cli.beside import Wanted
    from mesh.sdk.home import Home


def add_to(app: typer.Typer) -> None:
    """Put the command at the top level of ``mesh``."""
    app.command()(up)


def up(
    host: Annotated[
        str | None, typer.Option("--host", help="With a coordinator of your own: the address it listens on.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="The port it listens on; links name it.")
    ] = None,
    direct: Annotated[bool, typer.Option("--direct/--no-direct", help="Whether direct paths are taken.")] = True,
    only_ask: Annotated[bool, typer.Option("--only-ask", help="Ask for jobs, but work on none.")] = False,
    json: Json = False,
) -> None:
    """Run this machine's agent in the foreground, until Ctrl-C or `mesh down`."""
    from mesh.cli import beside, logs

    out, place = Out(json), here.home()
    place.ensure()
    logs.of_children_to(place.agent_log)
    flags = [flag for flag, wanted in (("--only-ask", only_ask), ("--no-direct", not direct)) if wanted]
    with ExitStack() as stack:
        own = prepare(place, beside.Wanted(host, port), out, stack)
        asyncio.run(keep_running(place, flags, Teller(place, out, own)))


def prepare(place: "Home", wanted: "Wanted", out: Out, stack: ExitStack) -> bool:
    """Start this home's own coordinator if it has one, and join if it has not. Returns whether it has its own."""
    from mesh.cli import beside, first_run

    record = place.read()
    own = beside.owns_coordinator(place) or (place.empty() and record.coordinator is None)
    if own:
        if place.empty():
            out.note("First run: making a private network on this machine …")
        settled = stack.enter_context(beside.Beside(place, wanted))
        first_run.settle_in(place, settled.ready, out)
    elif record.device is None and record.session is not None:
        first_run.be_a_device(place, out)
    return own


async def keep_running(place: "Home", flags: list[str], tell: "Teller") -> None:
    """Run the agent, again if it crashes, until it ends or a signal asks it to."""
    from mesh.agent.supervisor import command, supervise

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt by itself
            loop.add_signal_handler(number, stop.set)
    with ExitStack() as showing:
        tell.showing = showing
        await supervise(command(place.path, flags), tell.hear, stop)


class Teller:
    """Puts what the agent says into words, or passes its ready on as JSON."""

    def __init__(self, place: "Home", out: Out, own: bool) -> None:
        self.showing = ExitStack()
        self._place = place
        self._out = out
        self._own = own
        self._show: Callable[[str, float], None] | None = None

    def hear(self, said: dict[str, Any]) -> None:
        """One object that the agent printed, or news of its crash."""
        if said["event"] == "ready":
            self.showing.close()
            self._show = None
            self._out.result(said, lambda: self._ready(said))
        elif said["event"] == "model":
            if self._show is None:
                self._show = self.showing.enter_context(self._out.progress("model"))
            self._show(said["stage"], said["done"] / said["total"] if said["total"] else 0.0)
        elif said["event"] == "notice":
            self._out.note(foreign(said["words"]))
        elif said["event"] == "crashed":
            ended = f"The agent ended by itself (exit code {said['exit_code']}) and is started again."
            self._out.note(f"{ended} Its log: {self._place.agent_log}")

    def _ready(self, said: dict[str, Any]) -> None:
        """For people. The gateway's key is not shown: journals keep what people see."""
        print(f"Ready. This device is {said['device']}.")
        if said["gateway"]:
            print(f"Programs on this machine: {said['gateway']}/v1 with the key in {self._place.gateway_file}")
        print("Try: mesh run embeddings --text 'a harbour at night' --text 'boats in the dark'")
        print("In a browser: mesh ui (this machine: try things out)     mesh web (the network: who, what, why)")
        if self._own:
            print(how_to_add(self._place), flush=True)


def how_to_add(place: "Home") -> str:
    """How the next machine comes in: on loopback the coordinator must first be reachable for it."""
    url = place.coordinator().url
    steps = "mesh device invite     and there: mesh device join LINK --name NAME, then mesh up"
    if here.LOOPBACK.match(url):
        return f"To add a machine: stop this, start it with `mesh up --host 0.0.0.0` on your LAN, then\n  {steps}"
    return f"To add a machine: {steps}"
