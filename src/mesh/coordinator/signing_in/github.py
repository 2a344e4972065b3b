"""Signing in with GitHub: OAuth's code flow, and the account's number, which stays when its name changes hands.

Touches: sockets (GitHub, or another installation of it).
"""

import msgspec

from mesh.coordinator.settings import GITHUB, GithubSettings
from mesh.coordinator.signing_in.providers import ProviderOdd, Step, Web, exchanged
from mesh.networks.ways_in import Identity, shown


class Account(msgspec.Struct, frozen=True):
    """What counts of an account: its number."""

    id: int
    login: str = ""
    name: str | None = None


class Github:
    """GitHub, or an Enterprise server."""

    key = "github"

    def __init__(self, settings: GithubSettings) -> None:
        self.issuer = settings.url.rstrip("/")
        self.title = "GitHub"
        self._settings = settings
        self._api = "https://api.github.com" if self.issuer == GITHUB else f"{self.issuer}/api/v3"
        self._web = Web()

    async def begin(self, step: Step) -> str:
        """Where to send the browser."""
        async with self._web.oauth(self._settings.client_id, None, "read:user", "none") as client:
            url, _ = client.create_authorization_url(
                f"{self.issuer}/login/oauth/authorize",
                state=step.state,
                code_verifier=step.verifier,
                redirect_uri=step.redirect,
            )
        return str(url)

    async def finish(self, step: Step, code: str) -> Identity:
        """Who came back with this code. Raises ProviderUnreachable, ProviderRefused, ProviderOdd."""
        settings = self._settings
        client = self._web.oauth(settings.client_id, settings.secret, "read:user", "client_secret_post")
        token = await exchanged(client, f"{self.issuer}/login/oauth/access_token", step, code)
        headers = {"authorization": f"Bearer {token.get('access_token')}", "x-github-api-version": "2022-11-28"}
        try:
            account = msgspec.convert(await self._web.json(f"{self._api}/user", headers), Account)
        except msgspec.ValidationError as error:
            raise ProviderOdd(reason="account") from error
        if account.id <= 0:
            raise ProviderOdd(reason="account")
        subject = str(account.id)
        return Identity(self.issuer, subject, shown(account.login, subject), account.name or account.login)
