"""Figures for Prometheus: read back by its own parser, they say what the agent said."""

from prometheus_client.parser import text_string_to_metric_families

from mesh.cli.metrics import of_agent, of_peers, text
from mesh.protocol.values import Condition, Load
from mesh.sdk.control import Peer, Status

STATUS = Status(
    device="d0", name="attic", network="n0", member="m0", software="1", link="up",
    condition=Condition(state="busy", load=Load(depth=3, work_s=1.5)), peers=2, jobs_running=4, jobs_here=3, outbox=7,
    started_ms=1_800_000_000_000,
)  # fmt: skip
PEERS = (
    Peer("d1", "desk", "m0", own=True, path="direct", rtt_ms=2.0, direct_bytes=5000, relayed_bytes=100),
    Peer("d2", 'x"} 1\nmesh_link_up 0\n\\', "m1", own=False, path="relayed", relayed_bytes=9),
    Peer("d3", "away", "m1", own=False),
)


def read(families):
    found = {}
    for family in text_string_to_metric_families(text(list(families))):
        for sample in family.samples:
            found[sample.name, *sorted(sample.labels.values())] = sample.value
    return found


def test_the_agent_and_its_load():
    found = read(of_agent(STATUS))
    assert found["mesh_link_up",] == 1 and found["mesh_state", "busy"] == 1
    assert (found["mesh_jobs_asked",], found["mesh_jobs_here",], found["mesh_facts_unreported",]) == (4, 3, 7)
    assert found["mesh_work_seconds",] == 1.5 and found["mesh_start_time_seconds",] == 1_800_000_000


def test_paths_of_connected_peers_and_a_name_that_tries_to_be_a_line():
    found = read([*of_agent(STATUS), *of_peers(PEERS)])
    assert found["mesh_path_rtt_seconds", "desk", "direct"] == 0.002
    assert found["mesh_path_bytes_total", "desk", "direct"] == 5000
    assert found["mesh_path_bytes_total", "desk", "relayed"] == 100
    hostile = {key: value for key, value in found.items() if PEERS[1].name in key}
    assert sorted(hostile.values()) == [0, 9]
    assert found["mesh_link_up",] == 1, "a name adds no line"
    assert not [key for key in found if "away" in key]
