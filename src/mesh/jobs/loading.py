"""A model that a device is making ready: how that is told to whoever waits for it.

Touches: nothing.
"""

from collections.abc import Iterable
from typing import Any

from mesh.ids import DeviceId
from mesh.protocol.values import LoadingModel

RETRY_S = 5.0
RETRY_S_MAX = 30.0
"""Who waits for a model asks again at least so often: it may be ready sooner than was thought."""


def words(loading: LoadingModel) -> str:
    """How far it is, in words: ``downloading, 40 %, about 12 s left``; what is not known is not said."""
    left = "" if loading.eta_s is None else f", about {max(1.0, loading.eta_s):.0f} s left"
    return f"{loading.stage}, {int(loading.fraction * 100)} %{left}"


def retry_s(loading: LoadingModel) -> float:
    """Seconds after which asking again makes sense."""
    return RETRY_S if loading.eta_s is None else min(max(1.0, loading.eta_s), RETRY_S_MAX)


def soonest(found: Iterable[tuple[DeviceId, LoadingModel]]) -> tuple[DeviceId, LoadingModel] | None:
    """Where a model will be ready first, as far as that is known: by seconds left, then by what is done."""
    return min(found, key=lambda one: (one[1].eta_s is None, one[1].eta_s or 0.0, -one[1].fraction), default=None)


def facts(device: DeviceId | None, loading: LoadingModel) -> dict[str, Any]:
    """What an error says of it to programs; ``eta_s`` only where it is known."""
    told: dict[str, Any] = {"model": loading.model, "stage": loading.stage, "percent": int(loading.fraction * 100)}
    if device is not None:
        told["device"] = device
    if loading.eta_s is not None:
        told["eta_s"] = round(loading.eta_s, 1)
    return told
