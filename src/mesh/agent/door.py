"""This device's own say: whether it takes a job now, whatever the coordinator permitted.

The owner's own jobs come in unless the device is draining; for others it must be ready and contributing by its owner's
terms, and the network's policy must allow the job here too.

Touches: nothing (the device's condition is an argument).
"""

from mesh.agent.checks import Checked
from mesh.agent.membership import Membership
from mesh.agent.myself import Myself
from mesh.agent.sessions import PeerConnection
from mesh.errors import MeshError
from mesh.policies.decide import Asker, Target, decide
from mesh.protocol import frames


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
        me = self._membership.device(self._membership.me)
        owner_role = "member" if me is None else me.role
        assert asker.certificate is not None
        decision = decide(
            Asker(asker.certificate.owner, permit.role),
            Target(self._membership.member, owner_role, self._myself.hardware.phone),
            frame.spec.sensitivity,
        )
        if not decision.allowed:
            raise NotHere(rule=decision.rule)
