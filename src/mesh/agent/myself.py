"""What this device says of itself: its state as its owner set it, its queue, its models, its sensors.

The sensors are read once per beat; between beats jobs are judged by that reading and the state and queue of the moment.

Touches: what ``probe`` touches; the agent's store (through its argument).
"""

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from mesh.agent.probe import Probe
from mesh.agent.store import Store
from mesh.ids import DeviceId
from mesh.protocol.link import OwnDevice
from mesh.protocol.values import Capability, Condition, Isolation, Load, ModelOffer

Wanted = Literal["ready", "paused", "draining"]
_wanted: msgspec.json.Decoder[Wanted] = msgspec.json.Decoder(Wanted)


class Models(Protocol):
    """The engines, as far as they tell what this device offers."""

    def offers(self) -> tuple[ModelOffer, ...]:
        """What was measured."""
        ...

    def warm(self) -> tuple[str, ...]:
        """The models that are loaded now."""
        ...

    def isolation(self) -> Isolation:
        """How far engines are confined here."""
        ...


class Myself:
    """This device's account of itself."""

    def __init__(self, device: DeviceId, probe: Probe, models: Models) -> None:
        self.device = device
        self.wanted: Wanted = "ready"
        self.load: Callable[[], Load] = Load
        """The worker's queue; set by the wiring."""
        self.on_change: Callable[[], None] = lambda: None
        self._probe = probe
        self._models = models
        self.hardware = probe.capability((), "none")
        """What this device is, without what it offers."""
        self.condition_read = self._measure()
        """The last reading of the sensors."""

    def condition(self) -> Condition:
        """How this device is now, sensors read anew: for beats."""
        self.condition_read = self._measure()
        return self.condition_read

    def own_facts(self) -> OwnDevice:
        """What this device is and how it is now, by the last reading of its sensors."""
        now = msgspec.structs.replace(
            self.condition_read,
            state=self.wanted,
            load=self.load(),
            warm=self._models.warm(),
            contributes=self.contributes,
        )
        return OwnDevice(self.device, self.capability(), now, online=True)

    @property
    def contributes(self) -> bool:
        """Whether this device works for others now."""
        return self.wanted == "ready"

    def capability(self) -> Capability:
        """What this device is."""
        return self._probe.capability(self._models.offers(), self._models.isolation())

    def want(self, state: Wanted) -> None:
        """The owner pauses, drains or resumes this device."""
        self.wanted = state
        self.on_change()

    async def remember(self, store: Store) -> None:
        """Keep the owner's wish for the next start."""
        await store.keep("wanted", msgspec.json.encode(self.wanted))

    async def recall(self, store: Store) -> None:
        """Take up the owner's wish; a drain ends with the program."""
        content = await store.kept("wanted")
        if content is not None:
            wanted = _wanted.decode(content)
            self.wanted = "ready" if wanted == "draining" else wanted

    def _measure(self) -> Condition:
        return self._probe.condition(self.wanted, self.load(), self._models.warm())
