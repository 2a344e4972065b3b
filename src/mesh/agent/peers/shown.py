"""A permit as a peer has shown it on a stream: checked once, good for all jobs of its series.

Touches: nothing.
"""

from mesh.agent.membership import Membership
from mesh.ids import DeviceKey
from mesh.protocol import signed
from mesh.protocol.permit import Permit
from mesh.protocol.signed import BadToken


class Shown:
    """A permit's token as it was shown here, and what was read from it once its signature was checked.

    A series shows the same token with every job; checking it takes as long as checking the Submit.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self._verified: tuple[DeviceKey, Permit] | None = None

    def permit(self, membership: Membership, now_ms: int) -> Permit:
        """The permit, signed by a coordinator key that counts now. Raises BadToken."""
        keys = membership.coordinator_key_at(now_ms)
        if self._verified is not None and self._verified[0] in keys:
            return self._verified[1]
        for key in keys:
            try:
                permit = signed.verify(self.token, Permit, key, membership.network)
            except BadToken as error:
                if error.facts.get("reason") != "signature":
                    raise
            else:
                self._verified = key, permit
                return permit
        raise BadToken("The coordinator of this network did not sign this permit.", reason="signature")
