"""What `mesh serve` is told about signing in: options, and secrets from files or the environment, never from arguments.

Touches: files (secrets), environment.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.coordinator.settings import WaySettings

SECRET_BYTES_MAX = 4096

OidcIssuer = Annotated[
    str | None, typer.Option("--oidc-issuer", help="People sign in with this OpenID Connect provider (its issuer URL).")
]
OidcClientId = Annotated[
    str | None, typer.Option("--oidc-client-id", help="What the provider calls this installation.")
]
OidcSecretFile = Annotated[
    Path | None,
    typer.Option(
        "--oidc-client-secret-file", help="Its secret there; or in MESH_OIDC_CLIENT_SECRET; none: PKCE alone."
    ),
]
OidcTitle = Annotated[str, typer.Option("--oidc-title", help="How people know that provider.")]
Admit = Annotated[
    list[str] | None,
    typer.Option("--admit", help="DOMAIN=NETWORK-ID: whose address there the provider verified comes in as a member."),
]
GithubClientId = Annotated[str | None, typer.Option("--github-client-id", help="People sign in with GitHub.")]
GithubSecretFile = Annotated[
    Path | None, typer.Option("--github-client-secret-file", help="Its secret; or in MESH_GITHUB_CLIENT_SECRET.")
]
GithubUrl = Annotated[
    str | None, typer.Option("--github-url", help="An Enterprise server's address, instead of GitHub's own.")
]

SmtpUrl = Annotated[
    str | None,
    typer.Option("--smtp-url", help="People sign in by mail: smtp://HOST:587; with a password in MESH_SMTP_URL."),
]
MailFrom = Annotated[str | None, typer.Option("--mail-from", help="The address that such letters come from.")]


class BadSignIn(MeshError):
    """What was said about signing in does not fit together. See the message."""

    code = "usage.sign_in"
    kind = "invalid"


def settings(
    oidc: tuple[str | None, str | None, Path | None, str],
    github: tuple[str | None, Path | None, str | None],
    admit: list[str] | None,
    mail: tuple[str | None, str | None],
) -> "WaySettings":
    """The settings that these options make. Raises BadSignIn."""
    from mesh.coordinator.settings import GITHUB, GithubSettings, MailSettings, OidcSettings, WaySettings
    from mesh.ids import NetworkId

    issuer, client_id, oidc_secret, title = oidc
    github_id, github_secret, github_url = github
    if (issuer is None) != (client_id is None):
        raise BadSignIn("--oidc-issuer and --oidc-client-id belong together.")
    provider = None
    if issuer is not None and client_id is not None:
        secret = _secret(oidc_secret, "MESH_OIDC_CLIENT_SECRET")
        provider = OidcSettings(issuer, client_id, secret, title)
    hub = None
    if github_id is not None:
        secret = _secret(github_secret, "MESH_GITHUB_CLIENT_SECRET")
        if secret is None:
            raise BadSignIn("GitHub needs a secret: --github-client-secret-file, or MESH_GITHUB_CLIENT_SECRET.")
        hub = GithubSettings(github_id, secret, (github_url or GITHUB).rstrip("/"))
    admits = {}
    for one in admit or ():
        domain, equals, network = one.partition("=")
        if not (domain and equals and network):
            raise BadSignIn("--admit looks like example.org=NETWORK-ID; `mesh net list` shows the ids.")
        admits[domain] = NetworkId(network)
    smtp, sender = mail[0] or os.environ.get("MESH_SMTP_URL") or None, mail[1]
    if (smtp is None) != (sender is None):
        raise BadSignIn("--smtp-url (or MESH_SMTP_URL) and --mail-from belong together.")
    letters = None if smtp is None or sender is None else MailSettings(smtp, sender)
    return WaySettings(provider, hub, admits, letters)


def _secret(file: Path | None, variable: str) -> str | None:
    """A secret from a file or the environment; None where neither has one. Raises BadSignIn."""
    if file is None:
        return os.environ.get(variable) or None
    try:
        with file.open("rb") as opened:
            text = opened.read(SECRET_BYTES_MAX + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSignIn(f"The secret in {file} cannot be read: {error}.") from error
    if not text or len(text) > SECRET_BYTES_MAX:
        raise BadSignIn(f"The file {file} holds no secret, or too much.")
    return text
