"""Mail: links to sign in are sent one after the other, beside everything else; nobody waits for that or learns from it.

Whether an address is known here is looked up when its turn comes, never while somebody waits for an answer: neither
what is answered nor how long it takes says it.

Touches: sockets (the mail server), database, clock and randomness (through ``parts``).
"""

import asyncio
from collections.abc import Awaitable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from mesh.concurrency import heed_cancel
from mesh.coordinator.acts import mail as acts
from mesh.coordinator.acts.mail import AskedByMail, InviteAsked, Offered
from mesh.coordinator.config import BadConfig, is_loopback
from mesh.coordinator.parts import Parts
from mesh.coordinator.settings import MailSettings
from mesh.coordinator.store import tokens
from mesh.errors import MeshError
from mesh.ids import TokenId
from mesh.networks.names import unlinked
from mesh.networks.ways_in import mail_address
from mesh.protocol.links import secret_hash
from mesh.sdk.pinning import vouched_context

WAITING_MAX = 200
"""Letters that wait; limits let no person or address make so many."""
SEND_S = 30.0
"""A mail server takes a letter within seconds; one that greets slowly to keep robots off may take 20."""
PORTS = {"smtp": 587, "smtps": 465}
log = structlog.get_logger()


class Invited(NamedTuple):
    """An invite that goes to the address it is for. ``maker``, ``network``: names."""

    token: TokenId
    address: str
    maker: str
    network: str
    link: str
    expires_ms: int


Wish = AskedByMail | InviteAsked | Invited


class Server(NamedTuple):
    """A mail server. ``tls``: from the first byte; else by STARTTLS, without which only this machine's own is used."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None

    @property
    def here(self) -> bool:
        """Whether it is on this machine, so that nothing is to be overheard."""
        return is_loopback(self.host)


def server_of(url: str) -> Server:
    """The server of ``smtp://USER:PASSWORD@HOST:PORT``, or ``smtps://…``. Raises BadConfig."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in PORTS or not parts.hostname or port == -1 or parts.path not in ("", "/"):
        raise BadConfig("The mail server looks like smtp://USER:PASSWORD@HOST:587, or smtps://…:465.")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return Server(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "smtps", user, password)


class Mailer:
    """Sends what was asked for, one letter after the other. Without settings it takes none."""

    def __init__(self, settings: MailSettings | None, parts: Parts) -> None:
        """Raises BadConfig."""
        self._parts = parts
        self._server = None if settings is None else server_of(settings.url)
        self._sender = "" if settings is None else settings.sender
        self._waiting: asyncio.Queue[Wish] = asyncio.Queue(WAITING_MAX)
        if settings is not None and mail_address(settings.sender) is None:
            raise BadConfig("--mail-from must be an e-mail address.")

    @property
    def on(self) -> bool:
        """Whether there is a mail server."""
        return self._server is not None

    def ask(self, asked: Wish) -> bool:
        """Take a wish for a letter; where too many wait it is left out, and False."""
        try:
            self._waiting.put_nowait(asked)
        except asyncio.QueueFull:
            log.warning("mail.too_many_wait")
            return False
        return True

    async def invite(self, invited: Invited) -> None:
        """Take an invite that is to be sent; whoever made it reads in the list of links what became of it."""
        if not self.ask(invited):
            await self._parts.database.write(tokens.set_letter, invited.token, "failed")

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            asked = await self._waiting.get()
            if await self._done(self._answer(asked)) or not isinstance(asked, Invited):
                continue
            await self._done(self._parts.database.write(tokens.set_letter, asked.token, "failed"))

    async def _done(self, step: Awaitable[None]) -> bool:
        try:
            await step
        except (MeshError, aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            log.warning("mail.failed", error=type(error).__name__)  # never the address: it is somebody's
            return False
        finally:
            heed_cancel()
        return True

    async def _answer(self, asked: Wish) -> None:
        if isinstance(asked, Invited):
            if await self._parts.database.read(acts.still_open, asked.token, self._parts.moment()):
                await self._send(asked.address, _invitation(asked))
                await self._parts.database.write(tokens.set_letter, asked.token, "sent")
            return
        link = self._parts.new_link()
        hashed, moment = secret_hash(link.secret), self._parts.moment()
        if isinstance(asked, InviteAsked):
            token = await self._parts.database.write(acts.offer_letter, asked, hashed, moment)
            if token is not None:
                await self._send(token.address, _proof(link.text()))
            return
        offered = await self._parts.database.write(acts.offer, asked, hashed, moment)
        if offered is not None:
            letter = _proof(link.text()) if offered.invites else _sign_in(offered, link.text())
            await self._send(asked.address, letter)

    async def _send(self, address: str, letter: EmailMessage) -> None:
        server = self._server
        assert server is not None
        async with asyncio.timeout(SEND_S):
            await aiosmtplib.send(
                _addressed(letter, self._sender, address),
                hostname=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.tls,
                start_tls=None if server.tls or server.here else True,
                tls_context=vouched_context(),
                timeout=SEND_S,
            )
        log.info("mail.sent", what=letter["Subject"])


def _addressed(letter: EmailMessage, sender: str, address: str) -> EmailMessage:
    letter["From"], letter["To"] = sender, address
    letter["Date"] = formatdate()
    letter["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    letter["Auto-Submitted"] = "auto-generated"
    return letter


def _invitation(invited: Invited) -> EmailMessage:
    letter = EmailMessage()
    letter["Subject"] = "You are invited to a Mesh network"
    until = formatdate(invited.expires_ms / 1000)
    letter.set_content(
        f"You are invited into the network {invited.network} on Mesh, by {unlinked(invited.maker)}, until {until}:\n\n"
        f"{invited.link}\n\n"
        "The invite is for this address alone: the page asks you to show that it is yours.\n"
        "If you do not know who invites you, do nothing.\n"
    )
    return letter


def _proof(link: str) -> EmailMessage:
    letter = EmailMessage()
    letter["Subject"] = "Your address for a Mesh network"
    letter.set_content(
        "This link shows that the address is yours, and lets you in. It works within ten minutes, in the browser where "
        f"you asked for it:\n\n{link}\n\nIf you did not ask for it, do nothing: it opens nothing for anybody else.\n"
    )
    return letter


def _sign_in(offered: Offered, link: str) -> EmailMessage:
    """A letter in plain words. Names are others' text: they stay out of the headers."""
    letter = EmailMessage()
    letter["Subject"] = "Link this address with Mesh" if offered.links else "Sign in to Mesh"
    name = unlinked(offered.name)
    what = f"links this address with {name} and signs you in" if offered.links else f"signs you in as {name}"
    letter.set_content(
        f"This link {what}, once, within ten minutes, in the browser where you asked for it:\n\n{link}\n\n"
        "If you did not ask for it, do nothing: it opens nothing for anybody else.\n"
    )
    return letter
