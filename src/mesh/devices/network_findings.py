"""What measured facts about a device's network mean: its coordinator, clock, link, certificate, and its paths.

Touches: nothing.
"""

from collections.abc import Iterator
from typing import Literal

from mesh.devices.facts import CoordinatorFacts, NetworkFacts
from mesh.devices.findings import Finding, ms, span
from mesh.devices.path_findings import path_findings

CLOCK_OFF_S = 30.0
"""Two devices may differ by this much in what they take the time to be (the leeway of permits)."""
CERTIFICATE_LATE = 0.75
"""Certificates are renewed at half their life; at three quarters something has kept this device from it."""


def network_findings(facts: NetworkFacts) -> tuple[Finding, ...]:
    """Judge a check of the network."""
    return (
        *_membership(facts),
        *_coordinator(facts.coordinator),
        *_version(facts),
        *_link(facts),
        *_certificate(facts),
        *path_findings(facts),
    )


def _membership(facts: NetworkFacts) -> Iterator[Finding]:
    if facts.coordinator is None:
        yield Finding(
            "home.not_joined",
            "note",
            "This home belongs to no network yet, so there is nothing to reach.",
            "Make a network with `mesh up`, or join one: mesh device join LINK --name NAME",
        )
    elif not facts.joined:
        yield Finding(
            "home.no_device",
            "note",
            "Somebody is signed in here, but this machine is no device of a network.",
            "To make it one: mesh up",
        )


def _coordinator(facts: CoordinatorFacts | None) -> Iterator[Finding]:
    if facts is None:
        return
    if facts.failure is not None:
        yield _not_reached(facts)
    elif facts.rtt_ms is not None:
        by = next((one.address for one in facts.knocks if one.connect_ms is not None), "")
        over = f" by its address {by}" if by else ""
        yield Finding(
            "coordinator.reached", "ok", f"The coordinator answers at {facts.url}{over}, in {ms(facts.rtt_ms)}."
        )
    silent = [one.address for one in facts.knocks if one.connect_ms is None]
    if silent and len(silent) < len(facts.knocks):
        yield Finding(
            "coordinator.address_silent",
            "note",
            f"Of the coordinator's {len(facts.knocks)} addresses this one does not answer as it: {', '.join(silent)}.",
            "Nothing breaks while another answers; connecting may be slower.",
        )
    yield from _tls(facts)
    yield from _clock(facts)


def _not_reached(facts: CoordinatorFacts) -> Finding:
    if facts.failure == "wrong_certificate":
        return Finding(
            "coordinator.wrong_certificate",
            "problem",
            f"What answers at {facts.url} shows another certificate than the one that your link pinned.",
            "Do not go on. Ask the admin whether the coordinator was set up anew; if so, join with a new link.",
        )
    if facts.failure == "untrusted":
        return Finding(
            "coordinator.untrusted",
            "problem",
            f"The certificate at {facts.url} is not trusted: expired, for another name, or from nobody known.",
            "Look at this machine's clock, then have the coordinator's admin renew the certificate of its proxy.",
        )
    if facts.failure == "other_key":
        return Finding(
            "coordinator.other_key",
            "problem",
            f"The coordinator at {facts.url} has another key than the one that your link named.",
            "Ask the admin whether it was set up anew; if so, join with a new link.",
        )
    if facts.failure == "odd_answer":
        return Finding(
            "coordinator.odd_answer",
            "problem",
            f"What answers at {facts.url} does not speak as a coordinator of this version does.",
            "Check that no other program has that address, and update Mesh on both sides.",
        )
    return Finding(
        "coordinator.unreachable",
        "problem",
        f"The coordinator at {facts.url} does not answer. Your own jobs on your own devices go on without it.",
        "It belongs on this machine: start `mesh up` or `mesh serve`."
        if facts.place == "loopback"
        else "Check that `mesh up` or `mesh serve` runs there, and that no firewall between keeps its port closed.",
    )


def _tls(facts: CoordinatorFacts) -> Iterator[Finding]:
    reached = facts.failure is None
    if not facts.https and facts.place == "loopback":
        if not reached:
            return
        yield Finding(
            "coordinator.loopback_http",
            "note",
            "The coordinator is on this very machine and speaks plain http, which only this machine can hear.",
            "To let other machines in, start it with `mesh up --host 0.0.0.0`: then it speaks TLS.",
        )
    elif not facts.https:
        yield Finding(
            "coordinator.plain_http",
            "problem",
            "The coordinator is spoken to over plain http: who listens on the way reads sign-ins and job records.",
            "Give it TLS (it has a certificate of its own off loopback), and join with a new link.",
        )
    elif facts.pinned and reached:
        yield Finding(
            "coordinator.tls_pinned", "ok", "TLS is good: the coordinator shows the very certificate that is pinned."
        )
        yield Finding(
            "https.needed",
            "note",
            "The coordinator's certificate is self-made: agents and the command line pin it, browsers do not know it.",
            "Only for phones and web pages: give it a public name and certificate (`--public-url https://NAME`).",
        )
    elif reached:
        yield Finding(
            "coordinator.tls_public", "ok", "TLS is good: the coordinator has a publicly trusted certificate."
        )


def _clock(facts: CoordinatorFacts) -> Iterator[Finding]:
    offset = facts.clock_offset_s
    if offset is None:
        return
    if abs(offset) <= CLOCK_OFF_S:
        yield Finding("clock.good", "ok", f"The clock is within {max(0.1, abs(offset)):.1f} s of the coordinator's.")
        return
    side = "ahead of" if offset > 0 else "behind"
    yield Finding(
        "clock.off",
        "warning",
        f"This machine's clock is {span(abs(offset))} {side} the coordinator's. Mesh goes by the coordinator's clock "
        "while linked; without it, permits and certificates may be judged wrongly.",
        "Switch on automatic time (Linux: timedatectl set-ntp true), here or at the coordinator.",
    )


def _version(facts: NetworkFacts) -> Iterator[Finding]:
    theirs = None if facts.coordinator is None else facts.coordinator.version
    order = compare_versions(facts.software, theirs)
    if order == "same":
        yield Finding("version.same", "ok", "This machine and the coordinator run the same version of Mesh.")
    elif order in ("older", "newer"):
        whom = "here" if order == "older" else "at the coordinator"
        yield Finding(
            f"version.{order}",
            "note",
            f"Mesh on this machine is {order} than the coordinator's. They understand each other, but not all of it.",
            f"Update Mesh {whom}.",
        )


def compare_versions(mine: str, theirs: str | None) -> Literal["same", "older", "newer", "unknown"]:
    """How a version stands to another; ``unknown`` for what is not numbers with dots."""
    one, other = _numbers(mine), _numbers(theirs or "")
    if one is None or other is None:
        return "unknown"
    return "same" if one == other else "older" if one < other else "newer"


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.split(".")
    if len(parts) > 4 or not all(part.isascii() and part.isdigit() and len(part) <= 6 for part in parts):
        return None
    return tuple(int(part) for part in parts)


def _link(facts: NetworkFacts) -> Iterator[Finding]:
    if not facts.joined:
        return
    if facts.agent_broken:
        yield Finding(
            "agent.broken",
            "problem",
            "An agent runs for this home, but it does not answer, or not in a way that this version understands.",
            "Stop it (`mesh down`, or end its process) and start it with `mesh up`.",
        )
    elif facts.agent is None:
        yield Finding(
            "agent.away",
            "note",
            "No agent runs here, so its link, its UDP paths and what the router does could not be looked at.",
            "Start it with `mesh up`, then ask again.",
        )
    elif facts.agent.link_up:
        yield Finding("link.up", "ok", "The agent's link to the coordinator stands.")
    else:
        why = f" (it ended with {facts.agent.link_code})" if facts.agent.link_code else ""
        yield Finding(
            "link.down",
            "problem" if facts.coordinator is not None and facts.coordinator.failure is None else "warning",
            f"The agent has no link to the coordinator{why}. It tries again by itself.",
            "Mend what is said of the coordinator above; else look at what `mesh up` printed.",
        )


def _certificate(facts: NetworkFacts) -> Iterator[Finding]:
    held = facts.certificate
    if held is None:
        if facts.agent is not None:
            yield Finding(
                "certificate.none",
                "warning",
                "This device holds no certificate yet: nobody can tell that it belongs to the network.",
                "If it waits for approval: an admin runs `mesh device approve NAME`.",
            )
        return
    life_ms, left_ms = held.expires_ms - held.issued_ms, held.expires_ms - held.now_ms
    left = span(abs(left_ms) / 1000)
    if left_ms <= 0:
        yield Finding(
            "certificate.expired",
            "problem",
            f"This device's certificate ended {left} ago, so other devices refuse it.",
            "Let the agent reach its coordinator: the certificate is then renewed by itself.",
        )
    elif left_ms < life_ms * (1 - CERTIFICATE_LATE):
        yield Finding(
            "certificate.late",
            "warning",
            f"This device's certificate ends in {left} and was not renewed in time.",
            "Let the agent reach its coordinator: the certificate is then renewed by itself.",
        )
    else:
        yield Finding("certificate.good", "ok", f"This device's certificate is good for {left} more.")
