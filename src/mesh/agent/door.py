"""This device's own say: whether it takes a job now, whatever the coordinator permitted.

The owner's own jobs come in unless the device is draining; for others it must be ready and contributing, and the
default policy must allow the job here too.

Touches: nothing (the device's condition is an argument).
"""

from mesh.agent.checks import Checked
from mesh.agent.membership import Membership
from mesh.agent.myself import Myself
from mesh.agent.sessions import PeerConnection
from mesh.devices.contribution import contributes
from mesh.errors import MeshError
from mesh.policies.decide import Asker, Target, decide
from mesh.protocol import frames


class NotNow(MeshError):
    """The device's owner has paused it, or it is finishing up. Other devices are tried."""

    code = "worker.not_now"
    kind = "unavailable"


class NotHere(MeshError):
    """The device's owner or the network's policy does not let this job run there. Other devices are tried."""

    code = "worker.not_allowed"
    kind = "forbidden"


class Door:
    """Decides at this device."""

    def __init__(self, membership: Membership, myself: Myself) -> None:
        self._membership = membership
        self._myself = myself

    def refuse(self, asker: PeerConnection, frame: frames.Submit, checked: Checked) -> None:
        """Raise the reason for which this device does not take the job now."""
        state = self._myself.wanted
        if state == "draining":
            raise NotNow(state=state)
        permit = checked.permit
        if permit is None:
            return
        if state != "ready" or not contributes(self._myself.hardware, self._myself.condition_read).willing:
            raise NotNow(state=state)
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
