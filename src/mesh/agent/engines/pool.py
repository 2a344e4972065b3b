"""What the agent needs of its engines: run a job, and say what this device offers.

Touches: nothing.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from mesh.protocol.values import Isolation, ModelOffer
from mesh.workloads.contract import ANY_TURN, NOBODY, Listener, Payload, Turn

Say = Callable[[str, int, int], None]
"""Progress of getting a model ready: stage, done, total bytes."""


class Works(Protocol):
    """Whatever does jobs on this device."""

    async def run(
        self,
        workload: str,
        model: str,
        payload: Payload,
        *,
        limit_s: float,
        turn: Turn = ANY_TURN,
        listener: Listener = NOBODY,
    ) -> Payload:
        """Do a job; cancelling drops it."""
        ...  # fmt: skip

    def expected_s(self, workload: str, model: str, units: int) -> float | None:
        """Seconds of work in so many units; None if unknown."""
        ...

    def warm(self) -> tuple[str, ...]:
        """The models that are loaded now."""
        ...


class Pool(Works, Protocol):
    """The engines of this device."""

    async def prepare(self, workload: str, model: str, say: Say | None = None) -> None:
        """Fetch, check and load a model."""
        ...

    async def measure(self, workload: str, model: str) -> ModelOffer:
        """Measure this device's speed."""
        ...

    def offer(self, workload: str, model: str) -> ModelOffer:
        """What is known of a model on this device; a rate of 0: not measured yet."""
        ...

    def recall(self, offer: ModelOffer) -> None:
        """Take over what was measured before a restart."""
        ...

    def unload(self, workload: str, model: str) -> None:
        """Stop a model's process; jobs in it fail."""
        ...

    def limit_others(self, share: float) -> None:
        """Let other people's jobs use this share (0..1) of the device, at least one lane."""
        ...

    def assume(self, workload: str, model: str) -> None:
        """Offer a model before it is here; the first job brings it. Raises what keeps this machine from it."""
        ...

    def measured(self, workload: str, model: str) -> bool:
        """Whether its speed is known here."""
        ...

    on_measured: Callable[[], Coroutine[Any, Any, None]] | None
    """Called when the first job has shown how fast an assumed model really is here."""

    def processes(self) -> dict[str, int]:
        """Process ids of the loaded models."""
        ...

    def isolation(self, workload: str, model: str) -> Isolation | None:
        """How far the model's process is confined; None while it is not loaded."""
        ...
