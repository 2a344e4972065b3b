"""What the coordinator answers about a network's policy.

Touches: nothing.
"""

from mesh.ids import DeviceId, MemberId
from mesh.protocol.values import Sensitivity
from mesh.sdk.answers import Answer


class PolicyText(Answer, frozen=True):
    """A version of a network's policy as it was written. Version 0 is the default; ``name``: what ``by`` is called."""

    version: int
    text: str
    note: str = ""
    by: MemberId | None = None
    name: str = ""
    at_ms: int = 0
    current: bool = True


class PolicyVersion(Answer, frozen=True):
    """One version of a policy, without its text."""

    version: int
    note: str
    by: MemberId
    name: str
    at_ms: int


class PolicyVersions(Answer, frozen=True):
    """The versions that were saved, newest first."""

    versions: tuple[PolicyVersion, ...]
    cursor: str | None = None


class PolicySaved(Answer, frozen=True):
    """The version that was saved."""

    version: int


class PolicyTest(Answer, frozen=True):
    """How a test of a policy went, where it stands and which grant decided (lines from 1, 0: unknown)."""

    name: str
    expect: str
    passed: bool
    reason: str
    line: int = 0
    grant_line: int = 0


class PolicyChange(Answer, frozen=True):
    """Something that a draft would allow, or (``allowed`` False) no longer allow; not ``always``: at some times."""

    member: MemberId
    workload: str
    model: str
    sensitivity: Sensitivity
    device: DeviceId
    named: bool
    allowed: bool
    always: bool


class PolicyTried(Answer, frozen=True):
    """A draft that was tried: its tests, what would change, its grants in words. ``more``: not all was compared."""

    tests: tuple[PolicyTest, ...]
    changes: tuple[PolicyChange, ...]
    words: tuple[str, ...]
    more: bool = False


class PolicyDecision(Answer, frozen=True):
    """What a policy says of a request on one device, by which rule, and why."""

    device: DeviceId
    allowed: bool
    rule: str
    reason: str


class PolicyWhy(Answer, frozen=True):
    """What a policy says of a member's request."""

    member: MemberId
    decisions: tuple[PolicyDecision, ...]
