"""The ways of signing in that an installation has beside links: what its operator set up, and what its address allows.

Touches: sockets (through the providers), clock (through its arguments).
"""

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from mesh.coordinator.config import BadConfig
from mesh.coordinator.settings import WaySettings
from mesh.coordinator.signing_in.github import Github
from mesh.coordinator.signing_in.oidc import Oidc
from mesh.coordinator.signing_in.providers import Provider, ProviderOdd, trusted_url
from mesh.networks.domains import domain_to_admit
from mesh.networks.ways_in import MAIL_ISSUER

PASSKEY = "passkey"


class Ways:
    """The ways in of an installation. Raises BadConfig where the settings cannot work."""

    def __init__(self, settings: WaySettings, url: str, now_ms: Callable[[], int]) -> None:
        self._mail = settings.mail is not None
        self.admits = {domain_to_admit(domain): network for domain, network in settings.admits.items()}
        self.redirect = f"{url}/signed-in"
        self.origin = url
        self.providers: dict[str, Provider] = {}
        if settings.oidc is not None:
            _check(settings.oidc.issuer, "--oidc-issuer")
            self.providers[Oidc.key] = Oidc(settings.oidc, now_ms)
        if settings.github is not None:
            _check(settings.github.url, "--github-url")
            self.providers[Github.key] = Github(settings.github)
        if self.admits and settings.oidc is None:
            raise BadConfig("--admit needs --oidc-issuer: only a provider can vouch for an address.")

    @property
    def name(self) -> str | None:
        """The name that passkeys are made for; None where people come by an address, for which there are none."""
        host = urlsplit(self.origin).hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host
        return None

    @property
    def working(self) -> frozenset[str]:
        """The issuers whose identities are ways in now; ``passkey`` among them where passkeys are."""
        issuers = {one.issuer for one in self.providers.values()}
        return frozenset(issuers | ({PASSKEY} if self.name else set()) | ({MAIL_ISSUER} if self._mail else set()))


def _check(url: str, option: str) -> None:
    try:
        trusted_url(url, plain=True)
    except ProviderOdd:
        raise BadConfig(f"{option} must be an https:// address (http only on this machine): {url}") from None
