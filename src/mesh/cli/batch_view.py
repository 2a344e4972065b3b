"""How batches look: as JSON, and as words, tables and a progress bar for people.

Touches: stdout, stderr.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mesh.cli.output import Out, foreign, table
from mesh.jobs.batches import ENDED, KEEP_S
from mesh.units import MIB, credits_text

if TYPE_CHECKING:
    from mesh.sdk.batches import Batch, ResultLine
    from mesh.workloads.contract import Workload

FAILURES_SHOWN = 8
DAYS_KEPT = round(KEEP_S / 86400)


def value(batch: "Batch") -> dict[str, Any]:
    """A batch as JSON: every field, also those that hold their default."""
    return {
        "batch": batch.batch,
        "name": batch.name,
        "state": batch.state,
        "code": batch.code,
        "message": batch.message,
        "workload": batch.workload,
        "model": batch.model,
        "lines": batch.lines,
        "ok": batch.ok,
        "failed": batch.failed,
        "running": batch.running,
        "failures": batch.failures,
        "charge": batch.charge,
        "max_cost": batch.max_cost,
        "lines_per_s": batch.lines_per_s,
        "eta_s": batch.eta_s,
        "devices": [{"device": one.device, "lines": one.lines} for one in batch.devices],
        "created_ms": batch.created_ms,
        "changed_ms": batch.changed_ms,
        "bytes": batch.bytes,
        "again": batch.again,
    }


def result_line(found: "ResultLine", workload: "Workload") -> dict[str, Any]:
    """What one line came to: its id, where and at which price, then the workload's own fields, or ``error``."""
    from mesh.workloads.contract import Payload

    about: dict[str, Any] = {"line": found.line, "id": found.id}
    if found.error is not None or found.manifest is None:
        return {**about, "error": found.error}
    about |= {"job": found.job, "device": found.device, "charge": found.charge}
    return {**about, **workload.to_line(Payload(found.manifest, found.blobs))}


def overview(batches: "Sequence[Batch]") -> None:
    """Print a line for each batch."""
    rows = [
        (
            one.name or one.batch,
            _state(one),
            f"{one.ok + one.failed} of {one.lines}",
            str(one.failed or ""),
            "" if one.eta_s is None or one.state in ENDED else span(one.eta_s),
            credits_text(one.charge) if one.charge else "",
        )
        for one in batches
    ]
    columns = ("batch", "state", "#done", "#failed", "#left", "#credits")
    table(columns, rows, empty="No batches yet. Next: mesh batch submit FILE")


def words(batch: "Batch", names: Mapping[str, str]) -> None:
    """Print one batch for people."""
    called = f"{foreign(batch.name)} ({batch.batch})" if batch.name else batch.batch
    print(f"Batch {called}: {_state(batch)}.")
    done = f"{batch.ok + batch.failed} of {batch.lines} lines"
    failed = f", {batch.failed} of them failed" if batch.failed else ""
    cost = f"{credits_text(batch.charge)} credits" if batch.charge else "nothing"
    print(f"{done} have an outcome{failed}. It cost {cost} so far; {batch.bytes / MIB:.1f} MiB are kept here.")
    if batch.state == "running" and batch.lines_per_s:
        left = "" if batch.eta_s is None else f", about {span(batch.eta_s)} left"
        print(f"{batch.lines_per_s:.1f} lines a second{left}.")
    if batch.message and batch.state in ("waiting", "stopped"):
        print(foreign(f"Why: {batch.message} [{batch.code}]"))
    if batch.devices:
        by = (f"{names.get(one.device, one.device)} {one.lines}" for one in batch.devices)
        print(foreign(f"Lines by device: {', '.join(by)}."))
    if batch.failures:
        kinds = sorted(batch.failures.items(), key=lambda one: -one[1])[:FAILURES_SHOWN]
        print(f"What failed: {', '.join(f'{code} {count}' for code, count in kinds)}.")
    print(foreign(_next(batch)))


def _state(batch: "Batch") -> str:
    if batch.state == "waiting":
        return f"waiting ({batch.code})"
    return batch.state


def _next(batch: "Batch") -> str:
    name = batch.name or batch.batch
    kept = f"Input and results are erased after {DAYS_KEPT} days."
    if batch.state in ("running", "waiting"):
        return f"It goes on while the agent runs, and after every restart. Look: mesh batch show {name} --wait"
    if batch.state == "done":
        again = f" Try what failed again: mesh batch resume {name} --failed." if batch.failed else ""
        return f"Results: mesh batch results {name}.{again} {kept}"
    return f"Go on: mesh batch resume {name}. Results so far: mesh batch results {name}. {kept}"


def span(seconds: float) -> str:
    """A time for people: ``48 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress(out: Out) -> "Iterator[Callable[[Batch], None]]":
    """Show how far a batch is, on stderr: a bar with the time that is left, or a line per tenth without a terminal."""
    if not sys.stderr.isatty():
        yield _by_lines(out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bars = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}", markup=False))
    with Progress(
        TextColumn("{task.description}", markup=False), *bars, console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("batch", total=None, left="")

        def show(batch: "Batch") -> None:
            ended = batch.ok + batch.failed
            bar.update(task, total=batch.lines, completed=ended, description=foreign(_state(batch)), left=_left(batch))

        yield show


def _left(batch: "Batch") -> str:
    """What stands beside the bar."""
    if batch.state in ("waiting", "stopped"):
        return foreign(batch.message)
    failed = f", {batch.failed} failed" if batch.failed else ""
    if batch.state in ENDED:
        return "the end" + failed
    return (f"about {span(batch.eta_s)} left" if batch.eta_s is not None else "measuring") + failed


def _by_lines(out: Out) -> "Callable[[Batch], None]":
    seen: set[tuple[str, str, int]] = set()

    def show(batch: "Batch") -> None:
        ended = batch.ok + batch.failed
        mark = (batch.state, batch.code, ended * 10 // batch.lines)
        if mark not in seen:
            seen.add(mark)
            out.note(f"batch: {_state(batch)}, {ended} of {batch.lines} lines, {_left(batch)}")

    return show
