"""What one says to the agent of this machine: `mesh status`, `ping`, `pause`, `resume`, `drain`, `down`.

Touches: the agent's control socket, files of the home, sockets (through the client).
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli import contribute, here
from mesh.cli.output import Json, Out, foreign, line, table
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.sdk.control import Status
    from mesh.sdk.home import DeviceRecord

ANSWER_S = 10.0
DRAIN_LOOK_S = 1.0
PING_S = 30.0
"""A first ping opens a connection, which has its own limits below this."""


def add_to(app: typer.Typer) -> None:
    """Put these commands at the top level of ``mesh``."""
    for command in (status, ping, pause, resume, drain, down):
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
        "device": _device(record.device, agent),
        "network": record.device.network if record.device else record.network,
        "agent": agent,
        "peers": peers,
    }
    out.result(value, lambda: _show_status(value, agent, peers))


def _device(kept: "DeviceRecord | None", agent: "Status | None") -> "DeviceRecord | None":
    """This device as it joined; called as its agent knows, since it may have been renamed since."""
    import msgspec

    return kept if kept is None or agent is None else msgspec.structs.replace(kept, name=agent.name)


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
    if agent.set_by == "admin":
        print("             an admin set this; `mesh resume` here undoes it")
    print(f"For others   {contribute.words(agent).removeprefix(contribute.HEAD)}")
    if agent.notice:
        print(f"Attention    {foreign(agent.notice)}")
    if agent.set_aside:
        print(f"Attention    {agent.set_aside} reports are refused by the coordinator for good, and set aside:")
        print("             update Mesh here or there; the agent's log has the reason (outbox.set_aside)")
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
            "" if one.rtt_ms is None else f"{one.rtt_ms:.1f}",
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


Device = Annotated[
    str | None, typer.Option("--device", help="Another device, by id or name: yours, or any for admins. Else this one.")
]


def pause(device: Device = None, network: here.Network = None, json: Json = False) -> None:
    """Take no jobs from other people until `mesh resume`; your own go on.

    What waits for others is handed back at once; what runs for them is finished.
    """
    _set_state("paused", device, network, Out(json), "Paused: only its owner's jobs run there.")


def resume(device: Device = None, network: here.Network = None, json: Json = False) -> None:
    """Take jobs again after `mesh pause` or `mesh drain`."""
    _set_state("ready", device, network, Out(json), "Ready: it takes jobs.")


def drain(
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Until nothing runs any more (this device only).")
    ] = True,
    device: Device = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Finish what was taken and take nothing new, not even your own jobs; it ends with `mesh resume` or a restart."""
    import time

    from mesh.sdk import control

    out = Out(json)
    if device is not None or not wait:
        _set_state("draining", device, network, out, "Draining: it finishes what it has, and takes nothing new.")
        return
    status = control.ask(here.home().control_socket, control.SetState("draining"), ANSWER_S)
    while isinstance(status, control.Status) and status.jobs_here and status.condition.state == "draining":
        out.note(f"{status.jobs_here} jobs left here")
        time.sleep(DRAIN_LOOK_S)
        status = control.ask(here.home().control_socket, control.GetStatus(), ANSWER_S)
    assert isinstance(status, control.Status)
    state, left = status.condition.state, status.jobs_here
    people = "Drained: nothing runs here any more." if state == "draining" else "It was resumed meanwhile."
    out.result({"state": state, "jobs": left, "drained": state == "draining" and not left}, people)


def _set_state(state: Any, device: str | None, network: str | None, out: Out, people: str) -> None:
    from mesh.sdk import calls, control

    if device is None:
        control.ask(here.home().control_socket, control.SetState(state), ANSWER_S)
        out.result({"state": state}, people)
        return
    from mesh.cli.device import device_named

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = device_named(client, meant, device)
        client.do(calls.steer_device(meant, found, state))
    out.result({"state": state, "device": found}, people)


def down(json: Json = False) -> None:
    """Stop the agent of this home (and what `mesh up` started with it)."""
    from mesh.sdk import control

    control.ask(here.home().control_socket, control.Stop(), ANSWER_S)
    Out(json).result({"running": False}, "The agent stops.")
