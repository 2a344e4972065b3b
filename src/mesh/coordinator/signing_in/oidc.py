"""Signing in with OpenID Connect, any provider: discovery, the code flow with PKCE, an ID token that is checked whole.

Who somebody is are issuer and subject and nothing else: names are shown, never matched; an address that the provider
has verified opens an invite that was made for it, and nothing more.

Touches: sockets (the provider), clock (through its arguments).
"""

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from mesh.coordinator.settings import OidcSettings
from mesh.coordinator.signing_in.providers import ProviderOdd, Step, Web, exchanged, trusted_url
from mesh.networks.domains import domain_of
from mesh.networks.ways_in import Identity, mail_address, shown

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""What an ID token may be signed with: public keys only, and none whose small-order points forge signatures."""
LEEWAY_S = 60
"""How far the provider's clock may be off."""
METADATA_LIFE_MS = 3_600_000
KEYS_EVERY_MS = 60_000
"""Keys are fetched again for a key id that is not known, but not more often than this."""
SCOPE = "openid email profile"
log = structlog.get_logger()


class Metadata(msgspec.Struct, frozen=True):
    """What counts of a provider's own description."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Oidc:
    """One provider of OpenID Connect."""

    key = "oidc"

    def __init__(self, settings: OidcSettings, now_ms: Callable[[], int]) -> None:
        self.issuer = settings.issuer
        self.title = settings.title or settings.issuer.partition("://")[2].partition("/")[0]
        self._settings = settings
        self._plain = settings.issuer.startswith("http:")
        self._now_ms = now_ms
        self._web = Web()
        self._metadata: tuple[int, Metadata] | None = None
        self._keys: tuple[int, KeySet] | None = None

    async def begin(self, step: Step) -> str:
        """Where to send the browser. Raises ProviderUnreachable, ProviderOdd."""
        metadata = await self._described()
        async with self._web.oauth(self._settings.client_id, None, SCOPE, "none") as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=step.state,
                nonce=step.nonce,
                code_verifier=step.verifier,
                redirect_uri=step.redirect,
            )
        return str(url)

    async def finish(self, step: Step, code: str) -> Identity:
        """Who came back with this code. Raises ProviderUnreachable, ProviderRefused, ProviderOdd."""
        metadata, settings = await self._described(), self._settings
        method = "none"
        if settings.secret is not None:
            posts = "client_secret_basic" not in metadata.token_endpoint_auth_methods_supported
            method = "client_secret_post" if posts else "client_secret_basic"
        client = self._web.oauth(settings.client_id, settings.secret, SCOPE, method)
        token = await exchanged(client, metadata.token_endpoint, step, code)
        claims = await self._claims(str(token.get("id_token") or ""), metadata, step.nonce)
        subject, address = str(claims["sub"]), str(claims.get("email") or "")
        name = str(claims.get("name") or claims.get("preferred_username") or "")
        verified = address if claims.get("email_verified") is True else ""
        called = (shown(address or name, subject), name)
        return Identity(self.issuer, subject, *called, domain_of(verified), mail_address(verified))

    async def _described(self) -> Metadata:
        now_ms = self._now_ms()
        if self._metadata is not None and now_ms - self._metadata[0] < METADATA_LIFE_MS:
            return self._metadata[1]
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        raw = await self._web.json(trusted_url(url, plain=self._plain))
        try:
            metadata = msgspec.convert(raw, Metadata)
        except msgspec.ValidationError as error:
            raise self._odd("metadata") from error
        if metadata.issuer != self.issuer:
            raise self._odd("another issuer")
        for each in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
            trusted_url(each, plain=self._plain)
        self._metadata = (now_ms, metadata)
        return metadata

    async def _claims(self, id_token: str, metadata: Metadata, nonce: str) -> dict[str, Any]:
        """What a provider says of somebody, once all that makes it true was checked. Raises ProviderOdd."""
        expected = JWTClaimsRegistry(
            now=lambda: self._now_ms() // 1000,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self._settings.client_id},
            nonce={"essential": True, "value": nonce},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        for again in (False, True):
            keys = await self._known_keys(metadata, again=again)
            try:
                claims = jwt.decode(id_token, keys, algorithms=list(ALGORITHMS)).claims
                expected.validate(claims)
                break
            except (JoseError, ValueError) as error:
                # A provider turns its keys: what an unknown key signed is looked at once more, with its newest ones.
                if again or not _unknown_key(error):
                    raise self._odd(type(error).__name__) from error
        subject = claims["sub"]
        others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (others or "azp" in claims) and claims.get("azp") != self._settings.client_id:
            raise self._odd("azp")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
            raise self._odd("sub")
        return dict(claims)

    async def _known_keys(self, metadata: Metadata, *, again: bool) -> KeySet:
        now_ms = self._now_ms()
        stale = self._keys is None or now_ms - self._keys[0] >= (KEYS_EVERY_MS if again else METADATA_LIFE_MS)
        if self._keys is None or stale:
            try:
                keys = KeySet.import_key_set(await self._web.json(metadata.jwks_uri))  # type: ignore[arg-type]
            except (JoseError, ValueError, KeyError, TypeError) as error:
                raise self._odd("keys") from error
            self._keys = (now_ms, keys)
        return self._keys[1]

    def _odd(self, reason: str) -> ProviderOdd:
        log.warning("oidc.odd", issuer=self.issuer, reason=reason)
        return ProviderOdd(reason=reason)


def _unknown_key(error: Exception) -> bool:
    return type(error).__name__ in ("InvalidKeyIdError", "BadSignatureError", "MissingKeyError") or isinstance(
        error, ValueError
    )
