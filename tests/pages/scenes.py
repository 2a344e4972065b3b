"""Networks to look at that no test could bring about quickly: many devices, detours, failures, bands of small jobs."""

from typing import Any

KEPT = {"key": "ab" * 32, "tags": [], "held": None, "ephemeral": False, "joined_ms": 0, "certificate_until_ms": None}


def device(
    name: str, owner: str, now: int, *changes: tuple[str, int], state: str = "ready", tier: int = 2
) -> dict[str, Any]:
    """A device and how it was: (state, seconds ago) in order."""
    history = [{"state": was, "since_ms": now - ago * 1000} for was, ago in (changes or ((state, 9999),))]
    capability = {"system": "linux", "arch": "x86_64", "cores": 8, "memory_bytes": 16_000_000_000, "tier": tier}
    return {
        **KEPT, "device": name.upper(), "name": name, "owner": owner, "state": history[-1]["state"], "history": history,
        "last_seen_ms": now - 5000, "capability": capability, "condition": {"battery": 0.71}, "contributes": True,
        "limit": "",
    }  # fmt: skip


def stitch(now: int, job: str, pair: str, span: tuple[float, float | None], **change: Any) -> dict[str, Any]:
    """An attempt: ``pair`` is "asker>worker", ``span`` seconds ago from and to."""
    asker, _, worker = pair.upper().partition(">")
    started, ended = span
    finished = None if ended is None else int(now - ended * 1000)
    base = {
        "job": job, "attempt": 1, "requester": asker, "member": "M", "worker": worker, "workload": "ocr", "units": 12,
        "path": "direct", "code": "", "started_ms": int(now - started * 1000), "finished_ms": finished,
    }  # fmt: skip
    return {**base, **change}


def kitchen(now: int, me: str, other: str) -> dict[str, Any]:
    """Nine devices of two people in a minute in which everything happens once."""
    devices = [
        device("lumen", me, now),
        device("atlas", me, now, tier=3),
        device("pixel-9", me, now, ("ready", 900), ("paused", 47)),
        device("studio", other, now, tier=3),
        device("thinkpad", other, now),
        device("basement", other, now, tier=4),
        device("jonas-x1", other, now, ("ready", 900), ("offline", 34)),
        device("orchard", other, now, ("ready", 900), ("draining", 20)),
        device("mei-tab", other, now, ("pending", 18)),
    ]
    small = [
        stitch(
            now,
            f"e{at}",
            "orchard>basement",
            (41 - at * 0.05, 40.96 - at * 0.05),
            workload="embeddings",
            path="relayed",
        )
        for at in range(240)
    ]
    stitches = [
        stitch(now, "a", "lumen>studio", (45, 33.5)),
        stitch(now, "b", "orchard>pixel-9", (57, 50), workload="chat"),
        stitch(now, "c", "lumen>thinkpad", (27, 22.6), code="transport.lost"),
        stitch(now, "c", "lumen>studio", (22.6, None), attempt=2, units=31),
        stitch(now, "d", "lumen>atlas", (7, None), workload="chat"),
        stitch(now, "f", "jonas-x1>jonas-x1", (46, 42), path="local"),
        stitch(now, "g", "studio>basement", (12, None), path="relayed", workload="embeddings"),
    ]
    return {"now_ms": now, "since_ms": now - 60_000, "devices": devices, "stitches": [*stitches, *small]}


def lab(now: int, me: str, other: str) -> dict[str, Any]:
    """Sixty-one devices, seven at work."""
    devices = [device(f"rack-{at:02}", other if at % 3 else me, now, tier=4) for at in range(49)]
    devices += [device(f"away-{at:02}", other, now, ("offline", 4000)) for at in range(12)]
    stitches = [
        stitch(now, f"r{at}", f"rack-{at:02}>rack-{(at + 5) % 14:02}", (55 - at * 3, 40 - at * 3 if at < 10 else None))
        for at in range(17)
    ]
    return {"now_ms": now, "since_ms": now - 60_000, "devices": devices, "stitches": stitches}
