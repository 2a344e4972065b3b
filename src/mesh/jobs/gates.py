"""Gates: the yes/no reasons for which a device can do a job, in the order in which a person would ask.

Only failures are written out. What does not change from device to device is worked out once for each ask.

Touches: nothing.
"""

from mesh.devices.contribution import contributes
from mesh.jobs.facts import Ask, DeviceFacts, Timing
from mesh.jobs.loading import words
from mesh.policies.decide import Asked, Decision, Place, Rules, isolated
from mesh.policies.times import minute_of_week
from mesh.protocol.values import LoadingModel, ModelOffer, Need

GATES = (
    "member", "state", "tried", "apart", "quarantine", "contribution", "policy", "isolation", "model", "tier", "gpu",
    "memory", "tags", "load", "latency", "routing", "cost", "credit", "permits",
)  # fmt: skip
"""Every gate that is asked of every device."""
QUEUE_JOBS_MAX = 256
"""What a device queues at most (the product's bound of memory)."""
WAIT_MARGIN = 1.25
"""A worker admits what ends in time with this much more waiting (scheduling, section 3: admission margin)."""
_OWN_STATES = frozenset({"ready", "busy", "paused"})
_OPEN_STATES = frozenset({"ready", "busy"})

Failed = list[tuple[str, str]]
"""Gates that a device did not pass, each with the reason in words made of codes and numbers."""


class Gates:
    """The gates of one ask."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._spec = ask.spec
        self._pinned = ask.spec.routing.device if ask.spec.routing.mode == "device" else None
        self._needs_nothing = ask.spec.need == Need() and ask.spec.routing.mode in ("auto", "local")
        self._price = _price(ask)
        spec, minute = ask.spec, minute_of_week(ask.now_ms)
        self._rules = Rules(
            ask.policy, Asked(ask.member, ask.role, spec.workload, spec.model, spec.sensitivity, minute)
        )
        self._decided: dict[tuple[object, ...], tuple[Decision, Decision]] = {}

    def failed(self, facts: DeviceFacts, offer: ModelOffer | None, timing: Timing | None) -> Failed:
        """Every gate that a device does not pass; ``timing`` is that of its ``offer``."""
        failed: Failed = []
        own = facts.owner == self._ask.member
        self._standing(facts, own, failed)
        if offer is None or timing is None:
            failed.append(("model", self._lacks(facts)))
            memory, wanted = _memory(facts, self._spec.need, loaded=True), self._spec.need.memory_bytes
            if memory < wanted:
                failed.append(("memory", f"{memory} bytes, needs {wanted}"))
        else:
            self._room(facts, offer, timing, failed)
        if not self._needs_nothing:
            self._needs(facts, failed)
        if self._price and not own:
            failed += self._price
        return failed

    def _lacks(self, facts: DeviceFacts) -> str:
        """Why there is no such model; one that comes is no reason to look elsewhere for good."""
        coming = loading_of(facts, self._spec.model)
        if coming is not None:
            return f"is making {self._spec.model} ready: {words(coming)}"
        return f"does not offer {self._spec.workload} {self._spec.model}"

    def _standing(self, facts: DeviceFacts, own: bool, failed: Failed) -> None:
        """Whether the device takes part, for this person and this data."""
        state = facts.condition.state
        if not facts.certified:
            failed.append(("member", "no valid membership certificate"))
        if state not in (_OWN_STATES if own else _OPEN_STATES):
            failed.append(("state", state))
        if facts.device in self._ask.tried:
            failed.append(("tried", "it just failed this job"))
        if not own:
            if facts.owner in self._ask.apart:
                failed.append(("apart", "work between its owner and this device was denied too often"))
            if facts.quarantined:
                failed.append(("quarantine", "spot checks found its answers wrong; an admin must look first"))
            willing = contributes(facts.capability, facts.condition)
            if not willing.willing:
                failed.append(("contribution", willing.reason))
        policy, isolation = self._policy(facts, own)
        if not policy.allowed:
            failed.append(("policy", policy.reason))
        if not isolation.allowed:
            failed.append(("isolation", isolation.reason))

    def _policy(self, facts: DeviceFacts, own: bool) -> tuple[Decision, Decision]:
        """The network's policy and the isolation that the data needs: the same for all devices of one kind."""
        capability, plugged_in = facts.capability, facts.condition.plugged_in
        named = facts.device == self._pinned
        kind = (
            own, named, capability.phone, plugged_in, facts.owner_role, capability.isolation,
            None if own else self._rules.kind(facts.device, facts.owner, facts.tags, capability.tier),
        )  # fmt: skip
        known = self._decided.get(kind)
        if known is None:
            place = Place(
                facts.device, facts.owner, facts.owner_role, facts.tags, capability.tier,
                phone=capability.phone, charging=plugged_in is True, named=named,
            )  # fmt: skip
            known = self._decided[kind] = (
                self._rules.decide(place),
                isolated(capability.isolation, self._spec.sensitivity, own=own),
            )
        return known

    def _room(self, facts: DeviceFacts, offer: ModelOffer, timing: Timing, failed: Failed) -> None:
        """Whether the device has room and time for the job. A model that is loaded has its memory already."""
        need, condition = self._spec.need, facts.condition
        memory, wanted = _memory(facts, need, loaded=not timing.cold_s), need.memory_bytes
        if not need.gpu and timing.cold_s:
            wanted = max(wanted, offer.memory_bytes)
        if memory < wanted:
            failed.append(("memory", f"{memory} bytes, needs {wanted}"))
        own_s = 0.0 if self._spec.guessed else timing.service_s
        if condition.load.depth >= QUEUE_JOBS_MAX:
            failed.append(("load", f"{condition.load.depth} jobs wait there"))
        elif WAIT_MARGIN * timing.wait_s + timing.cold_s + own_s > self._spec.limit_s:
            wait, work, limit = timing.wait_s, timing.cold_s + timing.service_s, self._spec.limit_s
            failed.append(("load", f"{wait:.1f} s wait there and it takes {work:.1f} s, the limit is {limit:g} s"))
        if need.latency_s is not None and timing.expected_s > need.latency_s:
            failed.append(("latency", f"a result in {timing.expected_s:.3f} s, needs {need.latency_s:g} s"))

    def _needs(self, facts: DeviceFacts, failed: Failed) -> None:
        """Whether the device is what the job needs, and where it was asked to go."""
        need, routing, capability = self._spec.need, self._spec.routing, facts.capability
        if capability.tier < need.tier_min:
            failed.append(("tier", f"tier {capability.tier}, needs at least {need.tier_min}"))
        if need.gpu and not capability.gpus:
            failed.append(("gpu", "needs a GPU"))
        if need.tags:
            missing = [tag for tag in need.tags if tag not in facts.tags]
            if missing:
                failed.append(("tags", f"lacks {', '.join(missing)}"))
        if routing.mode == "device" and facts.device != routing.device:
            failed.append(("routing", "another device was asked for"))
        elif routing.mode == "tier" and capability.tier < (routing.tier or 0):
            failed.append(("routing", f"tier {capability.tier}, tier {routing.tier} was asked for"))


def loading_of(facts: DeviceFacts, model: str) -> LoadingModel | None:
    """How far a device is with a model that it is making ready."""
    return next((one for one in facts.condition.loading if one.model == model), None)


def _price(ask: Ask) -> Failed:
    """What keeps the job off all devices of others: what it may cost, and who pays."""
    cost, limit, free = ask.cost, ask.spec.max_cost, ask.available
    if cost is None:
        return [("cost", f"the network has no price for {ask.spec.workload}")]
    failed: Failed = []
    if limit is not None and cost > limit:
        failed.append(("cost", f"costs {cost}, limit {limit}"))
    if free is not None and cost > free:
        failed.append(("credit", f"costs {cost}, free credits {free}"))
    if ask.permits_left is not None and ask.permits_left <= 0:
        failed.append(("permits", "as many permits are open as the network allows one person"))
    return failed


def _memory(facts: DeviceFacts, need: Need, *, loaded: bool) -> int:
    """Bytes that the job may use: of the largest GPU if it needs one, else what the machine has, or has free."""
    if need.gpu:
        return max((gpu.memory_bytes for gpu in facts.capability.gpus), default=0)
    free = facts.condition.memory_free_bytes
    return facts.capability.memory_bytes if loaded or free is None else min(free, facts.capability.memory_bytes)
