"""`mesh metrics`: this agent's figures in the text format that Prometheus reads, for a textfile collector or a script.

It opens no port: whoever may read the agent's socket may ask.

Touches: the agent's control socket.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from mesh.cli import here
from mesh.cli.output import Json, line

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from mesh.sdk.control import Peer, Status

ANSWER_S = 10.0


def add_to(app: typer.Typer) -> None:
    """Put the command at the top level of ``mesh``."""
    app.command()(metrics)


def metrics(json: Json = False) -> None:
    """Figures of this machine's agent for Prometheus: link, jobs, reports, and each peer's path, round trip, bytes."""
    from mesh.sdk import control

    socket = here.home().control_socket
    status = control.ask(socket, control.GetStatus(), ANSWER_S)
    peers = control.ask(socket, control.GetPeers(), ANSWER_S)
    assert isinstance(status, control.Status) and isinstance(peers, control.Peers)
    families = [*of_agent(status), *of_peers(peers.peers)]
    if json:
        samples = [sample for family in families for sample in family.samples]
        line({"metrics": [{"name": one.name, "labels": one.labels, "value": one.value} for one in samples]})
    else:
        print(text(families), end="")


def of_agent(status: "Status") -> "Iterator[Metric]":
    """What the agent says of itself."""
    from prometheus_client.core import GaugeMetricFamily as Gauge

    load = status.condition.load
    yield Gauge("mesh_link_up", "Whether the link to the coordinator stands.", value=status.link == "up")
    yield Gauge("mesh_start_time_seconds", "When the agent started, since 1970.", value=status.started_ms / 1000)
    yield Gauge("mesh_jobs_asked", "Jobs of this device under way, wherever they run.", value=status.jobs_running)
    yield Gauge("mesh_jobs_here", "Jobs that wait or run on this device, whoever asked.", value=status.jobs_here)
    yield Gauge("mesh_work_seconds", "Work that waits or runs on this device.", value=load.work_s)
    yield Gauge("mesh_facts_unreported", "Facts the coordinator has not acknowledged yet.", value=status.outbox)
    yield Gauge("mesh_facts_refused", "Facts the coordinator refused for good.", value=status.set_aside)
    yield Gauge("mesh_peers", "Devices of the network that this one knows.", value=status.peers)
    states = Gauge("mesh_state", "The state of this device: 1 for the one it is in.", labels=["state"])
    states.add_metric([status.condition.state], 1)
    yield states


def of_peers(peers: "tuple[Peer, ...]") -> "Iterator[Metric]":
    """How each connected peer is reached. Bytes are of both directions, since its connection began."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    rtt = GaugeMetricFamily("mesh_path_rtt_seconds", "Round trip to a peer, by its path.", labels=["peer", "path"])
    moved = CounterMetricFamily("mesh_path_bytes", "Bytes to and from a peer, by path.", labels=["peer", "path"])
    for peer in peers:
        if peer.path is None:
            continue
        if peer.rtt_ms is not None:
            rtt.add_metric([peer.name, peer.path], peer.rtt_ms / 1000)
        moved.add_metric([peer.name, "direct"], peer.direct_bytes)
        moved.add_metric([peer.name, "relayed"], peer.relayed_bytes)
    yield rtt
    yield moved


def text(families: "list[Metric]") -> str:
    """The metrics in the text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Once(Collector):
        def collect(self) -> "Iterator[Metric]":
            return iter(families)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    return generate_latest(registry).decode()
