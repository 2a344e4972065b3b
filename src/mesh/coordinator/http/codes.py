"""What both kinds of codes need at the edge: the bodies that carry them, and how often a person may mistype one.

Touches: database, clock (through the desk).
"""

from typing import TypeVar

import structlog
from fastapi import Request
from pydantic import BaseModel, Field

from mesh.coordinator.acts import codes as acts
from mesh.coordinator.http.desk import desk_of
from mesh.coordinator.store.codes import Requests
from mesh.ids import MemberId
from mesh.networks import codes as rules
from mesh.networks.codes import Asked, Refusals

log = structlog.get_logger()
A = TypeVar("A", bound=Asked)
HANDLE_BYTES = 3
"""Random bytes of a handle: 20 bits are used."""


class NonceBody(BaseModel):
    """The random number that a machine had committed to; it alone knows it."""

    nonce: str = Field(pattern=r"^[0-9a-f]{64}$")


class CodeBody(BaseModel):
    """A code as a person typed it."""

    code: str = Field(max_length=64)


class Tries:
    """Wrong codes of each person, as long as they count. A try is counted before its code is looked at."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals
        self._wrong: dict[MemberId, tuple[int, ...]] = {}

    def begin(self, member: MemberId, now_ms: int) -> None:
        """Count a try as wrong, until it is known to be right. Refused where that was too often."""
        self._wrong[member] = (*rules.may_try(self._wrong.get(member, ()), now_ms, self._refusals), now_ms)

    def right(self, member: MemberId) -> None:
        """The newest try was none of the wrong ones."""
        self._wrong[member] = self._wrong[member][:-1]


async def found_by(
    request: Request, requests: Requests[A], halves: tuple[str, str], member: MemberId, tries: Tries
) -> A:
    """The request that shows a code, whatever became of it. Refused where none does, or after too many wrong ones."""
    parts = desk_of(request).parts
    moment = parts.moment()
    tries.begin(member, moment.now_ms)
    us = (parts.keys.public, parts.site.binding)
    found = await parts.database.write(acts.find, requests, halves, us, moment)
    if found is None:
        refusal = requests.kind.REFUSALS.wrong_code
        log.info(refusal.code, member=member)
        raise refusal
    tries.right(member)
    return found


def still_open(asked: Asked, now_ms: int) -> None:
    """Refuse with why a request has ended, where it has."""
    ended = rules.ended(asked, now_ms)
    if ended is not None:
        raise ended
