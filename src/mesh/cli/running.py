"""What one says to the agent of this machine: `mesh status`, `ping`, `pause`, `resume`, `down`.

Touches: the agent's control socket, files of the home, sockets (through the client).
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, foreign, line, table
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.sdk.control import Status

ANSWER_S = 10.0
PING_S = 30.0
"""A first ping opens a connection, which has its own limits below this."""


def add_to(app: typer.Typer) -> None:
    """Put these commands at the top level of ``mesh``."""
    for command in (status, ping, pause, resume, down):
        app.command()(command)


def status(json: Json = False) -> None:
    """How this machine is, and who is in its network."""
    from mesh.sdk import control

    out, place = Out(json), here.home()
    record = place.read()
    agent = _agent_status()
    peers: tuple[Any, ...] = ()
    if agent is not None:
        answer = control.ask(place.control_socket, control.GetPeers(), ANSWER_S)
        peers = answer.peers if isinstance(answer, control.Peers) else ()
    value = {
        "home": str(place.path),
        "running": agent is not None,
        "coordinator": record.coordinator.url if record.coordinator else None,
        "person": record.session.name if record.session else None,
        "device": record.device,
        "network": record.device.network if record.device else record.network,
        "agent": agent,
        "peers": peers,
    }
    out.result(value, lambda: _show_status(value, agent, peers))


def _agent_status() -> "Status | None":
    from mesh.sdk import control

    try:
        answer = control.ask(here.home().control_socket, control.GetStatus(), ANSWER_S)
    except control.AgentAway:
        return None
    return answer if isinstance(answer, control.Status) else None


def _show_status(value: dict[str, Any], agent: "Status | None", peers: tuple[Any, ...]) -> None:
    print(f"Home         {value['home']}")
    print(f"Coordinator  {value['coordinator'] or 'none yet. Next: mesh up, or mesh device join LINK --name NAME'}")
    if value["person"]:
        print(f"Person       {foreign(value['person'])}")
    if value["device"]:
        print(f"Device       {foreign(value['device'].name)} ({value['device'].id})")
    if agent is None:
        print("Agent        not running. Next: mesh up")
        return
    load = agent.condition.load
    print(f"Agent        {agent.condition.state}, link {agent.link}, {load.depth} jobs here, {agent.outbox} to report")
    if agent.notice:
        print(f"Attention    {foreign(agent.notice)}")
    if agent.gateway:
        print(f"Gateway      {agent.gateway}")
    if agent.relay:
        seen = f", seen by the world at {', '.join(agent.observed)}" if agent.observed else ""
        print(f"Reached      by {agent.relay}{seen}")
    rows = [
        (
            one.name,
            "yours" if one.own else "",
            one.state or "",
            _path(one.path, one.address),
            "" if one.rtt_ms is None else f"{one.rtt_ms:.0f}",
            one.device,
        )
        for one in peers
    ]
    table(("device", "", "state", "path", "#ms", "id"), rows, empty="No other devices yet. Next: mesh device invite")


def _path(kind: str | None, address: str | None) -> str:
    """How packets travel, for people: ``direct (private)``."""
    return f"{kind} ({address})" if kind and address else kind or ""


def ping(
    device: Annotated[str, typer.Argument(help="A device's id or name.")],
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=1000, help="How many.")] = 4,
    json: Json = False,
) -> None:
    """Time the way to a device: each reply's path (local, direct, relayed), address kind and milliseconds."""
    from mesh.sdk import control

    answered = 0
    for answer in control.stream(here.home().control_socket, control.PingDevice(device, count), PING_S):
        if isinstance(answer, control.Ping):
            answered += 1
            if json:
                line(
                    {
                        "number": answer.number,
                        "device": answer.device,
                        "path": answer.path,
                        "address": answer.address,
                        "rtt_ms": answer.rtt_ms,
                    }
                )
            else:
                path = _path(answer.path, answer.address)
                print(f"{answer.number}: {foreign(device)} {path} {answer.rtt_ms:.1f} ms", flush=True)
    if not answered:
        raise NoReply


class NoReply(MeshError):
    """The device gave no reply. Check that it is switched on and running `mesh up`."""

    code = "ping.no_reply"
    kind = "timed_out"


def pause(json: Json = False) -> None:
    """Take no jobs from other people until `mesh resume`; your own go on."""
    _set_state("paused", "Paused: only your own jobs run here. `mesh resume` undoes it.", json)


def resume(json: Json = False) -> None:
    """Take jobs again after `mesh pause`."""
    _set_state("ready", "Ready: this machine takes jobs.", json)


def _set_state(state: Any, people: str, json: bool) -> None:
    from mesh.sdk import control

    control.ask(here.home().control_socket, control.SetState(state), ANSWER_S)
    Out(json).result({"state": state}, people)


def down(json: Json = False) -> None:
    """Stop the agent of this home (and what `mesh up` started with it)."""
    from mesh.sdk import control

    control.ask(here.home().control_socket, control.Stop(), ANSWER_S)
    Out(json).result({"running": False}, "The agent stops.")
