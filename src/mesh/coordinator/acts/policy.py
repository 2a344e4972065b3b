"""Saving a network's policy: only over the version it was made from, as a new version, in the log of decisions.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import decisions, networks, policies
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.coordinator.store.policies import Version
from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId
from mesh.networks.membership import NotMember
from mesh.networks.names import visible
from mesh.policies.stored import policy_of, with_policy
from mesh.protocol.values import Policy

NOTE_LENGTH_MAX = 255


class StalePolicy(MeshError):
    """Somebody saved another version meanwhile. Look at it, bring your changes into it, and save again."""

    code = "policy.stale"
    kind = "conflict"


class NoSuchVersion(MeshError):
    """There is no such version of this policy. `mesh policy versions` lists those that are."""

    code = "policy.no_version"
    kind = "not_found"


class Draft(NamedTuple):
    """A policy that is to be saved: its text, the rules made of it, what it was made from, and why."""

    text: str
    policy: Policy
    base: int
    note: str = ""


def save(store: Store, network: NetworkId, draft: Draft, *, by: MemberId, moment: Moment) -> Network:
    """Save a new version; the epoch grows, since the State says it. Raises StalePolicy, NotMember."""
    known = networks.get(store, network)
    if known is None:
        raise NotMember
    current = policy_of(known.settings).version
    if draft.base != current:
        raise StalePolicy(base=draft.base, current=current)
    settings = with_policy(known.settings, draft.policy)
    version = Version(current + 1, draft.text, visible(draft.note[:NOTE_LENGTH_MAX]), by, "", moment.now_ms)
    policies.add(store, network, version)
    networks.set_settings(store, network, settings)
    epoch = networks.next_epoch(store, network)
    facts = {"version": version.version, "note": version.note}
    decisions.add(store, network, by, ("policy.save", str(version.version)), facts, moment.now_ms)
    return known._replace(settings=settings, epoch=epoch)
