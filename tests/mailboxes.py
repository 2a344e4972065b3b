"""A mail server on loopback that keeps what it is given."""

import contextlib
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class Mailbox:
    """What came. ``url``: of its server; ``refuses``: so many letters are not taken."""

    url = ""
    refuses = 0

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuses:
            self.refuses -= 1
            return "451 not now"
        letter = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage) and envelope.rcpt_tos == [letter["To"]]
        self.letters.append(letter)
        return "250 kept"


class AnyPort(Controller):
    """On a port that is free; the library's own asks itself by a fixed one whether it has started."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextlib.contextmanager
def a_mailbox() -> Iterator[Mailbox]:
    """A mail server until the end of the block."""
    box = Mailbox()
    controller = AnyPort(box, hostname="127.0.0.1", port=0, ready_timeout=30)
    controller.start()
    try:
        box.url = f"smtp://127.0.0.1:{controller.port}"
        yield box
    finally:
        controller.stop()


def link_in(letter: EmailMessage) -> str:
    """The link that a letter carries."""
    (link,) = [line for line in letter.get_content().splitlines() if line.startswith("http")]
    return str(link)
