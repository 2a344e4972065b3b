"""Mail: links to sign in are sent one after the other, beside everything else; nobody waits for that or learns from it.

Whether an address is known here is looked up when its turn comes, never while somebody waits for an answer: neither
what is answered nor how long it takes says it.

Touches: sockets (the mail server), database, clock and randomness (through ``parts``).
"""

import asyncio
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from mesh.coordinator.acts import mail as acts
from mesh.coordinator.acts.mail import AskedByMail, Offered
from mesh.coordinator.config import BadConfig, is_loopback
from mesh.coordinator.parts import Parts
from mesh.coordinator.settings import MailSettings
from mesh.errors import MeshError
from mesh.networks.ways_in import mail_address
from mesh.protocol.links import secret_hash
from mesh.sdk.pinning import vouched_context

WAITING_MAX = 200
"""Letters that wait; limits let no person or address make so many."""
SEND_S = 30.0
"""A mail server takes a letter within seconds; one that greets slowly to keep robots off may take 20."""
PORTS = {"smtp": 587, "smtps": 465}
log = structlog.get_logger()


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
        self._waiting: asyncio.Queue[AskedByMail] = asyncio.Queue(WAITING_MAX)
        if settings is not None and mail_address(settings.sender) is None:
            raise BadConfig("--mail-from must be an e-mail address.")

    @property
    def on(self) -> bool:
        """Whether there is a mail server."""
        return self._server is not None

    def ask(self, asked: AskedByMail) -> None:
        """Take a wish for a link; where too many wait it is left out."""
        try:
            self._waiting.put_nowait(asked)
        except asyncio.QueueFull:
            log.warning("mail.too_many_wait")

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            asked = await self._waiting.get()
            try:
                await self._answer(asked)
            except (MeshError, aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                log.warning("mail.failed", error=type(error).__name__)  # never the address: it is somebody's

    async def _answer(self, asked: AskedByMail) -> None:
        link = self._parts.new_link()
        offered = await self._parts.database.write(acts.offer, asked, secret_hash(link.secret), self._parts.moment())
        if offered is not None:
            await self._send(asked.address, offered, link.text())

    async def _send(self, address: str, offered: Offered, link: str) -> None:
        server = self._server
        assert server is not None
        async with asyncio.timeout(SEND_S):
            await aiosmtplib.send(
                _letter(self._sender, address, offered, link),
                hostname=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.tls,
                start_tls=None if server.tls or server.here else True,
                tls_context=vouched_context(),
                timeout=SEND_S,
            )
        log.info("mail.sent", links=offered.links)


def _letter(sender: str, address: str, offered: Offered, link: str) -> EmailMessage:
    """A letter in plain words. Names are others' text: they stay out of the headers."""
    letter = EmailMessage()
    letter["From"], letter["To"] = sender, address
    letter["Subject"] = "Link this address with Mesh" if offered.links else "Sign in to Mesh"
    letter["Date"] = formatdate()
    letter["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    letter["Auto-Submitted"] = "auto-generated"
    what = (
        f"links this address with {offered.name} and signs you in"
        if offered.links
        else f"signs you in as {offered.name}"
    )
    letter.set_content(
        f"This link {what}, once, within ten minutes, in the browser where you asked for it:\n\n{link}\n\n"
        "If you did not ask for it, do nothing: it opens nothing for anybody else.\n"
    )
    return letter
