"""What this device says of itself: its state and terms as its owner set them, its queue, its models, its sensors.

The sensors are read once per beat; between beats jobs are judged by that reading and the state and queue of the moment.
The owner may pause or drain it here or from afar; an admin may too, and lifts only what an admin did.

Touches: what ``probe`` touches, the clock (the time of day here); the agent's store (through its argument).
"""

from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from mesh.agent.probe import Probe
from mesh.agent.store import Store
from mesh.devices.contribution import DEFAULT_TERMS, Contribution, Terms, check, willing
from mesh.ids import DeviceId
from mesh.protocol.link import OwnDevice
from mesh.protocol.values import Capability, Condition, DeviceState, Isolation, Load, LoadingModel, ModelOffer

Wanted = Literal["ready", "paused", "draining"]
By = Literal["owner", "admin"]
_STRICTER: tuple[Wanted, ...] = ("ready", "paused", "draining")
_wanted: msgspec.json.Decoder[Wanted] = msgspec.json.Decoder(Wanted)
_terms: msgspec.json.Decoder[Terms] = msgspec.json.Decoder(Terms)
_KEPT: dict[By, str] = {"owner": "wanted", "admin": "wanted_by_admin"}


class Models(Protocol):
    """The engines, as far as they tell what this device offers."""

    def offers(self) -> tuple[ModelOffer, ...]:
        """What was measured."""
        ...

    def warm(self) -> tuple[str, ...]:
        """The models that are loaded now."""
        ...

    def on_their_way(self) -> tuple[LoadingModel, ...]:
        """The models that are being made ready."""
        ...

    def isolation(self) -> Isolation:
        """How far engines are confined here."""
        ...

    def processes(self) -> tuple[int, ...]:
        """The ids of the engines' processes."""
        ...


def local_minute() -> int:
    """The minute of the day where this device is."""
    now = datetime.now().astimezone()
    return now.hour * 60 + now.minute


class Myself:
    """This device's account of itself."""

    def __init__(
        self, device: DeviceId, probe: Probe, models: Models, *, minute: Callable[[], int] = local_minute
    ) -> None:
        self.device = device
        self.terms = DEFAULT_TERMS
        self.load: Callable[[], Load] = Load
        """The worker's queue; set by the wiring."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when the state or the terms change: the coordinator is told, and the worker acts on it."""
        self._wishes: dict[By, Wanted] = {"owner": "ready", "admin": "ready"}
        self._minute = minute
        self._probe = probe
        self._models = models
        self.hardware = probe.capability((), "none")
        """What this device is, without what it offers."""
        self.contribution = Contribution(True)
        """Whether it takes other people's jobs, by the last reading."""
        self.condition_read = self._measure()
        """The last reading of the sensors."""

    @property
    def wanted(self) -> Wanted:
        """The state that was set: the stricter of what its owner and an admin want."""
        return max(self._wishes.values(), key=_STRICTER.index)

    @property
    def state(self) -> DeviceState:
        """The state as told to others: a ready device that works is busy."""
        wanted = self.wanted
        return "busy" if wanted == "ready" and self.load().depth else wanted

    @property
    def set_by(self) -> By | None:
        """Who set the state; None while nobody did."""
        wanted = self.wanted
        return None if wanted == "ready" else ("owner" if self._wishes["owner"] == wanted else "admin")

    def condition(self) -> Condition:
        """How this device is now, sensors read anew: for beats."""
        self.condition_read = self._measure()
        return self.condition_read

    def own_facts(self) -> OwnDevice:
        """What this device is and how it is now, by the last reading of its sensors."""
        load = self.load()
        now = msgspec.structs.replace(
            self.condition_read,
            state="busy" if self.wanted == "ready" and load.depth else self.wanted,
            load=load,
            warm=self._models.warm(),
            loading=self._models.on_their_way(),
        )
        return OwnDevice(self.device, self.capability(), now, online=True)

    def capability(self) -> Capability:
        """What this device is."""
        return self._probe.capability(self._models.offers(), self._models.isolation())

    def want(self, state: Wanted, by: By = "owner") -> None:
        """Pause, drain or resume this device. What an admin set ends when an admin lifts it, or the owner does here."""
        self._wishes[by] = state
        if by == "owner" and state == "ready":
            self._wishes["admin"] = "ready"
        self.on_change()

    def agree(self, terms: Terms) -> None:
        """The owner sets what others may have of this device. Raises BadTerms."""
        self.terms = check(terms)
        self.condition_read = self._measure()
        self.on_change()

    async def remember(self, store: Store) -> None:
        """Keep what was set for the next start."""
        for by, name in _KEPT.items():
            await store.keep(name, msgspec.json.encode(self._wishes[by]))
        await store.keep("terms", msgspec.json.encode(self.terms))

    async def recall(self, store: Store) -> None:
        """Take up what was set; a drain ends with the program, a pause does not."""
        for by, name in _KEPT.items():
            content = await store.kept(name)
            if content is not None:
                wanted = _wanted.decode(content)
                self._wishes[by] = "ready" if wanted == "draining" else wanted
        content = await store.kept("terms")
        if content is not None:
            self.terms = _terms.decode(content)
        self.condition_read = self._measure()

    def _measure(self) -> Condition:
        read = self._probe.condition(self.state, self.load(), self._models.warm(), self._models.processes())
        self.contribution = willing(
            self.terms, self.hardware, read, minute=self._minute(), before=self.contribution.code
        )
        return msgspec.structs.replace(
            read,
            contributes=self.contribution.willing,
            limit=self.contribution.code,
            loading=self._models.on_their_way(),
        )
