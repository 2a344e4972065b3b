"""A streamed text that breaks goes on at another device, where its reader asked for that: as a further job, marked.

A job is paid once, so the rest is a job of its own. What came of the first is acknowledged and paid as far as it came;
the second is given the question and the text so far, and makes what follows. The reader is told where they join.

Touches: the event loop, the requester (through its arguments).
"""

import asyncio
import codecs
from collections.abc import Awaitable, Callable

from mesh.agent.asking.asked import Ask, Begun, Join, Reader, Result, StreamBroken
from mesh.errors import MeshError
from mesh.workloads.contract import Continuable


class CannotResume(MeshError):
    """An answer in JSON is held to its form from its first letter on: no other device can go on in its middle. Leave
    `resume` out, or ask for it whole: an answer that is not streamed is begun anew elsewhere by itself.
    """

    code = "stream.cannot_resume"
    kind = "invalid"


JOINS_MAX = 3
"""A text that breaks on four devices breaks on any."""

Run = Callable[[Ask], Awaitable[Result]]


async def resumed(run: Run, ask: Ask) -> Result:
    """Have a streamed job done; where its stream breaks it goes on elsewhere. Raises CannotResume, and as ``run`` does.

    Where it cannot go on, the StreamBroken of the part that broke last is raised.
    """
    assert ask.reader is not None
    if not isinstance(ask.workload, Continuable) or ask.workload.go_on(ask.payload, "") is None:
        raise CannotResume
    return await _Resuming(run, ask, ask.reader).whole()


class _Resuming:
    """One text on its way."""

    def __init__(self, run: Run, ask: Ask, reader: Reader) -> None:
        self._run, self._ask, self._reader = run, ask, reader
        self._said = ""
        self._joins: list[Join] = []
        self._given = 0
        self._taken = 0
        """Bytes that were given to the reader, and those that it has taken."""
        reader.on_taken = self._took
        self._took_of: Callable[[int], None] = lambda count: None
        self._before = 0

    async def whole(self) -> Result:
        """Until the text has ended."""
        loop = asyncio.get_running_loop()
        ask, until_s = self._ask, loop.time() + self._ask.limit_s
        broken: StreamBroken | None = None
        while True:
            try:
                result = await self._run(ask._replace(reader=self._part(broken), resume=True))
            except StreamBroken as error:
                broken = error
            except MeshError as error:
                if broken is None:
                    raise
                raise self._all_that_came(broken) from error  # nobody can go on
            else:
                return self._whole(result, broken)
            following = self._rest(ask, broken, until_s - loop.time())
            if following is None:
                raise self._all_that_came(broken)
            ask = following

    def _all_that_came(self, broken: StreamBroken) -> StreamBroken:
        broken.facts["bytes"] = len(self._said.encode())
        return broken

    def _rest(self, ask: Ask, broken: StreamBroken, left_s: float) -> Ask | None:
        """What is left to be asked for; None where nobody can or may go on."""
        charge, workload = broken.facts.get("charge"), ask.workload
        if charge is None or len(self._joins) == JOINS_MAX or left_s <= 0 or not isinstance(workload, Continuable):
            return None
        payload = workload.go_on(self._ask.payload, self._said)
        if payload is None:
            return None
        most = None if ask.max_cost is None else max(0, ask.max_cost - charge)
        avoid = (*ask.avoid, broken.facts["device"])
        return ask._replace(payload=payload, max_cost=most, limit_s=left_s, avoid=avoid, again=None)

    def _part(self, broken: StreamBroken | None) -> Reader:
        """What reads the next part. Only whole characters are given on: no letter comes from two devices."""
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")

        def put(content: bytes) -> None:
            text = decoder.decode(content)
            if text:
                self._said += text
                whole = text.encode()
                self._given += len(whole)
                self._reader.put(whole)

        def begin(begun: Begun) -> None:
            self._before, self._took_of = self._given, part.took
            if broken is None:
                self._reader.begin(begun)
            else:
                self._join(broken, begun)

        part = Reader(put, begin)
        return part

    def _join(self, broken: StreamBroken, rest: Begun | Result) -> None:
        facts, where = broken.facts, (rest.job, rest.device, rest.path)
        join = Join(len(self._said), *where, facts["job"], facts["cause"], facts["charge"])
        self._joins.append(join)
        self._reader.joined(join)

    def _took(self, count: int) -> None:
        """The reader has taken so much more: what is of the part under way is told to its giver."""
        mine = min(count, max(0, self._taken + count - self._before))
        self._taken += count
        if mine:
            self._took_of(mine)

    def _whole(self, result: Result, broken: StreamBroken | None) -> Result:
        if broken is None:
            return result
        if not self._joins or self._joins[-1].job != result.job:
            self._join(broken, result)  # nothing was left to be said
        workload, at = self._ask.workload, self._joins[-1].at
        assert isinstance(workload, Continuable)
        charge = result.charge + sum(join.charge for join in self._joins)
        payload = workload.put_together(self._said[:at], result.payload)
        return result._replace(payload=payload, charge=charge, joins=tuple(self._joins))
