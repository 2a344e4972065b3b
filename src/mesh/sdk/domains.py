"""Domains whose people a network lets in: the coordinator's answers, and the calls.

Touches: nothing.
"""

from urllib.parse import quote

from mesh.ids import MemberId, NetworkId
from mesh.protocol.values import Role
from mesh.sdk.answers import Answer, Done
from mesh.sdk.calls import Call


class Domain(Answer, frozen=True):
    """Who shows an e-mail address in ``domain`` comes in as ``role``. ``by``: who listed it; None: the operator."""

    domain: str
    role: Role
    by: MemberId | None = None


class Domains(Answer, frozen=True):
    """The domains that a network lists."""

    domains: tuple[Domain, ...]
    cursor: str | None = None


def domains(network: NetworkId) -> Call[Domains]:
    """The domains that a network lists."""
    return Call("GET", f"/v1/networks/{network}/domains", Domains)


def list_domain(network: NetworkId, domain: str, role: Role = "member") -> Call[Done]:
    """Let in whoever shows an address in a domain (for admins)."""
    return Call("PUT", f"/v1/networks/{network}/domains/{quote(domain, safe='')}", Done, {"role": role})


def drop_domain(network: NetworkId, domain: str) -> Call[Done]:
    """Let nobody in by a domain any more (for admins)."""
    return Call("DELETE", f"/v1/networks/{network}/domains/{quote(domain, safe='')}", Done)
