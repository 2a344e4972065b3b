"""The tier of a device, from what is in it.

Touches: nothing.
"""

from collections.abc import Sequence

from mesh.errors import MeshError
from mesh.protocol.values import Capability, Gpu, ModelOffer
from mesh.units import GIB

PHONE_CPU, PHONE_NPU, COMPUTER_CPU, SMALL_GPU, SERVER_GPU = range(5)
"""The five tiers: phone CPU, phone or tablet with an NPU, laptop or desktop CPU, small GPU, server GPU."""

SMALL_GPU_BYTES = 2 * GIB
"""A GPU below this holds no model of the catalogue beside its display: the CPU does the work."""
SERVER_GPU_BYTES = 20 * GIB
"""Laptop GPUs end at 16 GB, server GPUs begin at 24 GB."""


OFFERS_MAX = 64
"""More models than any machine holds; a capability is kept and passed on to the owner's other devices."""
GPUS_MAX = 16
TEXT_MAX = 128


class CapabilityRefused(MeshError):
    """What the device says of itself is too long or out of range. Update Mesh on it, or take models away."""

    code = "device.capability_refused"
    kind = "invalid"


def check(capability: Capability) -> None:
    """Refuse a report that no honest device makes. Raises CapabilityRefused."""
    texts = [capability.system, capability.arch, *(gpu.name for gpu in capability.gpus)]
    for offer in capability.offers:
        texts += [offer.workload, offer.model, offer.digest]
    numbers = [capability.cores, capability.memory_bytes, *(gpu.memory_bytes for gpu in capability.gpus)]
    if (
        len(capability.offers) > OFFERS_MAX
        or len(capability.gpus) > GPUS_MAX
        or max(map(len, texts)) > TEXT_MAX
        or min(numbers) < 0
        or not PHONE_CPU <= capability.tier <= SERVER_GPU
    ):
        raise CapabilityRefused


def detect_tier(*, phone: bool, npu: bool, gpus: Sequence[Gpu]) -> int:
    """The tier of a device, 0 to 4. A phone's GPU does not count: pages cannot give it models."""
    if phone:
        return PHONE_NPU if npu else PHONE_CPU
    memory = max((gpu.memory_bytes for gpu in gpus), default=0)
    if memory >= SERVER_GPU_BYTES:
        return SERVER_GPU
    return SMALL_GPU if memory >= SMALL_GPU_BYTES else COMPUTER_CPU


def offer_of(capability: Capability, workload: str, model: str) -> ModelOffer | None:
    """What a device offers for a workload and model, or None."""
    for offer in capability.offers:
        if offer.workload == workload and offer.model == model:
            return offer
    return None
