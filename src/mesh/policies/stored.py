"""The policy among a network's settings: as it is kept, so that whoever has the network's row has its rules.

Touches: nothing.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from mesh.policies.decide import DEFAULT_VERSION
from mesh.protocol.values import Policy


class Kept(NamedTuple):
    """A network's policy and its version; None: the default, which every device knows."""

    version: int
    policy: Policy | None


def policy_of(settings: Mapping[str, Any]) -> Kept:
    """The policy in a network's settings."""
    kept = settings.get("policy")
    if kept is None:
        return Kept(DEFAULT_VERSION, None)
    return Kept(int(settings["policy_version"]), msgspec.convert(kept, Policy))


def with_policy(settings: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """The settings with a further version of the policy."""
    version = policy_of(settings).version + 1
    return {**settings, "policy": msgspec.to_builtins(policy), "policy_version": version}
