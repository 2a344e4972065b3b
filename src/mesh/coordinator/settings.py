"""What an operator sets up for signing in: a provider of OpenID Connect, GitHub, mail, and which domains come in.

Touches: nothing.
"""

import msgspec

from mesh.ids import NetworkId

GITHUB = "https://github.com"


class OidcSettings(msgspec.Struct, frozen=True):
    """A provider of OpenID Connect. ``secret`` None: a public client, by PKCE alone. ``title``: as people know it."""

    issuer: str
    client_id: str
    secret: str | None = None
    title: str = ""


class GithubSettings(msgspec.Struct, frozen=True):
    """GitHub. ``url``: where it is, for an Enterprise server another than the public one."""

    client_id: str
    secret: str
    url: str = GITHUB


class MailSettings(msgspec.Struct, frozen=True):
    """A mail server (``smtp://USER:PASSWORD@HOST:587`` or ``smtps://…``), and whom letters come from."""

    url: str
    sender: str


class WaySettings(msgspec.Struct, frozen=True):
    """All of it. ``admits``: the network into which people come whose address the provider verified in a domain."""

    oidc: OidcSettings | None = None
    github: GithubSettings | None = None
    admits: dict[str, NetworkId] = msgspec.field(default_factory=dict)
    mail: MailSettings | None = None
