"""Which work a model's name asks for: the workload's own choice, a model, or a model on one device.

``mesh/auto`` is the default model of the workload; ``device:NAME/MODEL`` pins the job to a device, by name or id (and
MODEL may be ``auto``); anything else is a model's id, with or without Ollama's ``:latest``. A model that is not listed
may still be one that another person's device shares: only placing the job tells.

Touches: nothing.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from mesh.agent.engines.loading import Loading
from mesh.errors import MeshError
from mesh.ids import DeviceId
from mesh.protocol.values import Routing
from mesh.workloads.contract import Workload

AUTO = "mesh/auto"
_AUTO = ("auto", AUTO)
_PINNED = "device:"
_TAG = ":latest"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,62}")
"""What a model may be called in a network."""


class UnknownModel(MeshError):
    """No such model is offered for this. `GET /v1/models` lists the catalogue's and those of your own devices."""

    code = "gateway.model_not_found"
    kind = "not_found"


class KnownModel(NamedTuple):
    """A model that may be asked for. ``devices``: names of one's own that offer it; ``warm``: loaded on one of them.

    ``present``: its files are on this device. ``digest`` is the model's manifest digest.
    """

    id: str
    workload: str
    licence: str = ""
    about: str = ""
    size_bytes: int = 0
    digest: str = ""
    devices: tuple[str, ...] = ()
    warm: bool = False
    present: bool = False
    dim: int | None = None
    """Numbers in a vector, where the model makes vectors."""


class Around(Protocol):
    """What the gateway knows of the world around it."""

    def models(self) -> list[KnownModel]:
        """The models that may be asked for."""
        ...

    def device_named(self, text: str) -> DeviceId:
        """The device with this name or id. Raises UnknownDevice."""
        ...

    def loading(self, model: str) -> Loading | None:
        """How far a model is from being ready on this device; None if it is not on its way."""
        ...


class Meant(NamedTuple):
    """What a name asks for."""

    model: str
    routing: Routing
    listed: bool = True
    """Whether it is known here that there is such a model."""


def meant(text: str, workload: Workload, known: Iterable[KnownModel], device_named: Callable[[str], DeviceId]) -> Meant:
    """Read a model's name in a request for ``workload``. Raises UnknownModel, UnknownDevice."""
    routing = Routing()
    if text.startswith(_PINNED):
        device, slash, text = text.removeprefix(_PINNED).partition("/")
        if not slash:
            raise UnknownModel("A model on one device is written device:NAME/MODEL, for example device:attic/auto.")
        routing = Routing("device", device_named(device))
    if text in _AUTO or text == AUTO + _TAG:
        return Meant(workload.default_model, routing)
    for model in dict.fromkeys((text, text.removesuffix(_TAG))):
        if any(one.id == model and one.workload == workload.name for one in known):
            return Meant(model, routing)
    if not _ID.fullmatch(text):
        raise UnknownModel
    return Meant(text, routing, listed=False)


def nobody_has_it(gates: object) -> bool:
    """Whether a job found no place because no device has its model: each of the ``gates`` that failed, by device."""
    failed = [one for one in gates if isinstance(one, dict)] if isinstance(gates, list) else []
    return {one.get("device") for one in failed} == {one.get("device") for one in failed if one.get("gate") == "model"}
