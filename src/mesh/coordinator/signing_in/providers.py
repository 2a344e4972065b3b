"""Providers that people sign in with: what the operator set up, and the one way to ask each who somebody is.

Only addresses that the operator's own settings name, or that the named provider's metadata names, are ever fetched: no
redirects are followed, answers are bounded, and plain http is for a provider on this very machine.

Touches: sockets (the providers).
"""

import secrets
from typing import Protocol
from urllib.parse import urlsplit

import httpx2
import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from mesh.coordinator.config import is_loopback
from mesh.errors import MeshError
from mesh.networks.ways_in import Identity
from mesh.sdk.pinning import vouched_context

TIMEOUT_S = 10.0
"""A provider answers within a second; a person waits no longer than this."""
ANSWER_BYTES_MAX = 1024 * 1024
"""Metadata and keys have some kilobytes."""


class ProviderUnreachable(MeshError):
    """The provider that you sign in with does not answer. Try again in a moment, or sign in another way."""

    code = "ways.provider_unreachable"
    kind = "unavailable"


class ProviderRefused(MeshError):
    """The provider did not vouch for you: it refused, or you said no there. Try again, or sign in another way."""

    code = "ways.provider_refused"
    kind = "forbidden"


class ProviderOdd(MeshError):
    """The provider answered something that does not hold, so that nobody was signed in. The coordinator's log says
    what; its operator may have to look at the provider's settings.
    """

    code = "ways.provider_odd"
    kind = "unavailable"


class Step(msgspec.Struct, frozen=True):
    """What one sign-in at a provider is bound to; ``state``, ``nonce`` and ``verifier`` are secrets of it."""

    state: str
    nonce: str
    verifier: str
    redirect: str


class Provider(Protocol):
    """A provider. ``key``: its name in addresses; ``title``: as people know it; ``issuer``: of its identities."""

    key: str
    title: str
    issuer: str

    async def begin(self, step: Step) -> str:
        """Where to send the browser. Raises ProviderUnreachable, ProviderOdd."""

    async def finish(self, step: Step, code: str) -> Identity:
        """Who came back with this code. Raises ProviderUnreachable, ProviderRefused, ProviderOdd."""


def new_step(redirect: str) -> Step:
    """The secrets of a new sign-in: 256 bits each (RFC 7636 asks for as much in a verifier)."""
    return Step(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), redirect)


def trusted_url(url: str, *, plain: bool) -> str:
    """A provider's address, if a secret may be sent there: https, or http on this machine. Raises ProviderOdd."""
    parts = urlsplit(url)
    here = plain and parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (parts.scheme == "https" or here) or not parts.hostname or parts.username is not None:
        raise ProviderOdd(reason="address")
    return url


class Web:
    """HTTP to one provider."""

    def __init__(self) -> None:
        self._context = vouched_context()

    async def json(self, url: str, headers: dict[str, str] | None = None) -> object:
        """A JSON answer. Raises ProviderUnreachable, ProviderOdd."""
        try:
            async with (
                httpx2.AsyncClient(verify=self._context, timeout=TIMEOUT_S, trust_env=False) as client,
                client.stream("GET", url, headers={"accept": "application/json", **(headers or {})}) as response,
            ):
                body = b""
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > ANSWER_BYTES_MAX:
                        raise ProviderOdd(reason="too long")
                if response.status_code >= 500:
                    raise ProviderUnreachable
                if response.status_code != 200:
                    raise ProviderOdd(reason="status", status=response.status_code)
        except httpx2.RequestError as error:
            raise ProviderUnreachable from error
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise ProviderOdd(reason="json") from error

    def oauth(self, client_id: str, client_secret: str | None, scope: str, method: str) -> AsyncOAuth2Client:
        """An OAuth client for one sign-in: code flow with PKCE."""
        return AsyncOAuth2Client(
            client_id,
            client_secret,
            scope=scope,
            token_endpoint_auth_method=method,
            code_challenge_method="S256",
            verify=self._context,
            timeout=TIMEOUT_S,
            trust_env=False,
        )


async def exchanged(client: AsyncOAuth2Client, url: str, step: Step, code: str) -> dict[str, object]:
    """What a code is worth at the provider. Raises ProviderUnreachable, ProviderRefused, ProviderOdd."""
    try:
        async with client:
            token = await client.fetch_token(
                url,
                grant_type="authorization_code",
                code=code,
                code_verifier=step.verifier,
                redirect_uri=step.redirect,
                headers={"accept": "application/json", "content-type": "application/x-www-form-urlencoded"},
            )
    except httpx2.RequestError as error:
        raise ProviderUnreachable from error
    except AuthlibBaseError as error:
        raise ProviderRefused(reason=str(error.error)[:64]) from error
    except (httpx2.HTTPStatusError, ValueError) as error:
        raise ProviderOdd(reason="token") from error
    return dict(token)
