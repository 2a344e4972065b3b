"""What placement knows: of the job that is asked for, of each device, and how long the one should take on the other.

Touches: nothing.
"""

from typing import NamedTuple

from mesh.ids import DeviceId, DeviceKey, MemberId
from mesh.policies.decide import DEFAULT_POLICY
from mesh.protocol.values import Capability, Condition, JobSpec, ModelOffer, Policy, Role

RTT_UNKNOWN_S = 0.020
"""What an unmeasured path counts as: between a LAN and a continent."""
RTT_NEAR_S = 0.002
"""And between two devices behind one public address: a LAN with Wi-Fi in it."""
RATE_UNKNOWN_BYTES_S = 2_500_000.0
"""20 Mbit/s: the uplink of an ordinary home line."""
SLOWEST_UNITS_S = 1e-6
"""A measurement below this is none: a unit that takes days."""
RATE_NEAR_BYTES_S = 12_500_000.0
"""100 Mbit/s: what Wi-Fi and old cables do within a home."""


class DeviceFacts(NamedTuple):
    """All that placement knows of a device. None is unknown, or without limit.

    ``backlog_s`` seconds of work waited there at ``backlog_ms``, or wait now (None), and drain as ``backlog`` says.
    ``rtt_s`` and ``rate_bytes_s`` are of the path from the requester; ``certified`` says that its membership
    certificate is good; ``condition.state`` is the state as its observer sees it (``devices.presence``). Devices of one
    ``home`` are behind one public address. ``quarantined``: spot checks found it wrong.
    """

    device: DeviceId
    key: DeviceKey
    owner: MemberId
    owner_role: Role
    capability: Capability
    condition: Condition
    certified: bool = True
    backlog_s: float = 0.0
    rtt_s: float | None = None
    rate_bytes_s: float | None = None
    tags: tuple[str, ...] = ()
    home: str | None = None
    backlog_ms: int | None = None
    quarantined: bool = False


class Ask(NamedTuple):
    """A job to place: who asks, from which device, what it costs elsewhere, and the credits that are free for it.

    ``cost`` is the most that the job can cost on somebody else's device, in micro-credits (None: the network has no
    price for it, and only one's own devices, where it is 0, can do it). ``available`` None: the network sets no floor.
    ``tried``: devices that just failed this job. ``apart``: owners whose work this device denied too often.
    ``permits_left``: how many more permits the member may have open now.
    """

    spec: JobSpec
    member: MemberId
    role: Role
    device: DeviceId | None
    cost: int | None
    available: int | None = None
    home: str | None = None
    tried: frozenset[DeviceId] = frozenset()
    permits_left: int | None = None
    now_ms: int = 0
    apart: frozenset[MemberId] = frozenset()
    policy: Policy = DEFAULT_POLICY


class Timing(NamedTuple):
    """Seconds: other work before the job, loading the model, the work itself, a round trip, all to the first result.

    ``near``: the device is the requester's own, or in the same LAN as far as anybody can tell.
    """

    wait_s: float
    cold_s: float
    service_s: float
    rtt_s: float
    expected_s: float
    near: bool


def service_s(offer: ModelOffer, units: int) -> float:
    """Seconds that a device works on ``units``, by its own measurement, once the model is warm."""
    fixed, rate = offer.overhead_s, offer.units_per_s
    return (fixed if fixed > 0 else 0.0) + units / (rate if rate > SLOWEST_UNITS_S else SLOWEST_UNITS_S)


def timing(ask: Ask, facts: DeviceFacts, offer: ModelOffer) -> Timing:
    """How long the job should take there: waiting, loading, moving the input, working, one round trip."""
    spec, waited = ask.spec, facts.backlog_s
    if facts.backlog_ms is not None and ask.now_ms > facts.backlog_ms:
        waited -= (ask.now_ms - facts.backlog_ms) / 1000
    wait, service = (waited if waited > 0 else 0.0), service_s(offer, spec.effort or spec.units)
    cold = 0.0 if offer.warm or offer.model in facts.condition.warm else max(0.0, offer.cold_load_s)
    if facts.device == ask.device:
        return Timing(wait, cold, service, 0.0, wait + cold + service, True)
    near = facts.home is not None and facts.home == ask.home
    rtt, rate = facts.rtt_s, facts.rate_bytes_s
    if rtt is None or rtt < 0:
        rtt = RTT_NEAR_S if near else RTT_UNKNOWN_S
    moved = (spec.input_bytes or spec.units) / (rate or (RATE_NEAR_BYTES_S if near else RATE_UNKNOWN_BYTES_S))
    return Timing(wait, cold, service, rtt, wait + cold + moved + service + rtt, near)
