"""The three places where a stream is held up, one by one: an engine's process, its worker, its requester."""

import asyncio
import threading

import pytest

from mesh.agent.asking.asked import WrongResult
from mesh.agent.asking.receiving import UNTAKEN_BYTES_MAX, Receiving
from mesh.agent.working import delivering
from mesh.agent.working.delivering import BEHIND_S, Delivery
from mesh.ids import JobId
from mesh.protocol.frames import CHUNK_BYTES_MAX, Chunk
from mesh.workloads.chat import Chat, payload_of
from mesh.workloads.contract import Outlet, Payload
from mesh.workloads.frames import WINDOW_BYTES
from mesh.workloads.speech import Speech, Unwanted
from waiting import LIMIT_S

pytestmark = pytest.mark.anyio

CHAT = Chat()
PAYLOAD = payload_of([("user", "1234")])


class Ends:
    """A worker's end whose chunks are kept and whose clock is held."""

    def __init__(self, *, paid=True):
        self.sent, self.now, self.stalled = [], 0.0, asyncio.Event()
        self.taken = 0
        self.delivery = Delivery(
            *(CHAT, PAYLOAD, bytes(32)),
            lambda number, content: self.sent.append((number, content)),
            now=(lambda: self.now) if paid else None,
            stalled=self.stalled.set,
        )
        self.delivery.outlet.on_taken = self._took

    def _took(self, count):
        self.taken += count

    def put(self, content):
        self.delivery.outlet.put(content)


async def test_a_paid_stream_stops_when_the_count_is_more_than_two_beats_behind_and_goes_on_with_it():
    ends = Ends()
    ends.put(b"one")
    ends.now = BEHIND_S
    ends.put(b"two")  # the Count may still be on its way
    ends.now = BEHIND_S + 0.01
    ends.put(b"three")
    ends.put(b"four")
    assert [content for _, content in ends.sent] == [b"one", b"two"]
    assert ends.delivery.units == 4 + 6  # what is held was not delivered
    waiting = asyncio.ensure_future(ends.delivery.drained())
    ends.delivery.counted(4 + 3, "count of one")  # `two` is 10 ms old
    await waiting
    assert [number for number, _ in ends.sent] == [0, 1, 2, 3]
    assert (ends.delivery.units, ends.delivery.count) == (4 + 15, "count of one")


async def test_a_count_that_says_less_than_one_before_is_no_news():
    ends = Ends()
    ends.put(b"one")
    ends.delivery.counted(7, "seven")
    ends.delivery.counted(5, "five")
    assert ends.delivery.count == "seven"


async def test_what_is_not_paid_needs_no_counts():
    ends = Ends(paid=False)
    ends.put(b"one")
    ends.now = 1000.0
    ends.put(b"two")
    assert len(ends.sent) == 2


async def test_the_engine_gets_room_for_what_was_taken_and_for_nothing_else():
    ends = Ends()
    ends.put(b"x" * 100)
    for claimed in (60, 60, 40, 101, -5):  # a repeat, less, more than was ever sent
        ends.delivery.taken(claimed)
    assert ends.taken == 60
    ends.delivery.taken(100)
    assert ends.taken == 100


async def test_a_reader_that_stands_still_is_given_up_and_one_that_moves_is_not(monkeypatch):
    monkeypatch.setattr(delivering, "STALLED_S", 0.05)
    ends = Ends()
    ends.put(b"x" * WINDOW_BYTES)
    ends.delivery.taken(WINDOW_BYTES)
    ends.put(b"x")
    assert ends.delivery._timer is None
    ends.put(b"x" * WINDOW_BYTES)
    async with asyncio.timeout(LIMIT_S):
        await ends.stalled.wait()


async def test_a_long_saying_leaves_in_parts_and_says_the_same():
    ends = Ends(paid=False)
    ends.put(bytes(range(256)) * (CHUNK_BYTES_MAX // 256) + b"end")
    assert [len(content) for _, content in ends.sent] == [CHUNK_BYTES_MAX, 3]


def receiving(outlet=None):
    told = []

    def begin():
        told.append("begun")
        return outlet is not None

    one = Receiving(CHAT, PAYLOAD, outlet, begin=begin, tell=lambda: told.append("tell"))
    if outlet is not None:
        outlet.on_taken = one.took
    return one, told


def chunk(number, content):
    return Chunk(JobId("job"), 1, number, content)


async def test_chunks_that_miss_one_repeat_or_hold_nothing_are_no_stream():
    for sequence, content in ((1, b"x"), (0, b"")):
        with pytest.raises(WrongResult):
            receiving()[0].chunk(chunk(sequence, content))
    one, _ = receiving()
    one.chunk(chunk(0, b"x"))
    with pytest.raises(WrongResult):
        one.chunk(chunk(0, b"x"))


async def test_a_worker_that_sends_on_regardless_is_given_up_before_memory_fills():
    come = []
    one, _ = receiving(Outlet(come.append))
    sent = 0
    with pytest.raises(WrongResult) as flood:
        for number in range(1000):
            one.chunk(chunk(number, b"x" * CHUNK_BYTES_MAX))
            sent += CHUNK_BYTES_MAX
    assert flood.value.facts["reason"] == "flood"
    assert sent <= UNTAKEN_BYTES_MAX + CHUNK_BYTES_MAX


async def test_a_result_must_say_what_was_streamed():
    one, _ = receiving()
    one.chunk(chunk(0, b"deep"))
    one.check(Payload({"text": "deep"}))
    with pytest.raises(WrongResult):
        one.check(Payload({"text": "shallow"}))


async def test_the_worker_is_told_when_half_a_window_was_taken():
    outlet = Outlet(lambda content: None)
    one, told = receiving(outlet)
    one.chunk(chunk(0, b"x" * WINDOW_BYTES))
    outlet.took(WINDOW_BYTES // 2 - 1)
    assert told == ["begun"]
    outlet.took(1)
    assert told == ["begun", "tell"]
    assert (one.untold(), one.untold()) == (WINDOW_BYTES // 2, None)
    assert (one.uncounted(), one.uncounted()) == (4 + WINDOW_BYTES, None)


class Spoken:
    """A job's stream in an engine's process, with lanes that are threads."""

    def __init__(self):
        self.changed = threading.Condition()
        self.left = []
        self.speech = Speech(self.changed, self.left.append)

    async def lane(self, place, *contents):
        def work():
            for content in contents:
                self.speech.say(place, content)
            self.speech.answered(place)
            self.speech.catch_up()

        await asyncio.to_thread(work)


async def test_pieces_leave_in_their_order_whichever_is_ready_first():
    spoken = Spoken()
    await spoken.lane(2, b"c")
    await spoken.lane(1, b"b1", b"b2")
    assert spoken.left == []
    await spoken.lane(0, b"a")
    assert b"".join(spoken.left) == b"ab1b2c"


async def test_a_full_window_holds_the_lane_until_something_is_taken_or_nobody_wants_it():
    spoken = Spoken()
    await spoken.lane(0, b"x" * WINDOW_BYTES)
    holding = asyncio.ensure_future(spoken.lane(1, b"y"))
    done, _ = await asyncio.wait([holding], timeout=0.1)
    assert not done
    await asyncio.to_thread(spoken.speech.took, 1)
    await holding
    assert spoken.left[-1] == b"y"
    assert spoken.speech.waited_s > 0.05
    cut = asyncio.ensure_future(spoken.lane(2, b"z" * 2, b"never"))
    await asyncio.wait([cut], timeout=0.1)
    with spoken.changed:
        spoken.speech.end()
    with pytest.raises(Unwanted):
        await cut
