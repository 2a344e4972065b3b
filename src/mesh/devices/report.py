"""The report about a device that may be posted in public: words and numbers from fixed lists, nothing that was named.

It is built up from what is known to be harmless, not stripped of what is not: no text that a person, a coordinator or
another program chose gets in, no address, no id, no path.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import Any

from mesh.devices.facts import CoordinatorFacts, MachineFacts, NetworkFacts
from mesh.devices.findings import Finding
from mesh.devices.nat import classify, nat_of
from mesh.devices.network_findings import compare_versions
from mesh.devices.path_findings import sights_of
from mesh.units import GIB, MIB

SYSTEMS = ("linux", "darwin", "windows")
DAY_MS = 24 * 3600 * 1000


def public_report(network: NetworkFacts, machine: MachineFacts | None, findings: Sequence[Finding]) -> dict[str, Any]:
    """What may be shown to strangers, as a JSON value of words, numbers and lists of them."""
    report: dict[str, Any] = {"mesh": network.software}
    if machine is not None:
        report["machine"] = {
            "system": machine.system if machine.system in SYSTEMS else "other",
            "arch": machine.arch if machine.arch in ("x86_64", "amd64", "aarch64", "arm64") else "other",
            "python": machine.python,
            "cores": machine.cores,
            "memory_gib": round(machine.memory_bytes / GIB, 1),
            "memory_free_gib": round(machine.memory_free_bytes / GIB, 1),
            "disk_free_gib": round(machine.disk_free_bytes / GIB),
        }
        report["models"] = [
            {
                "workload": model.workload,
                "model": "of the owner's own" if model.own else model.model,
                "mib": round(model.size_bytes / MIB),
                "files": model.files,
                "engine": model.engine,
                "isolation": model.isolation or "unknown",
            }
            for model in machine.models
        ]
        report["gateway"] = machine.gateway
    report["network"] = _network(network)
    report["findings"] = [{"level": finding.level, "code": finding.code} for finding in findings]
    return report


def _network(facts: NetworkFacts) -> dict[str, Any]:
    sights = sights_of(facts)
    held = facts.certificate
    return {
        "device_of_a_network": facts.joined,
        "coordinator": _coordinator(facts.coordinator, facts.software),
        "agent": _agent(facts),
        "certificate_days_left": None if held is None else round((held.expires_ms - held.now_ms) / DAY_MS, 1),
        "relays": [
            {
                "scheme": "https" if relay.https else "http",
                "rtt_ms": _rounded(relay.rtt_ms),
                "observes": relay.observer is not None,
                "udp": relay.heard is not None,
            }
            for relay in facts.relays or ()
        ],
        "nat": nat_of(sights, facts.local_ips),
        "seen_under": sorted({classify(sight.address) for sight in sights}),
    }


def _agent(facts: NetworkFacts) -> str:
    if facts.agent_broken:
        return "broken"
    return "away" if facts.agent is None else "linked" if facts.agent.link_up else "not linked"


def _coordinator(facts: CoordinatorFacts | None, software: str) -> dict[str, Any] | None:
    if facts is None:
        return None
    return {
        "place": facts.place,
        "tls": "none" if not facts.https else "pinned" if facts.pinned else "public",
        "addresses": len(facts.knocks),
        "addresses_answering": sum(1 for knock in facts.knocks if knock.connect_ms is not None),
        "reached": facts.failure is None,
        "failure": facts.failure or "none",
        "rtt_ms": _rounded(facts.rtt_ms),
        "clock_offset_s": _rounded(facts.clock_offset_s),
        "mesh_here_is": compare_versions(software, facts.version),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def as_text(report: dict[str, Any]) -> str:
    """The report as lines of text, for a post."""
    lines = ["Mesh report. It holds no names, ids, keys, addresses or paths."]
    for name, value in report.items():
        if name == "findings":
            lines += ["", "findings"] + [f"  {one['level']:8} {one['code']}" for one in value]
        else:
            lines += _lines(name, value, "")
    return "\n".join(lines)


def _lines(name: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, dict):
        return [f"{indent}{name}"] + [line for key, one in value.items() for line in _lines(key, one, indent + "  ")]
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return [
            line
            for number, one in enumerate(value, 1)
            for line in _lines(f"{name.removesuffix('s')} {number}", one, indent)
        ]
    words = ", ".join(map(str, value)) if isinstance(value, list) else _word(value)
    return [f"{indent}{name}: {words}"]


def _word(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
