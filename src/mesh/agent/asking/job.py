"""A job as its requester knows it: where it may go, which attempts were made and how each ended.

Touches: nothing.
"""

import asyncio
import math
from typing import Any, NamedTuple

import msgspec

from mesh.agent.asking.asked import (
    ATTEMPTS_A_LIFE,
    AllBusy,
    Ask,
    JobFailed,
    OnProgress,
    StreamBroken,
    WrongResult,
)
from mesh.agent.asking.numbers import Numbered
from mesh.agent.asking.plan import Plan, Target
from mesh.agent.asking.receiving import Receiving
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey
from mesh.jobs.attempts import NUMBERS_MAX, End, agreed
from mesh.jobs.seating import Seat
from mesh.protocol import link
from mesh.protocol.frames import FrameError
from mesh.protocol.values import Choice, Explanation, PathKind
from mesh.workloads.contract import Payload

CANCELLED = "job.cancelled"
"""The code of an attempt that its own requester ended."""


class Tried:
    """One attempt: where, under which permit, and how it ended. ``end`` None while it runs, or when it was used."""

    def __init__(self, number: int, target: Target, plan: Plan, started_ms: int) -> None:
        self.number = number
        self.target = target
        self.plan = plan
        self.started_ms = started_ms
        self.finished_ms = started_ms
        self.path: PathKind | None = None
        self.submitted = False
        self.own_key: DeviceKey | None = None
        """The key of this device that signs all about it, once it was submitted."""
        self.signed: str | None = None
        """Its Submit, once it was submitted."""
        self.maximum = 0
        self.wait_limit_s: float | None = None
        self.receiving: Receiving | None = None
        """Its stream, where its workload streams."""
        self.unheard = False
        """Its stream is not for the caller: it only finds out whether a device works again, or its job is over."""
        self.crossed: Won | None = None
        """Its result, where that came when the job had been cancelled already."""
        self.end: End | None = None
        self.code = ""
        self.error: MeshError | None = None

    def ended(self, end: End, error: MeshError, now_ms: int) -> None:
        """Note how it ended without a result."""
        self.end, self.code, self.finished_ms, self.error = end, error.wire_code, now_ms, error

    @property
    def received(self) -> int:
        """Units that came of its stream."""
        return 0 if self.receiving is None else self.receiving.units

    def report(self) -> link.AttemptReport:
        """The line of the job's record."""
        return link.AttemptReport(
            device=self.target.device,
            attempt=self.number,
            started_ms=self.started_ms,
            finished_ms=self.finished_ms,
            path=self.path or "",
            code=self.code,
        )


class Job:
    """A job under way. ``raw`` is the encoded payload: what is sent, and what the input digest is of."""

    def __init__(self, numbered: Numbered, ask: Ask, units: int, on_progress: OnProgress | None = None) -> None:
        self.id, self.secret, self.number = numbered
        self.ask = ask
        self.on_progress = on_progress
        self.attempts_before = 0 if ask.again is None else ask.again.attempts
        self.units = units
        self.spec = ask.spec(units)
        self.raw = msgspec.msgpack.encode(ask.payload)
        self.tried: list[Tried] = []
        self.plans: list[Plan] = []
        self.explanation = Explanation()
        self.choices: list[Choice] = []
        """Why each attempt went where it went."""
        self.seat: Seat | None = None
        """Its place in the line, once it has one."""
        self.by_s = math.inf
        """When it must be done, by the loop's clock."""
        self.alone = False
        """It is asked for by itself, not under a series: what a series knew of its devices was out of date."""
        self.kept: Tried | None = None
        """The attempt whose stream broke, and is gone on with."""
        self.last_words: list[asyncio.Task[None]] = []
        """What was cancelled, and may have been done in that moment: then nobody may say that it was not."""
        self._forgiven = 0

    @property
    def spent(self) -> bool:
        """Whether the attempt numbers that this life may give are used up."""
        most = NUMBERS_MAX if self.ask.again is None else ATTEMPTS_A_LIFE
        return len(self.tried) >= most

    @property
    def copyable(self) -> bool:
        """Whether a second device may get it while a first one has it."""
        return self.spec.sensitivity != "sensitive" and not self.handed_over

    @property
    def ends(self) -> list[End]:
        """How the attempts ended so far."""
        return [tried.end for tried in self.tried if tried.end is not None]

    def avoid(self) -> tuple[DeviceId, ...]:
        """Devices that this job should not be sent to again now.

        A device that was lost once may have restarted behind a connection that is dead: it is dialled anew.
        """
        gone = ("lost", "unreached", "unstarted", "outrun")
        late = self.tried[self._forgiven :]
        lost = [tried.target.device for tried in late if tried.end in ("lost", "unstarted")]
        unreached = [tried.target.device for tried in late if tried.end == "unreached"]
        others = [tried.target.device for tried in self.tried if tried.end is not None and tried.end not in gone]
        return tuple(
            dict.fromkeys(
                [*self.ask.avoid, *others, *unreached, *(device for device in lost if lost.count(device) > 1)]
            )
        )

    @property
    def handed_over(self) -> bool:
        """Whether its caller has a part of the result already: then it is tried nowhere else."""
        return self.ask.reader is not None and self.ask.reader.begun is not None

    def reads(self, tried: Tried) -> bool:
        """Whether the caller reads this attempt's stream."""
        return self.ask.reader is not None and self.ask.reader.begun == tried.number

    def broken(self, tried: Tried, cause: MeshError) -> StreamBroken:
        """What the caller is told when the attempt has ended whose stream it was reading."""
        assert tried.receiving is not None
        got: dict[str, Any] = {"bytes": tried.receiving.bytes, "units": tried.receiving.units}
        if self.ask.resume and not isinstance(cause, WrongResult | FrameError):
            self.kept = tried  # whoever sends what is wrong is neither believed nor paid
            got["charge"] = min(tried.plan.rate.cost(tried.received), tried.target.cap)
        return StreamBroken(job=self.id, device=tried.target.device, cause=cause.wire_code, **got)

    @property
    def crossed(self) -> "Won | None":
        """The result that was on its way when the job was cancelled: nobody gets it, and it is paid for."""
        return next((tried.crossed for tried in self.tried if tried.crossed is not None), None)

    @property
    def cut(self) -> Tried | None:
        """The attempt whose stream was used as far as it came: its caller cut it, or goes on with it elsewhere."""
        return self.kept or next((one for one in self.tried if one.code == CANCELLED and one.received), None)

    def forgive(self) -> bool:
        """Nowhere else is left: give devices that were only out of reach another chance, where there are such.

        Their relay may have been away for the moment. Each chance that fails counts as a loss, so that it ends.
        """
        late = self.tried[self._forgiven :]
        self._forgiven = len(self.tried)
        return any(tried.end in ("lost", "unreached", "unstarted") for tried in late)

    @property
    def refused(self) -> bool:
        """Whether nobody took it: every attempt was turned away."""
        return all(end in ("busy", "declined", "outrun") for end in self.ends)

    def failed(self, but: DeviceId | None = None) -> "list[Tried]":
        """The attempts that failed as such, on devices ``but`` this one."""
        return [tried for tried in self.tried if tried.end == "failed" and tried.target.device != but]

    def failure(self, last: MeshError | None) -> MeshError:
        """What to tell the caller when no attempt gave a result."""
        attempts = [{"device": one.target.device, "attempt": one.number, "code": one.code} for one in self.tried]
        if not attempts:
            return last or JobFailed(job=self.id)
        if self.refused:
            after = None if last is None else last.facts.get("retry_after_s")
            after_s = float(after) if isinstance(after, int | float) else None
            return AllBusy(job=self.id, attempts=attempts, retry_after_s=after_s)
        failed = self.failed()
        if failed and failed[-1].error is not None and agreed([tried.code for tried in failed]):
            return failed[-1].error
        return JobFailed(
            f"The job failed: {'; '.join(sorted({one.code for one in self.tried}))}. "
            "The facts name each attempt; `mesh job why` tells more.",
            job=self.id,
            attempts=attempts,
        )


class Won(NamedTuple):
    """An attempt that gave a good result, with the worker's claim."""

    tried: Tried
    key: DeviceKey
    claim: str
    units: int
    """What is paid for: the least of what the worker claims and what is counted here."""
    counted: int
    payload: Payload
