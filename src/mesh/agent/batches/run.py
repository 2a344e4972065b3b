"""One batch under way: takes its lines in order, hands a few at a time to the requester, and keeps what they come to.

A line's outcome is posted to the store in the same step in which the requester returns it, so it is on disk no later
than the requester's own answer: what was paid for is never asked twice. What a crash leaves open goes on as the next
attempt of the same job, and a job is paid once.

Touches: the agent's store, files of the batch (both through arguments), the clock, threads.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import msgspec
import structlog

from mesh.agent.asking.asked import ATTEMPTS_A_LIFE, Again, Ask, Result
from mesh.agent.asking.numbers import Numbers
from mesh.agent.batches import rows
from mesh.agent.batches.files import BatchFiles, Line, Outcome, Results, encode_outcome
from mesh.agent.batches.rows import BatchRow, LineRow, Terms
from mesh.agent.batches.tally import Tally
from mesh.agent.store import Database, Store, StoreBroken
from mesh.credits.tariff import Rate
from mesh.errors import MeshError
from mesh.ids import JobId
from mesh.jobs import batches as rules
from mesh.jobs.attempts import Cancelled
from mesh.jobs.batches import BatchState, Mark
from mesh.jobs.placement import NowhereToRun
from mesh.sdk.batch_input import BadLine
from mesh.workloads.contract import Payload
from mesh.workloads.known import workload_named

LIVES_MAX = 4
"""Lives in which a line may go on as the same job: attempts are counted up to 64."""
LOOK_S = 0.1
"""How soon a batch notices that others have finished, or that the coordinator is back."""
MARK_S = 1.0
"""The pace is measured over marks so far apart."""
DISK_S = 5.0
"""A disk without room is looked at again so often."""

log = structlog.get_logger()


class MaxCostReached(MeshError):
    """The batch may cost no more. Raise its limit: `mesh batch resume ID --max-cost N`."""

    code = "batch.max_cost"
    kind = "nowhere"


class Jobs(Protocol):
    """Whoever has jobs done: all that a batch knows of requester and dispatch."""

    @property
    def running(self) -> int:
        """Jobs under way, of whomever."""
        ...

    async def run(self, ask: Ask) -> Result:
        """Have a job done. Raises what it failed with."""
        ...

    async def last_word(self, job: JobId) -> Result | None:
        """What had come of a job before its cancel got there; None: nothing."""
        ...


class World(NamedTuple):
    """What batches need of the agent. ``devices``: how many may work now; ``up``: whether the coordinator is there.

    ``price``: what the network has a workload cost, as far as this device has heard; None: it has no price for it.
    """

    jobs: Jobs
    store: Store
    files: BatchFiles
    numbers: Numbers
    devices: Callable[[], int]
    up: Callable[[], bool]
    price: Callable[[str], Rate | None]
    now_ms: Callable[[], int]


class Room:
    """What the batches of an agent share."""

    def __init__(self) -> None:
        self.batches = 0
        self.lines = 0


class _Under(NamedTuple):
    """A line under way: its task, and the most that it may cost."""

    task: "asyncio.Task[None]"
    promised: int


class BatchRun:
    """Runs one batch until it has ended or is left."""

    def __init__(self, row: BatchRow, tally: Tally, world: World, room: Room) -> None:
        self.row = row
        self.terms = msgspec.msgpack.decode(row.terms, type=Terms)
        self.tally = tally
        self.message = ""
        self.marks: list[Mark] = [Mark(time.monotonic(), tally.ended)]
        self._world, self._room = world, room
        self._workload = workload_named(self.terms.workload)
        self._results: Results
        self._progress: rows.Progress
        self._under: dict[int, _Under] = {}
        self._runs: Counter[int] = Counter()
        self._later: deque[Line] = deque()
        self._moved = asyncio.Event()
        self._paused_until, self._turn = 0.0, 0
        self._end_as: BatchState | None = None
        self._left: set[int] = set()
        self._leaving = False

    @property
    def running(self) -> int:
        """Lines under way."""
        return len(self._under)

    def leave(self, end_as: BatchState | None) -> None:
        """Cancel what is under way; ``end_as`` None: it goes on with the agent's next life."""
        self._leaving, self._end_as = True, end_as
        self._left = set(self._under)
        for under in self._under.values():
            under.task.cancel()
        self._moved.set()

    async def run(self) -> None:
        """Do the lines that are not done. Raises OSError where the batch's files are gone."""
        world, batch = self._world, self.row.id
        self._progress = await world.store.write(rows.progress(batch, self.row.lines))
        life = await self._begin_life()
        self._results = await asyncio.to_thread(world.files.results, batch, self._progress.end)
        self._room.batches += 1
        try:
            async with asyncio.TaskGroup() as group:
                await self._feed(group, life * ATTEMPTS_A_LIFE)
        finally:
            self._room.batches -= 1
            await world.store.write(lambda db: None)  # acts that write to the file have run
            self._results.close()
        if self._leaving:
            await self._number_anew(self._left)
            self.row = self.row._replace(lives=life)  # nothing of this life is left open
        await self._end(self._end_as or ("running" if self._leaving else "done"))

    async def _begin_life(self) -> int:
        """Note durably that attempt numbers of another life may be used; returns which life this is, from 0."""
        life = self.row.lives
        if life >= LIVES_MAX:
            number = await self._world.numbers.block(self.row.lines)
            life, self.row = 0, self.row._replace(job_number=number)
            await self._number_anew(set(self._progress.again))
        self.row = self.row._replace(lives=life + 1, state="running", code="")
        await self._world.store.write(rows.save(self.row))
        return life

    # --- which line next ------------------------------------------------------------------------------------------

    async def _feed(self, group: asyncio.TaskGroup, attempts: int) -> None:
        source = self._world.files.lines(self.row.id, self._progress.done)
        held: deque[Line] = deque()
        more = True
        while self._end_as is None and not self._leaving:
            if not held and more:
                await self._have_room()
                slice_ = await asyncio.to_thread(_next, source)
                more = slice_ is not None
                held.extend(slice_ or ())
                continue
            ready = self._later or held
            if not ready and not self._under:
                return
            if not ready or not self._may_start():
                await self._look()
                continue
            line = ready.popleft()
            try:
                payload = self._payload(line)
            except MeshError as error:
                await self._fail(line, error)
                continue
            self._start(group, line, payload, attempts)

    def _may_start(self) -> bool:
        if self._turn and self._under:
            return False  # one line finds out whether it goes on
        if time.monotonic() < self._paused_until and not (self.row.code == "link.down" and self._world.up()):
            return False
        room = self._room
        others = self._world.jobs.running - room.lines
        return len(self._under) < rules.window(self._world.devices(), batches=room.batches, others=others)

    async def _look(self) -> None:
        """Until a line has ended, or a while has passed: what others do makes no sound."""
        self._moved.clear()
        try:
            async with asyncio.timeout(LOOK_S):
                await self._moved.wait()
        except TimeoutError:
            return

    async def _have_room(self) -> None:
        """Wait while results would outgrow the quota or the disk."""
        while not self._leaving:
            try:
                await asyncio.to_thread(self._world.files.check_room, 0)
            except MeshError as error:
                self._wait_for(error)
                await self._sleep(DISK_S)
            else:
                return

    async def _sleep(self, span_s: float) -> None:
        until = time.monotonic() + span_s
        while time.monotonic() < until and not self._leaving:
            await self._look()

    def _payload(self, line: Line) -> Payload:
        if line.broken:
            raise BadLine(line.broken, line=line.number + 1)
        return self._workload.from_line(line.fields)

    # --- one line ---------------------------------------------------------------------------------------------------

    def _start(self, group: asyncio.TaskGroup, line: Line, payload: Payload, attempts: int) -> None:
        terms = self.terms
        rate = self._world.price(terms.workload)
        price = 0 if rate is None else rate.cost(self._workload.count(payload, None))
        promised = sum(under.promised for under in self._under.values())
        most = rules.allowance(price, charged=self.tally.charge, promised=promised, max_cost=self.row.max_cost)
        number = self._progress.again.get(line.number, self.row.job_number + line.number)
        numbered = self._world.numbers.numbered(number, self.row.created_ms)
        ask = Ask(
            self._workload, payload, terms.model, terms.sensitivity, terms.routing, most, terms.limit_s,
            Again(numbered, attempts), need=terms.need, caller=f"batch {self.row.id}",
        )  # fmt: skip
        self._runs[line.number] += 1
        task = group.create_task(self._line(line, ask, short=most is not None and most < price))
        under = self._under[line.number] = _Under(task, most or 0)
        self._room.lines += 1
        # One that is cancelled before its first step never gets as far as to say so.
        task.add_done_callback(lambda _: self._ended(line) if self._under.get(line.number) is under else None)

    async def _line(self, line: Line, ask: Ask, *, short: bool) -> None:
        """Have a line's job done. ``short``: it may cost less than its usual price."""
        try:
            result = await self._world.jobs.run(ask)
        except asyncio.CancelledError:
            assert ask.again is not None
            crossed = await self._world.jobs.last_word(ask.again.numbered.job)
            self._ended(line)
            if crossed is not None:
                await self._done(line, crossed)
            task = asyncio.current_task()
            if self._leaving or task is None:
                raise
            task.uncancel()  # somebody cancelled this one job
            if crossed is None:
                await self._fail(line, Cancelled())
        except MeshError as error:
            self._ended(line)
            await self._missed(line, error, short=short)
        else:
            self._ended(line)
            await self._done(line, result)

    async def _done(self, line: Line, result: Result) -> None:
        row = LineRow(line.number, "", result.job, result.device, result.charge, result.units, 0, 0)
        # Nothing is awaited between the result and this: its act is queued before that of the requester's answer.
        await self._keep(row, Outcome(line.id, result=result.payload))

    def _ended(self, line: Line) -> None:
        del self._under[line.number]
        self._room.lines -= 1
        self._moved.set()

    async def _missed(self, line: Line, error: MeshError, *, short: bool) -> None:
        tried = error.facts.get("attempts")
        codes = [str(one.get("code", "")) for one in tried] if isinstance(tried, list) else []
        fate = rules.fate(error.wire_code, error.wire_kind, codes, runs=self._runs[line.number])
        if short and error.wire_code == NowhereToRun.code and not any(one.promised for one in self._under.values()):
            self._end_as, self.message = "stopped", MaxCostReached().message
            self.row = self.row._replace(code=MaxCostReached.code)
            return
        if fate == "failed":
            await self._fail(line, error)
            return
        if not rules.same_job(error.wire_code):
            await self._number_anew({line.number})
        self._later.append(line)
        if fate == "wait":
            self._pause(error)
        self._moved.set()

    def _pause(self, error: MeshError) -> None:
        now = time.monotonic()
        if now >= self._paused_until:
            after = error.facts.get("retry_after_s")
            self._paused_until = now + rules.wait_s(self._turn, after if isinstance(after, int | float) else None)
            self._turn += 1
        self._wait_for(error)

    async def _fail(self, line: Line, error: MeshError) -> None:
        job = str(error.facts.get("job", ""))
        row = LineRow(line.number, error.wire_code, job, "", 0, 0, 0, 0)
        await self._keep(row, Outcome(line.id, error=error.wire()))

    async def _keep(self, row: LineRow, outcome: Outcome) -> None:
        """Keep a line's outcome for good. It is posted before this first waits."""
        content = encode_outcome(outcome)
        row = row._replace(start=self._progress.end, size=len(content))
        self._progress = self._progress._replace(end=row.start + row.size)
        self._progress.done[row.number] = 1
        self._left.discard(row.number)
        self.tally.add(row.code, row.device, row.charge)
        if not row.code:
            self._go_on()

        def act(db: Database) -> None:
            self._results.write(row.start, content)
            rows.put(db, self.row.id, row)

        while True:
            try:
                await self._world.store.write(act, self._results.sync)
            except StoreBroken as error:
                if self._leaving:
                    log.error("batch.outcome_not_kept", batch=self.row.id, line=row.number)
                    return
                self._wait_for(error)
                await self._sleep(DISK_S)
            else:
                return

    async def _number_anew(self, lines: set[int]) -> None:
        """Give lines other job numbers: of their first jobs all was said that there is to say."""
        if not lines:
            return
        first = await self._world.numbers.block(len(lines))
        numbers = dict(zip(sorted(lines), range(first, first + len(lines)), strict=True))
        self._progress.again.update(numbers)
        await self._world.store.write(rows.put_again(self.row.id, numbers))

    # --- how it is --------------------------------------------------------------------------------------------------

    def pace(self) -> float:
        """Lines per second of late."""
        self._mark()
        return rules.pace(self.marks)

    def _mark(self) -> None:
        now = Mark(time.monotonic(), self.tally.ended)
        if now.at_s - self.marks[-1].at_s >= MARK_S:
            self.marks = rules.noted(self.marks, now)

    def _go_on(self) -> None:
        """A line went well: whatever it waited for is over."""
        self._turn, self._paused_until, self.message = 0, 0.0, ""
        self._mark()
        if self.row.state == "waiting":
            self._note("running", "")

    def _wait_for(self, error: MeshError) -> None:
        if self._end_as is None and not self._leaving and not self._under:
            self.message = error.message
            if (self.row.state, self.row.code) != ("waiting", error.wire_code):
                self._note("waiting", error.wire_code)

    def _note(self, state: BatchState, code: str) -> None:
        self.row = self.row._replace(
            state=rules.become(self.row.state, state), code=code, changed_ms=self._world.now_ms()
        )
        self._world.store.post(rows.save(self.row))

    async def _end(self, state: BatchState) -> None:
        code = self.row.code if state == "stopped" else ""
        after = rules.become(self.row.state, state)
        self.row = self.row._replace(state=after, code=code, changed_ms=self._world.now_ms())
        await self._world.store.write(rows.save(self.row))


def _next(source: "Iterator[list[Line]]") -> list[Line] | None:
    return next(source, None)
