"""Tells the coordinator which jobs run here, so that people see them: only those that run for more than a moment.

It looks at the worker from time to time instead of being told, so that a short job costs nothing here.

Touches: the link (through its argument).
"""

import asyncio
from typing import Protocol

from mesh.agent.working.attempt import AttemptKey
from mesh.agent.working.worker import Worker
from mesh.protocol import link
from mesh.protocol.values import JobSpec
from mesh.transport.link import LinkDown

LOOK_S = 0.5
"""A job seen in two looks is told: it has run for half a second or more."""


class Sender(Protocol):
    """The link, as far as it is needed here."""

    @property
    def up(self) -> bool:
        """Whether it stands."""
        ...

    async def send(self, message: link.Message) -> None:
        """Send a message. Raises LinkDown."""
        ...


class Announcer:
    """Keeps the coordinator's picture of this worker."""

    def __init__(self, worker: Worker, sender: Sender) -> None:
        self._worker = worker
        self._sender = sender
        self._told: set[AttemptKey] = set()

    async def run(self) -> None:
        """Look and tell until cancelled. A new link knows nothing, and is told all."""
        seen: set[AttemptKey] = set()
        while True:
            await asyncio.sleep(LOOK_S)
            now = self._worker.started()
            try:
                await self._tell({key: spec for key, spec in now.items() if key in seen})
            except LinkDown:
                self._told.clear()
            seen = set(now)

    async def _tell(self, running: dict[AttemptKey, JobSpec]) -> None:
        if not self._sender.up:
            self._told.clear()
            return
        for requester, job, attempt in self._told - running.keys():
            await self._sender.send(link.Started(job, attempt, requester, ended=True))
        for key in running.keys() - self._told:
            requester, job, attempt = key
            spec = running[key]
            await self._sender.send(
                link.Started(job, attempt, requester, spec.workload, spec.model, spec.sensitivity, max(0, spec.units))
            )
        self._told = set(running)
