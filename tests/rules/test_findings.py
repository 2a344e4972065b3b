"""What measured facts mean: each state of network and machine has one finding, with a next step where it is bad."""

import json
from typing import Any

import msgspec
import pytest

from mesh.devices.facts import (
    AgentFacts,
    CertificateFacts,
    CoordinatorFacts,
    Exposed,
    Knock,
    MachineFacts,
    ModelFacts,
    NetworkFacts,
    RelayFacts,
)
from mesh.devices.findings import Finding
from mesh.devices.machine_findings import machine_findings
from mesh.devices.nat import Sight, classify, nat_of
from mesh.devices.network_findings import compare_versions, network_findings
from mesh.devices.report import as_text, public_report
from mesh.units import GIB, MIB

DAY_MS = 24 * 3600 * 1000
COORDINATOR = CoordinatorFacts(
    url="https://mesh.example:8400",
    place="public",
    https=True,
    pinned=True,
    knocks=(Knock("8.8.4.4:8400", 11.0),),
    rtt_ms=12.0,
    clock_offset_s=0.2,
    version="0.1.0",
)
RELAYS = (
    RelayFacts("https://one.example", True, 14.0, "one.example:7000", "8.8.8.8:4000"),
    RelayFacts("https://two.example", True, 31.0, "two.example:7000", "8.8.8.8:4000"),
)
NETWORK = NetworkFacts(
    software="0.1.0",
    joined=True,
    coordinator=COORDINATOR,
    relays=RELAYS,
    agent=AgentFacts(link_up=True),
    certificate=CertificateFacts(0, 7 * DAY_MS, DAY_MS),
    local_ips=("192.168.1.5", "127.0.0.1"),
)
MODEL = ModelFacts("embeddings", "tiny", 20 * MIB, "good", "started", "strict")
MACHINE = MachineFacts(
    system="linux",
    arch="x86_64",
    python="3.11.7",
    cores=4,
    memory_bytes=8 * GIB,
    memory_free_bytes=4 * GIB,
    disk_free_bytes=50 * GIB,
    home="/home/ada/.local/share/mesh",
    models=(MODEL,),
    gateway="answers",
    gateway_port=8411,
)


def network(**changes: Any) -> dict[str, Finding]:
    found = network_findings(msgspec.structs.replace(NETWORK, **changes))
    return {finding.code: finding for finding in found}


def coordinator(**changes: Any) -> dict[str, Finding]:
    return network(coordinator=msgspec.structs.replace(COORDINATOR, **changes))


def machine(**changes: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in machine_findings(msgspec.structs.replace(MACHINE, **changes))}


def model(**changes: Any) -> dict[str, Finding]:
    return machine(models=(msgspec.structs.replace(MODEL, **changes),))


def test_a_healthy_device_has_no_warning() -> None:
    found = [*network().values(), *machine().values()]
    assert {finding.level for finding in found} <= {"ok", "note"}
    assert "8.8.4.4:8400" in network()["coordinator.reached"].text, "by which address it was reached"


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        ("unreachable", "coordinator.unreachable"),
        ("wrong_certificate", "coordinator.wrong_certificate"),
        ("untrusted", "coordinator.untrusted"),
        ("other_key", "coordinator.other_key"),
        ("odd_answer", "coordinator.odd_answer"),
    ],
)
def test_a_coordinator_that_is_not_reached_is_a_problem_with_a_next_step(failure: str, code: str) -> None:
    found = coordinator(failure=failure, rtt_ms=None)
    assert found[code].level == "problem" and found[code].next
    assert "coordinator.reached" not in found and "coordinator.tls_pinned" not in found


def test_one_dead_address_of_several_is_named() -> None:
    found = coordinator(knocks=(Knock("[2001:db8::1]:8400"), Knock("8.8.4.4:8400", 9.0)))
    assert "[2001:db8::1]:8400" in found["coordinator.address_silent"].text
    assert "8.8.4.4" in found["coordinator.reached"].text


def test_plain_http_is_fine_on_this_machine_and_a_problem_elsewhere() -> None:
    assert coordinator(https=False, pinned=False, place="loopback")["coordinator.loopback_http"].level == "note"
    assert coordinator(https=False, pinned=False)["coordinator.plain_http"].level == "problem"
    assert "https.needed" in coordinator() and "https.needed" not in coordinator(pinned=False)


@pytest.mark.parametrize(("offset", "off"), [(-30.0, False), (30.0, False), (30.1, True), (-200.0, True)])
def test_a_clock_is_off_beyond_the_leeway(offset: float, off: bool) -> None:
    found = coordinator(clock_offset_s=offset)
    assert ("clock.off" in found, "clock.good" in found) == (off, not off)
    if off:
        assert ("ahead of" if offset > 0 else "behind") in found["clock.off"].text


def test_a_link_that_is_down_is_a_problem_only_where_the_coordinator_answers() -> None:
    down = AgentFacts(link_up=False, link_code="link.pin_mismatch")
    assert network(agent=down)["link.down"].level == "problem"
    assert "link.pin_mismatch" in network(agent=down)["link.down"].text
    away = msgspec.structs.replace(COORDINATOR, failure="unreachable")
    assert network(agent=down, coordinator=away)["link.down"].level == "warning"


def test_without_an_agent_it_is_said_what_could_not_be_known() -> None:
    found = network(agent=None, certificate=None)
    assert found["agent.away"].level == "note" and "could not" in found["agent.away"].text
    assert not any(code.startswith(("udp.", "nat.", "link.")) for code in found)
    assert network(agent=None, agent_broken=True)["agent.broken"].level == "problem"


@pytest.mark.parametrize(
    ("now_days", "code"), [(1, "good"), (5, "good"), (5.5, "late"), (6.9, "late"), (7, "expired"), (9, "expired")]
)
def test_a_certificate_is_good_then_late_then_expired(now_days: float, code: str) -> None:
    found = network(certificate=CertificateFacts(0, 7 * DAY_MS, int(now_days * DAY_MS)))
    assert [name for name in found if name.startswith("certificate.")] == [f"certificate.{code}"]


def test_one_lost_relay_is_a_warning_and_the_last_one_a_problem() -> None:
    lost = msgspec.structs.replace(RELAYS[0], rtt_ms=None, heard=None)
    assert network(relays=(lost, RELAYS[1]))["relay.unreachable"].level == "warning"
    alone = network(relays=(lost,))["relay.unreachable"]
    assert alone.level == "problem" and alone.next
    assert network(relays=())["relay.none"].level == "warning"
    assert network(relays=None)["relay.unknown"].level == "note"


def test_a_relay_over_plain_http_says_what_that_exposes() -> None:
    plain = msgspec.structs.replace(RELAYS[0], url="http://one.example", https=False)
    assert "which device keys talk" in network(relays=(plain,))["relay.plain_http"].text
    assert "relay.plain_http" not in network()


def test_udp_is_open_closed_or_not_known() -> None:
    deaf = tuple(msgspec.structs.replace(relay, heard=None) for relay in RELAYS)
    assert "udp.open" in network()
    assert network(relays=deaf)["udp.closed"].level == "warning"
    blind = tuple(msgspec.structs.replace(relay, observer=None) for relay in deaf)
    assert "udp.unknown" in network(relays=blind), "without an observer nobody can tell"
    assert "udp.off" in network(agent=AgentFacts(link_up=True, direct=False), relays=deaf)


@pytest.mark.parametrize(
    ("sights", "nat"),
    [
        ([], "unknown"),
        ([("a:1", "192.168.1.5:9")], "near"),
        ([("a:1", "8.8.8.8:9")], "one_observer"),
        ([("a:1", "8.8.8.8:9"), ("b:1", "8.8.8.8:9")], "same_for_all"),
        ([("a:1", "8.8.8.8:9"), ("a:2", "8.8.8.8:9")], "one_observer"),
        ([("a:1", "8.8.8.8:9"), ("b:1", "8.8.8.8:10")], "by_destination"),
        ([("a:1", "8.8.8.8:9"), ("a:2", "8.8.8.8:10")], "by_destination"),
        ([("a:1", "8.8.8.8:9"), ("b:1", "8.8.4.4:9")], "by_destination"),
        ([("a:1", "8.8.8.8:9"), ("b:1", "[2a00:1::1]:7")], "one_observer"),
        ([("a:1", "192.168.1.5:9"), ("b:1", "8.8.8.8:9")], "one_observer"),
        ([("a:1", "10.9.0.1:9"), ("b:1", "10.9.0.1:10")], "by_destination"),
    ],
)
def test_what_the_router_does_is_told_only_as_far_as_it_can_be_seen(sights: list[tuple[str, str]], nat: str) -> None:
    assert nat_of([Sight(*sight) for sight in sights], ["192.168.1.5", "fe80::1%eth0"]) == nat


def test_a_public_address_of_its_own_is_no_nat() -> None:
    assert nat_of([Sight("a:1", "8.8.8.8:9")], ["8.8.8.8"]) == "none"
    assert "nat.none" in network(local_ips=("8.8.8.8",))


def test_ports_per_destination_are_put_into_words() -> None:
    moved = msgspec.structs.replace(RELAYS[1], heard="8.8.8.8:4001")
    found = network(relays=(RELAYS[0], moved))["nat.by_destination"]
    assert found.level == "warning" and "some pairs will be relayed" in found.text


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1:80", "loopback"), ("localhost", "loopback"), ("[::1]:80", "loopback"), ("10.0.0.1", "private"),
        ("100.64.3.2:1", "shared"), ("100.128.0.1", "public"), ("[2a00:1450::1]:443", "public"),
        ("mesh.example:8400", "name"), ("fe80::1%eth0", "private"), ("::ffff:10.0.0.1", "private"), ("", "name"),
    ],
)  # fmt: skip
def test_addresses_have_a_class(address: str, kind: str) -> None:
    assert classify(address) == kind


def test_a_shared_address_is_said() -> None:
    behind = tuple(msgspec.structs.replace(relay, heard="100.70.0.1:4000") for relay in RELAYS)
    assert "address.shared" in network(relays=behind) and "address.public" in network()


@pytest.mark.parametrize(
    ("mine", "theirs", "order"),
    [
        ("0.1.0", "0.1.0", "same"),
        ("0.9.0", "0.10.0", "older"),
        ("1.0.0", "0.10.0", "newer"),
        ("0.1.0", None, "unknown"),
        ("0.1.0", "ada's", "unknown"),
        ("0.1.0", "1.²", "unknown"),
    ],
)
def test_versions_are_compared_as_numbers(mine: str, theirs: str | None, order: str) -> None:
    assert compare_versions(mine, theirs) == order


def test_an_empty_home_is_told_how_to_begin() -> None:
    found = network_findings(NetworkFacts(software="0.1.0"))
    assert [finding.code for finding in found] == ["home.not_joined"] and found[0].next


def test_exposed_files_are_problems_with_the_command_that_closes_them() -> None:
    found = machine(exposed=(Exposed("device.key", 0o644, 0o600),))["home.exposed"]
    assert found.level == "problem"
    assert "chmod 600 /home/ada/.local/share/mesh/device.key" in found.next
    assert machine(exposed=(Exposed("", 0o700, 0o700, foreign=True),))["home.foreign"].level == "problem"
    assert "home.private" not in machine(exposed=(Exposed("", 0o755, 0o700),))
    assert machine(permissions="unchecked")["home.unchecked"].level == "note"


@pytest.mark.parametrize(
    ("files", "code", "level"),
    [
        ("good", "model.good", "ok"),
        ("missing", "model.missing", "note"),
        ("damaged", "model.damaged", "problem"),
        ("unread", "model.unread", "problem"),
    ],
)
def test_model_files_are_judged(files: str, code: str, level: str) -> None:
    found = model(files=files)[code]
    assert found.level == level and (bool(found.next) or level == "ok")


def test_engines_are_judged_with_what_their_isolation_means() -> None:
    failed = model(engine="failed", code="engine.not_loaded", isolation=None)["engine.failed"]
    assert failed.level == "problem" and "engine.not_loaded" in failed.text
    assert "isolation.strict" in model()
    assert model(isolation="limited")["isolation.limited"].level == "note"
    assert model(isolation="none")["isolation.none"].level == "warning"


def test_room_on_disk_and_in_memory() -> None:
    assert machine(disk_free_bytes=GIB // 2)["disk.low"].level == "warning"
    missing = msgspec.structs.replace(MODEL, files="missing", size_bytes=2 * GIB)
    assert machine(disk_free_bytes=GIB, models=(missing,))["disk.full"].level == "problem"
    assert machine(memory_free_bytes=100 * MIB)["memory.short"].level == "warning"


def test_the_gateways_port() -> None:
    assert machine(gateway="silent")["gateway.silent"].level == "problem"
    taken = machine(gateway="taken", gateway_owner="nginx (process 7)")["gateway.taken"]
    assert taken.level == "problem" and "nginx" in taken.text and "8411" in taken.text
    assert "gateway.free" in machine(gateway="free")
    assert not [code for code in machine(gateway="none") if code.startswith("gateway.")]


def test_every_bad_finding_has_a_next_step_and_every_text_is_a_sentence() -> None:
    cases = [
        network(), coordinator(failure="unreachable"), network(agent=None), network(relays=None), network(relays=()),
        network(certificate=None), machine(), machine(gateway="taken"), model(files="damaged"),
        model(isolation="none"), machine(system="windows"), machine(home_readable=False),
    ]  # fmt: skip
    for finding in (one for case in cases for one in case.values()):
        assert finding.text.endswith("."), finding
        assert finding.next or finding.level in ("ok", "note"), finding


def test_the_public_report_holds_nothing_that_anybody_named() -> None:
    canary = "zanzibar"
    tell_tale = msgspec.structs.replace(
        NETWORK,
        coordinator=msgspec.structs.replace(
            COORDINATOR, url=f"https://{canary}.example", version=canary, knocks=(Knock(f"{canary}:1", 1.0),)
        ),
        relays=(RelayFacts(f"https://{canary}.example", True, 1.0, f"{canary}:1", "9.9.9.9:4000"),),
        agent=AgentFacts(link_up=False, link_code=canary),
        local_ips=("203.0.113.77",),
    )
    of_machine = msgspec.structs.replace(
        MACHINE,
        system=canary,
        arch=canary,
        home=f"/home/{canary}",
        exposed=(Exposed(canary, 0o644, 0o600),),
        gateway="taken",
        gateway_owner=canary,
        models=(msgspec.structs.replace(MODEL, engine="failed", code=canary),),
    )
    findings = (*network_findings(tell_tale), *machine_findings(of_machine))
    assert any(canary in finding.text for finding in findings), "the owner does see it"
    report = public_report(tell_tale, of_machine, findings)
    for text in (json.dumps(report), as_text(report)):
        assert canary not in text and "9.9.9.9" not in text and "203.0.113" not in text and "8411" not in text
    assert "relay.reached" in as_text(report) and "nat: one_observer" in as_text(report)
