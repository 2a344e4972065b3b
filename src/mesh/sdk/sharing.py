"""What a command line and its agent say to each other about engines that run on this machine already.

Only the owner, on the device itself, shares one; no coordinator, policy or stranger can.

Touches: nothing.
"""

from typing import Literal

import msgspec

from mesh.sdk.lines import Answer, Request

EngineKind = Literal["ollama", "lmstudio", "llama-server", "vllm", "tei", "openai"]


class FindEngines(Request, frozen=True):
    """Look at the usual ports of this machine, and list what is shared. Answered by ``Engines``."""


class ShareEngine(Request, frozen=True):
    """Publish an engine's models for this network. ``models`` empty: all that can be used. Answered by ``Engines``."""

    url: str
    models: tuple[str, ...] = ()
    key: str = ""
    lan: bool = False


class UnshareEngine(Request, frozen=True):
    """Withdraw an engine. Answered by ``Engines``."""

    url: str


class FoundEngine(msgspec.Struct, frozen=True, omit_defaults=True):
    """An engine that answers here; nothing of it is published."""

    url: str
    kind: EngineKind
    models: tuple[str, ...] = ()


class SharedModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model of a shared engine. ``model``: its id in the network; ``name``: what the engine calls it.

    ``digest``: what the engine says that its weights are; empty where it does not say. ``there``: it is listed now.
    """

    model: str
    name: str
    workload: str
    digest: str = ""
    units_per_s: float = 0.0
    overhead_s: float = 0.0
    there: bool = True


class SharedEngine(msgspec.Struct, frozen=True, omit_defaults=True):
    """An engine that is shared. ``state``: ``ready``, or ``benched`` while it does not answer (nothing is offered)."""

    url: str
    kind: EngineKind
    state: Literal["ready", "benched"]
    models: tuple[SharedModel, ...]


class Engines(Answer, frozen=True):
    """What was found and not shared, and what is shared."""

    found: tuple[FoundEngine, ...] = ()
    shared: tuple[SharedEngine, ...] = ()


AnySharingRequest = FindEngines | ShareEngine | UnshareEngine
AnySharingAnswer = Engines
