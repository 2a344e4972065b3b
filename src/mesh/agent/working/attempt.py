"""One attempt on its way through a worker, and what a worker needs of others to do it.

Touches: nothing.
"""

import asyncio
from typing import Protocol

from mesh.agent.peers.sessions import PeerConnection
from mesh.agent.peers.stream import SessionStream
from mesh.agent.working.checks import Checked
from mesh.agent.working.delivering import Delivery
from mesh.agent.working.queueing import Bid
from mesh.errors import MeshError
from mesh.ids import DeviceId, JobId
from mesh.protocol import frames

AttemptKey = tuple[DeviceId, JobId, int]
"""Requester's device, job, attempt: what names an attempt for good."""


class Repeated(MeshError):
    """This attempt was sent to the device before. The requester numbers a new attempt by itself."""

    code = "worker.repeated"
    kind = "conflict"


class WrongInput(MeshError):
    """The input that arrived is not the one that was signed for. The job is tried again by itself."""

    code = "worker.wrong_input"
    kind = "invalid"


class Doorkeeper(Protocol):
    """This device's own say in what it takes."""

    def refuse(self, asker: PeerConnection, frame: frames.Submit, checked: Checked) -> None:
        """Raise the reason for which this device does not take the job now."""
        ...


class Attempt:
    """One attempt on its way through the worker."""

    def __init__(self, peer: PeerConnection, stream: SessionStream, frame: frames.Submit, checked: Checked) -> None:
        assert peer.certificate is not None
        self.peer, self.stream, self.frame, self.checked = peer, stream, frame, checked
        self.asker = peer.certificate
        self.payload = frame.payload
        self.size = len(frame.payload) if frame.payload is not None else frame.payload_size
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        """Whether the task has made its first step: one that is cancelled before it would never clean up."""
        self.cancelled: MeshError | None = None
        """Why it is to end, once it is."""
        self.started = False
        self.started_ms = 0
        self.delivery: Delivery | None = None
        """Its stream, once it is worked on."""
        self._told = ("", -1)
        self.bid: Bid
        """What it asked of the queue; set when it was admitted."""

    @property
    def key(self) -> AttemptKey:
        """What names this attempt."""
        return (self.asker.device, self.frame.job, self.frame.attempt)

    def begin(self) -> None:
        """The task's first step. Raises why it is to end, if that was said before."""
        self.begun = True
        if self.cancelled is not None:
            raise self.cancelled

    def advance(self, fraction: float) -> None:
        """Tell the requester how much of it is done."""
        self.stream.send(frames.Progress(self.frame.job, self.frame.attempt, "running", fraction))

    def getting_ready(self, stage: str, done: int, total: int) -> None:
        """Tell the requester how far the model is from being ready: every hundredth of a stage."""
        fraction = done / total if total else 0.0
        now = (stage, int(fraction * 100))
        if now != self._told:
            self._told = now
            self.stream.send(frames.Progress(self.frame.job, self.frame.attempt, stage, fraction))

    def still_getting_ready(self) -> None:
        """Nothing new of the model; the requester is told that much."""
        stage, hundredths = self._told
        self.stream.send(
            frames.Progress(self.frame.job, self.frame.attempt, stage or "loading", max(0, hundredths) / 100)
        )
