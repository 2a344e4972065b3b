"""This device's own say: whether it takes a job now, whatever the coordinator permitted.

The owner's own jobs come in unless the device is draining; for others it must be ready and contributing by its owner's
terms, and the network's policy must allow the job here too.

Touches: nothing (the device's condition is an argument).
"""

from mesh.agent.membership import Membership
from mesh.agent.myself import Myself
from mesh.agent.peers.sessions import PeerConnection
from mesh.agent.working.checks import Checked
from mesh.errors import MeshError
from mesh.policies.decide import DEFAULT_POLICY, Asked, Decision, Place, Rules
from mesh.policies.times import minute_of_week
from mesh.protocol import frames
from mesh.protocol.permit import Permit
from mesh.protocol.values import Policy


class NotNow(MeshError):
    """The device's owner has paused it, or it is finishing up. Other devices are tried."""

    code = "worker.not_now"
    kind = "unavailable"


class NotContributing(MeshError):
    """The device does not work for others now, by its owner's terms. Other devices are tried; else try again later."""

    code = "worker.not_contributing"
    kind = "unavailable"


class NotHere(MeshError):
    """The device's owner or the network's policy does not let this job run there. Other devices are tried."""

    code = "worker.not_allowed"
    kind = "forbidden"


PAUSED_RETRY_S = 60.0
"""Nobody knows when a person resumes a device."""


def paused(state: str) -> NotNow:
    """What jobs are told of a device that was paused, or drains."""
    return NotNow(state=state, retry_after_s=PAUSED_RETRY_S)


class Door:
    """Decides at this device."""

    def __init__(self, membership: Membership, myself: Myself) -> None:
        self._membership = membership
        self._myself = myself
        self._narrowed: tuple[Policy, Asked, Rules] | None = None

    def refuse(self, asker: PeerConnection, frame: frames.Submit, checked: Checked) -> None:
        """Raise the reason for which this device does not take the job now."""
        state = self._myself.wanted
        if state == "draining":
            raise paused(state)
        permit = checked.permit
        if permit is None:
            return
        if state != "ready":
            raise paused(state)
        contribution = self._myself.contribution
        if not contribution.willing:
            raise NotContributing(limit=contribution.code, retry_after_s=contribution.retry_after_s)
        decision = self._decide(asker, frame, permit)
        if not decision.allowed:
            raise NotHere(rule=decision.rule)

    def _decide(self, asker: PeerConnection, frame: frames.Submit, permit: Permit) -> Decision:
        """What the network's signed policy says of this job on this very device."""
        membership, hardware, spec = self._membership, self._myself.hardware, frame.spec
        me = membership.device(membership.me)
        state = membership.state
        policy = None if state is None else state.policy
        assert asker.certificate is not None
        asked = Asked(
            asker.certificate.owner,
            permit.role,
            spec.workload,
            spec.model,
            spec.sensitivity,
            minute_of_week(membership.clock.now_ms()),
        )
        place = Place(
            membership.me,
            membership.member,
            "member" if me is None else me.role,
            () if me is None else me.certificate.tags,
            hardware.tier,
            phone=hardware.phone,
            charging=self._myself.condition_read.plugged_in is True,
            named=spec.routing.mode == "device" and spec.routing.device == membership.me,
        )
        return self._rules(policy or DEFAULT_POLICY, asked).decide(place)

    def _rules(self, policy: Policy, asked: Asked) -> Rules:
        """The policy, narrowed to what is asked: those of a series ask the same, job after job."""
        if self._narrowed is None or self._narrowed[0] is not policy or self._narrowed[1] != asked:
            self._narrowed = policy, asked, Rules(policy, asked)
        return self._narrowed[2]
