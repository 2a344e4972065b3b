"""Domains: a network lets in whoever shows an e-mail address in one of them, without an invite.

An address counts where a provider says that it verified it, or a letter came to it. A domain is meant exactly: what is
below it is another one. Somebody who was in the network before, or was not let in, does not come back by it.

Touches: nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import idna

from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId

DOMAINS = "domains"
"""The setting of a network: domain → role, and the admin who listed it."""
DOMAINS_MAX = 50
"""More than any organisation has; each is compared at every sign-in."""
DOMAIN_LENGTH_MAX = 253
DomainRole = Literal["member", "guest"]
"""Nobody becomes an admin by an address."""
_ANYBODYS = frozenset(
    {
        *("aol.com", "fastmail.com", "gmail.com", "gmx.de", "gmx.net", "googlemail.com", "hotmail.com", "icloud.com"),
        *("live.com", "mail.com", "mail.ru", "me.com", "msn.com", "outlook.com", "pm.me", "proton.me"),
        *("protonmail.com", "qq.com", "t-online.de", "web.de", "yahoo.com", "yandex.ru", "163.com", "126.com"),
    }
)
"""The best known of those in which anybody gets an address. Nobody can list them all: the words beside the setting say
what a domain must be.
"""


class BadDomain(MeshError):
    """A domain to let in looks like example.org, and is one whose addresses only people get whom you mean."""

    code = "ways.bad_domain"
    kind = "invalid"


class TooManyDomains(MeshError):
    """A network lists at most 50 domains. Remove one first: `mesh net domains`."""

    code = "network.too_many_domains"
    kind = "too_many"


class DomainUnknown(MeshError):
    """This network does not list that domain. `mesh net domains` shows those that it does."""

    code = "network.domain_unknown"
    kind = "not_found"


class Listing(NamedTuple):
    """A network lets a domain in, as what; ``by``: the admin who said so, None: the operator, at the start."""

    network: NetworkId
    role: DomainRole
    by: MemberId | None


def normal(text: str) -> str | None:
    """A domain in the one form in which it is kept and compared (IDNA, lower case); None where it is none."""
    try:
        domain = idna.encode(text.strip(), uts46=True, transitional=False).decode()
    except (idna.IDNAError, UnicodeError):
        return None
    whole = "." in domain and not domain.endswith(".") and len(domain) <= DOMAIN_LENGTH_MAX
    return domain if whole and not domain.rpartition(".")[2].isdigit() else None


def domain_of(address: str) -> str | None:
    """The domain of an e-mail address; None where there is none."""
    name, at, domain = address.strip().rpartition("@")
    return normal(domain) if name and at else None


def domain_to_admit(text: str) -> str:
    """A domain whose people may come in by themselves. Raises BadDomain."""
    domain = normal(text)
    if domain is None or domain in _ANYBODYS:
        raise BadDomain(domain=text[:DOMAIN_LENGTH_MAX])
    return domain


def listed(settings: Mapping[str, Any]) -> dict[str, tuple[DomainRole, MemberId]]:
    """The domains in a network's settings: as what who has an address there comes, and who listed it."""
    return {name: (role, MemberId(by)) for name, (role, by) in dict(settings.get(DOMAINS) or {}).items()}


def with_domain(settings: Mapping[str, Any], domain: str, role: DomainRole, by: MemberId) -> dict[str, Any]:
    """The settings with a domain listed, or listed as another role. Raises TooManyDomains."""
    domains = {**dict(settings.get(DOMAINS) or {}), domain: [role, by]}
    if len(domains) > DOMAINS_MAX:
        raise TooManyDomains
    return {**settings, DOMAINS: domains}


def without_domain(settings: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """The settings without a domain; who came by it stays. Raises DomainUnknown."""
    domains = dict(settings.get(DOMAINS) or {})
    if domains.pop(domain, None) is None:
        raise DomainUnknown
    return {**settings, DOMAINS: domains}


def lets_in(
    domain: str | None,
    networks: Iterable[tuple[NetworkId, Mapping[str, Any]]],
    admits: Mapping[str, NetworkId],
) -> list[Listing]:
    """The networks that let in who has an address in a domain. ``networks``: each with its settings; ``admits``: what
    the operator listed at the start (``mesh serve --admit``). Where both list it, the network's own word counts.
    """
    found = []
    for network, settings in networks if domain is not None else ():
        own = listed(settings).get(domain or "")
        if own is not None:
            found.append(Listing(network, *own))
        elif admits.get(domain or "") == network:
            found.append(Listing(network, "member", None))
    return found
