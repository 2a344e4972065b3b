"""Why a job went where it went, in words for people: gates, scores, attempts, and what would have changed the choice.

Touches: stdout.
"""

from collections.abc import Mapping
from typing import Any

from mesh.cli.output import foreign, table
from mesh.units import credits_text

GATES = {
    "member": "no valid membership",
    "state": "it is {0}",
    "tried": "it just failed this very job",
    "contribution": "its owner lets others have nothing of it now ({0})",
    "policy": "the network's rules do not allow it: {0}",
    "isolation": "{0}",
    "model": "it {0}",
    "tier": "its hardware is of {0}",
    "gpu": "it has no GPU",
    "memory": "not enough memory is free: {0}",
    "tags": "it {0}",
    "load": "too much waits there: {0}",
    "latency": "too slow: {0}",
    "routing": "{0}",
    "cost": "too dear: {0} (in micro-credits)",
    "credit": "too few free credits: {0} (in micro-credits)",
    "permits": "{0}",
    "apart": "{0}",
}
"""Gate → what not passing it means. ``{0}``: the reason, made of codes and numbers."""
TERMS = {
    "seconds": "first result",
    "rtt": "near",
    "plugged": "plugged in",
    "thermal": "cool",
    "idle": "idle",
    "cost": "cheap",
    "local": "same LAN",
}
"""Term → the head of its column."""
CHOICES = {
    "first": "the first that the permit names",
    "finish": "the one expected to be done first",
    "retry": "the next one to try",
    "backup": "a copy, since another device took long or was silent",
    "canary": "a copy, to see whether the device works again",
}
"""Why a requester sent an attempt where it did."""
SCORES_SHOWN = 12
DEVICES_SHOWN = 40


def reason(gate: str, said: str) -> str:
    """What a gate that was not passed means, as half a sentence."""
    known = GATES.get(gate)
    words = f"{gate}: {said or 'no'}" if known is None else known.format(said or "no")
    return words if known is None or not said or said in words else f"{words} ({said})"


def show(found: Mapping[str, Any], names: Mapping[Any, str]) -> None:
    """Print an explanation: device ids in it become names."""

    def named(text: str) -> str:
        for device, name in names.items():
            text = text.replace(device, name)
        return foreign(text)

    _gates(found, named)
    _scores(found, named)
    chosen = found.get("chosen")
    print(f"Chosen: {named(chosen)}." if chosen else "Chosen: none. No device may run this yet.")
    _attempts(found, named)
    changes = found.get("would_change", ())
    if changes:
        print("What would have changed it")
        for change in changes:
            print(f"  {named(change)}")


def _gates(found: Mapping[str, Any], named: Any) -> None:
    failed: dict[str, list[str]] = {}
    for gate in found["gates"]:
        reasons = failed.setdefault(gate["device"], [])
        if not gate["passed"]:
            reasons.append(reason(gate["gate"], gate.get("reason") or ""))
    if not failed:
        return
    asked = len(found["gates"]) // len(failed)
    print(f"Who could do it ({asked} gates were asked of each device)")
    rows = [(named(one), named("; ".join(why)) or "yes: it passed every gate") for one, why in failed.items()]
    rows.sort(key=lambda row: not row[1].startswith("yes"))
    table(("device", ""), rows[:DEVICES_SHOWN])
    if len(rows) > DEVICES_SHOWN:
        print(f"and {len(rows) - DEVICES_SHOWN} more: --json has all")


def _scores(found: Mapping[str, Any], named: Any) -> None:
    scores = sorted(found["scores"], key=lambda one: -one["total"])
    if not scores:
        return
    terms = list(dict.fromkeys(term for score in scores for term in score["terms"]))
    print("Who was best (the terms sum to the total; more is better)")
    rows = [
        (named(one["device"]), *(f"{one['terms'].get(term, 0):.3f}" for term in terms), f"{one['total']:.3f}")
        for one in scores[:SCORES_SHOWN]
    ]
    table(("device", *(f"#{TERMS.get(term, term)}" for term in terms), "#total"), rows)
    if len(scores) > SCORES_SHOWN:
        print(f"and {len(scores) - SCORES_SHOWN} more: --json has all")


def _attempts(found: Mapping[str, Any], named: Any) -> None:
    for attempt in found.get("attempts", ()):
        pay = f"{credits_text(attempt['pay'])} credits" if attempt["pay"] else "nothing to pay"
        how = f"failed with {attempt['code']}" if attempt["code"] else f"{attempt['state']}, {pay}"
        path = f" ({attempt['path']})" if attempt["path"] else ""
        chosen = attempt.get("reason") or ""
        why = f"; sent there as {CHOICES.get(chosen, chosen)}" if chosen else ""
        if attempt.get("expected_s"):
            waits = f", {attempt['wait_s']:.3f} s of them behind other work" if attempt["wait_s"] > 0 else ""
            why += f", expected to take {attempt['expected_s']:.3f} s{waits}"
        print(f"Attempt {attempt['attempt']} on {named(attempt['worker'])}{path}: {foreign(how)}{foreign(why)}.")
