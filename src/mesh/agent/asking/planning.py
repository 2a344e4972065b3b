"""Where a job may go: the coordinator's word, or this agent's own placing among its owner's devices.

Own devices need no permit: for a job that is pinned to one, and whenever the coordinator is away, the same placement
rules run here over what is known of them.

Touches: the clock, the coordinator's link, the agent's own condition (through its arguments).
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from mesh.agent.asking.job import Job
from mesh.agent.asking.plan import Plan, Target
from mesh.agent.asking.series import SeriesBook
from mesh.agent.membership import Membership
from mesh.agent.peers.sessions import Sessions
from mesh.errors import MeshError, from_wire
from mesh.ids import DeviceId, DeviceKey, RequestId
from mesh.jobs.placement import Ask, DeviceFacts, NowhereToRun, Placement, place
from mesh.jobs.spec import check_spec
from mesh.protocol import link, signed
from mesh.protocol.link import OwnDevice
from mesh.protocol.permit import Permit
from mesh.protocol.values import GateResult, Hint
from mesh.transport.interface import Address
from mesh.transport.link import LinkDown

UNSEEN_S = 1.0
"""A device of which nothing is heard while the coordinator is away may cost a dial in vain: it ranks behind."""


class Permits(Protocol):
    """The coordinator, as far as planning needs it."""

    @property
    def up(self) -> bool:
        """Whether it can be asked now."""
        ...

    async def ask_permit(self, request: link.PermitRequest) -> link.Placed | link.Refused:
        """Ask where a job may run. Raises LinkDown."""
        ...


class Myself(Protocol):
    """This device's own facts."""

    def own_facts(self) -> OwnDevice:
        """What this device is and how it is now."""
        ...


class Planner:
    """Makes plans for jobs of this device."""

    def __init__(
        self, membership: Membership, sessions: Sessions, permits: Permits, myself: Myself, series: SeriesBook
    ) -> None:
        self.series = series
        series.ask = self._ask_series
        self._membership = membership
        self._sessions = sessions
        self._permits = permits
        self._myself = myself
        self._known: dict[DeviceId, Address] = {}
        self.nearby: Callable[[DeviceKey], tuple[str, ...]] = lambda key: ()
        """Where a device says it is in this LAN; set by the wiring."""

    async def plan(self, job: Job, request: Callable[[int], RequestId]) -> Plan:
        """Find out where a job may go; ``request`` makes the id of each turn of asking.

        Raises NowhereToRun, LinkDown, and what the coordinator refuses with.
        """
        check_spec(job.spec)
        pinned = job.spec.routing.device
        if pinned is not None and self._membership.is_own(pinned):
            return self.place_here(job)
        now_ms = self._membership.clock.now_ms()
        planned = self.series.plan(job, request, epoch=self._membership.epoch, now_ms=now_ms)
        if planned is not None:
            job.explanation = planned.explanation
            return planned
        if not self._permits.up:
            return self._without_coordinator(job)
        try:
            turn = request(job.attempts_before + len(job.plans))
            answer = await self._permits.ask_permit(self._asking(turn, job))
        except LinkDown:
            return self._without_coordinator(job)
        job.explanation = answer.explanation
        if isinstance(answer, link.Refused):
            raise _refused(answer, job=job.id)
        return self._from_coordinator(answer)

    def _asking(self, turn: RequestId, job: Job) -> link.PermitRequest:
        return link.PermitRequest(turn, job.id, job.spec, job.avoid(), paths=self.paths())

    def paths(self) -> tuple[link.PathSeen, ...]:
        """How far away the devices are that this one is connected to: nobody else can know it."""
        return self._sessions.paths()

    async def _ask_series(self, request: link.PermitRequest) -> Plan:
        """Ask for a series. Raises LinkDown, and what the coordinator refuses with."""
        answer = await self._permits.ask_permit(msgspec.structs.replace(request, paths=self.paths()))
        if isinstance(answer, link.Refused):
            raise _refused(answer)
        return self._from_coordinator(answer)

    def address(self, device: DeviceId) -> Address:
        """Where a device may be reached, as far as anybody said. Raises NowhereToRun for one that is unknown."""
        peer = self._membership.device(device)
        if peer is None:
            raise NowhereToRun("This network has no such device.", device=device)
        key, relays, near = peer.certificate.key, self._relays(), self.nearby(peer.certificate.key)
        known = self._known.get(device)  # its key may be another meanwhile
        if known is not None:
            return known._replace(key=key, direct=tuple(dict.fromkeys([*near, *known.direct])), other_relays=relays)
        return Address(key, near, relays[0] if relays else None, relays[1:])

    def _relays(self) -> tuple[str, ...]:
        state = self._membership.state
        return () if state is None else tuple(relay.url for relay in state.relays)

    def _from_coordinator(self, placed: link.Placed) -> Plan:
        hints = {hint.device: hint for hint in placed.hints}
        if placed.permit is None:
            targets = [self._target(hint, 0) for hint in placed.hints]
            return Plan(targets, None, None, placed.explanation, placed_here=False)
        # The link has proven who sent it; every worker checks the signature.
        permit = signed.peek(placed.permit, Permit)
        targets = []
        for candidate in permit.candidates:
            hint = hints.get(candidate.device, Hint(candidate.device, 0.0, 0.0))
            target = self._target(hint, min(candidate.cap, permit.maximum))
            targets.append(target._replace(address=target.address._replace(key=candidate.key)))
        return Plan(targets, permit, placed.permit, placed.explanation, placed_here=False)

    def _target(self, hint: Hint, cap: int) -> Target:
        address = self.address(hint.device)
        if hint.addresses or hint.relay:
            address = Address(address.key, hint.addresses, hint.relay or address.relay, self._relays())
            self._known[hint.device] = address
        return Target(hint.device, address, cap, hint.service_s)

    def _without_coordinator(self, job: Job) -> Plan:
        try:
            return self.place_here(job)
        except NowhereToRun as error:
            raise LinkDown(
                "The coordinator cannot be reached, and none of your own devices can do this. Start it, then try again."
            ) from error

    def place_here(self, job: Job) -> Plan:
        """A plan among the owner's own devices. Raises NowhereToRun."""
        placement = self.rank_here(job)
        if not placement.ranked:
            raise placement.nowhere(job=job.id, gates=_failed(placement.explanation.gates))
        targets = [
            Target(one.facts.device, self.address(one.facts.device), 0, one.service_s) for one in placement.ranked
        ]
        return Plan(targets, None, None, placement.explanation, placed_here=True)

    def rank_here(self, job: Job) -> Placement:
        """Rank the owner's devices by the rules that the coordinator uses."""
        avoid = job.avoid()
        own = [self._facts(known) for known in self._own_devices() if known.device not in avoid]
        peer = self._membership.device(self._membership.me)
        ask = Ask(job.spec, self._membership.member, peer.role if peer else "member", self._membership.me, cost=0)
        placement = place(ask, own, draw=secrets.randbits(64))
        job.explanation = placement.explanation
        return placement

    def _own_devices(self) -> Sequence[OwnDevice]:
        mine = self._myself.own_facts()
        others = [known for known in self._membership.own.values() if known.device != mine.device]
        return [mine, *(known for known in others if self._membership.is_own(known.device))]

    def _facts(self, known: OwnDevice) -> DeviceFacts:
        peer = self._membership.device(known.device)
        assert peer is not None
        here = known.device == self._membership.me
        connected = self._sessions.connected(peer.certificate.key)
        condition, seen = known.condition, here or known.online or connected is not None
        if not seen and self._permits.up:
            condition = msgspec.structs.replace(condition, state="offline")
        path = None if connected is None else connected.connection.path()
        return DeviceFacts(
            device=known.device,
            key=peer.certificate.key,
            owner=peer.certificate.owner,
            owner_role=peer.role,
            capability=known.capability,
            condition=condition,
            backlog_s=known.condition.load.work_s + (0.0 if seen else UNSEEN_S),
            rtt_s=None if path is None or path.rtt_ms is None else path.rtt_ms / 1000,
        )


def _refused(answer: link.Refused, **about: str) -> MeshError:
    error = from_wire(answer.error)
    error.facts.setdefault("retry_after_s", answer.retry_after_s)
    error.facts.setdefault("gates", _failed(answer.explanation.gates))
    for name, value in about.items():
        error.facts.setdefault(name, value)
    return error


def _failed(gates: Sequence[GateResult]) -> list[dict[str, str]]:
    return [{"device": gate.device, "gate": gate.gate, "reason": gate.reason} for gate in gates if not gate.passed]
