"""People who wait for an admin: what the coordinator answers about them.

Touches: nothing.
"""

from mesh.ids import MemberId, NetworkId
from mesh.protocol.values import Role
from mesh.sdk.answers import Answer


class Applicant(Answer, frozen=True):
    """Somebody who waits for an admin of a network: what they call themselves, as what they would come, until when.

    ``invited_by``: who made their invite, None where none was needed; ``invite_name``: for whom; ``address``: an e-mail
    address that they proved by coming; both "" where there is none.
    """

    member: MemberId
    name: str
    role: Role
    asked_ms: int
    expires_ms: int
    invited_by: MemberId | None = None
    invite_name: str = ""
    address: str = ""


class Applicants(Answer, frozen=True):
    """Who waits for an admin of a network, first come first."""

    applicants: tuple[Applicant, ...]
    cursor: str | None = None


class Decided(Answer, frozen=True):
    """What became of somebody's request: ``active``, they are in; ``refused``."""

    member: MemberId
    state: str


class Asked(Answer, frozen=True):
    """Where I asked to come in. ``state``: ``pending`` (until ``until_ms``), or what became of it and when: ``refused``
    (``why``: as the admin put it), ``expired``, ``withdrawn``.
    """

    network: NetworkId
    name: str
    role: Role
    state: str
    asked_ms: int
    until_ms: int
    why: str = ""


class AskedNetworks(Answer, frozen=True):
    """Where I asked to come in and am not in; what ended stays in the list for 30 days."""

    networks: tuple[Asked, ...]
    cursor: str | None = None
