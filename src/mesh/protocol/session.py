"""The job session between two devices as a machine that can be held still: bytes in → frames out, frame in → bytes out.

The same machine serves both ends; ``side`` says which. It enforces the order: nothing but one ``Hello`` is parsed until
the caller has looked at the peer's certificate and called ``admit``; every frame about an attempt must fit the state
that attempt is in. A breach raises FrameError, and the caller ends the connection.

An attempt, seen by either end (rows: state; who speaks; frame → next state):

    (none)     asker   Submit             → submitted
    submitted  worker  Accept             → accepted       Busy, Decline → gone
    accepted   worker  Progress           → accepted       Started → started    Decline, Fault → gone
    started    worker  Progress, Chunk    → started        Done, Fault → gone
    any        asker   Cancel             → cancelled
    cancelled  worker  anything but a last word is dropped; Busy, Decline, Done, Fault → gone

``Acknowledged`` and ``Cancel`` about an attempt that is gone are late news, and ignored.

Touches: nothing.
"""

from collections.abc import Mapping
from typing import Literal

from mesh.ids import JobId
from mesh.protocol import frames
from mesh.protocol.frames import AnyFrame, Frame, FrameError, FrameReader

Side = Literal["asker", "worker"]
AttemptState = Literal["submitted", "accepted", "started", "cancelled"]
Key = tuple[JobId, int]

ATTEMPTS_MAX = 1024
"""Attempts open in one session: four times a worker's queue; a peer with more is broken or hostile."""

_ASKER: tuple[type[Frame], ...] = (frames.Submit, frames.Acknowledged, frames.Cancel, frames.Beat)
_WORKER: tuple[type[Frame], ...] = (
    frames.Accept, frames.Busy, frames.Decline, frames.Started, frames.Progress, frames.Chunk, frames.Done,
    frames.Fault, frames.Beat,
)  # fmt: skip

_NEXT: Mapping[tuple[AttemptState, type[Frame]], AttemptState | None] = {
    ("submitted", frames.Accept): "accepted",
    ("submitted", frames.Busy): None,
    ("submitted", frames.Decline): None,
    ("accepted", frames.Progress): "accepted",
    ("accepted", frames.Started): "started",
    ("accepted", frames.Decline): None,
    ("accepted", frames.Fault): None,
    ("started", frames.Progress): "started",
    ("started", frames.Chunk): "started",
    ("started", frames.Done): None,
    ("started", frames.Fault): None,
}
"""The one table of what a worker may say; None: the attempt is gone."""

_LAST_WORDS: tuple[type[Frame], ...] = (frames.Busy, frames.Decline, frames.Done, frames.Fault)


class Session:
    """One session stream's state. Not thread-safe; no I/O."""

    def __init__(self, side: Side) -> None:
        """``side``: which end this is."""
        self.side = side
        self.peer_side: Side = "worker" if side == "asker" else "asker"
        self.admitted = False
        self._greeted = False
        self._heard_hello = False
        self._reader = FrameReader(frames.HELLO_BYTES_MAX)
        self._attempts: dict[Key, AttemptState] = {}

    @property
    def in_flight(self) -> int:
        """Attempts that neither side has ended."""
        return len(self._attempts)

    def state(self, job: JobId, attempt: int) -> AttemptState | None:
        """Where an attempt stands; None when it is gone or never was."""
        return self._attempts.get((job, attempt))

    def admit(self) -> None:
        """The peer's certificate is good: parse what follows its Hello."""
        assert self._heard_hello, "a peer is admitted by its Hello"
        self.admitted = True
        self._reader.limit = frames.FRAME_BYTES_MAX

    def receive(self, content: bytes) -> list[AnyFrame]:
        """Take bytes that arrived; return the frames that may be acted on, in order. Raises FrameError.

        Before ``admit`` this is at most the peer's Hello: call ``receive(b"")`` after admitting it.
        """
        self._reader.feed(content)
        accepted: list[AnyFrame] = []
        if not self.admitted:
            if self._heard_hello:
                if len(self._reader.rest) > frames.FRAME_BYTES_MAX:
                    raise FrameError("Too much was sent before the certificate was checked.", reason="early")
                return []
            hello = self._reader.next()
            if hello is None:
                return []
            if not isinstance(hello, frames.Hello):
                raise FrameError("A session must open with Hello.", reason="order")
            self._heard_hello = True
            return [hello]
        while (frame := self._reader.next()) is not None:
            if self._take(frame, self.peer_side):
                accepted.append(frame)
        return accepted

    def send(self, frame: AnyFrame) -> bytes:
        """Note what this side says, and return its bytes. Out of order is our own bug, unless it crossed a Cancel."""
        if isinstance(frame, frames.Hello):
            assert not self._greeted
            self._greeted = True
            return frames.encode(frame)
        assert self._greeted, "Hello comes first"
        self._take(frame, self.side)
        return frames.encode(frame)

    def abandon(self) -> list[Key]:
        """The stream is gone: forget all attempts and return the ones that were open."""
        left = list(self._attempts)
        self._attempts.clear()
        return left

    def _take(self, frame: AnyFrame, speaker: Side) -> bool:
        """Move the attempt's state; return whether the frame is news to act on."""
        if not isinstance(frame, _ASKER if speaker == "asker" else _WORKER):
            raise FrameError("A frame came from the wrong side.", frame=type(frame).__name__)
        if isinstance(frame, frames.Beat):
            return True
        assert not isinstance(frame, frames.Hello | frames.Blob)
        key = (frame.job, frame.attempt)
        if isinstance(frame, frames.Submit):
            return self._open(key)
        if isinstance(frame, frames.Cancel):
            if key not in self._attempts:
                return False
            self._attempts[key] = "cancelled"
            return True
        if isinstance(frame, frames.Acknowledged):
            return True
        return self._advance(key, frame)

    def _open(self, key: Key) -> bool:
        if key in self._attempts:
            raise FrameError("An attempt was submitted twice.", reason="repeat")
        if len(self._attempts) >= ATTEMPTS_MAX:
            raise FrameError("Too many attempts are open in one session.", reason="attempts")
        self._attempts[key] = "submitted"
        return True

    def _advance(self, key: Key, frame: AnyFrame) -> bool:
        state = self._attempts.get(key)
        if state is None:
            raise FrameError("A frame names an attempt that is not open.", frame=type(frame).__name__)
        if state == "cancelled":
            last = isinstance(frame, _LAST_WORDS)
            if last:
                del self._attempts[key]
            return last
        if (state, type(frame)) not in _NEXT:
            raise FrameError("A frame does not fit its attempt.", frame=type(frame).__name__, state=state)
        following = _NEXT[state, type(frame)]
        if following is None:
            del self._attempts[key]
        else:
            self._attempts[key] = following
        return True
