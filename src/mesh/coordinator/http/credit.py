"""Credits as admins steer them: given, limited, owed, marks that keep sides apart; and the log of what was decided.

Touches: database (through the desk).
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from mesh.coordinator.acts import devices as device_acts
from mesh.coordinator.acts import ledger as ledger_acts
from mesh.coordinator.acts import limits, owed
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.store import decisions, marks
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey
from mesh.credits.limits import DAY_MS
from mesh.credits.signals import standing_out
from mesh.ids import DeviceId, JobId, MemberId, NetworkId
from mesh.sdk import answers, credit

router = APIRouter()
PAGE = 100
"""Decisions and marks in one answer."""
ATTEMPT_MAX = 2**31 - 1
"""What a database has room for; jobs have a handful."""
NEWEST = 2**53


class GiftBody(BaseModel):
    """Credits for a member (micro-credits; negative takes back), and why."""

    model_config = ConfigDict(extra="forbid")
    member: str
    amount: StrictInt
    reason: str


class TermsBody(BaseModel):
    """A person's own floor and daily limit; null is the network's, what is left out stays."""

    model_config = ConfigDict(extra="forbid")
    floor: StrictInt | None = None
    day_limit: StrictInt | None = None
    trusted: StrictBool | None = None


class DeviceBody(BaseModel):
    """What a device's jobs may cost in 24 hours; null for no limit."""

    model_config = ConfigDict(extra="forbid")
    day_limit: StrictInt | None


class OwedBody(BaseModel):
    """Which attempt is to be paid what it is owed."""

    requester: str
    job: str
    attempt: Annotated[StrictInt, Field(ge=1, le=ATTEMPT_MAX)]


class MarksBody(BaseModel):
    """Whose marks are to be cleared: a device's, all or those that one other person's work brought."""

    device: str
    other: str | None = None


@router.post("/v1/networks/{network}/credits", dependencies=[needs("credits.change")])
async def give(network: str, body: GiftBody, request: Request) -> Response:
    """Give a member credits, or take some back, with a reason that everybody can read."""
    by = caller_of(request).member
    gift = ledger_acts.Gift(MemberId(body.member), body.amount, body.reason)

    def act(store: Store, moment: Moment) -> tuple[answers.Done, bool]:
        ledger_acts.give(store, NetworkId(network), gift, by, moment)
        return answers.Done(), True

    return (await desk_of(request).act(request, act))[0]


@router.get("/v1/networks/{network}/members/{member}/credit", dependencies=[needs("ledger.read_all")])
async def credit_of(network: str, member: str, request: Request) -> Response:
    """A member's balance, with the floor and the daily limit that an admin set for them."""
    database = desk_of(request).parts.database
    money = await database.read(ledger_acts.balance, NetworkId(network), MemberId(member))
    terms = await database.read(limits.terms, NetworkId(network), MemberId(member))
    return answer({**money._asdict(), **terms._asdict()})


@router.put("/v1/networks/{network}/members/{member}/credit", dependencies=[needs("credits.change")])
async def set_credit(network: str, member: str, body: TermsBody, request: Request) -> Response:
    """Give a member a floor or a daily limit of their own, or vouch for them: then their work is not checked."""
    by, named = caller_of(request).member, body.model_fields_set
    change: tuple[int | limits.Unset | None, int | limits.Unset | None] = (
        body.floor if "floor" in named else "unset",
        body.day_limit if "day_limit" in named else "unset",
    )

    def act(store: Store, moment: Moment) -> tuple[credit.CreditTerms, bool]:
        found = limits.set_terms(store, NetworkId(network), MemberId(member), change, (by, moment))
        if body.trusted is not None:
            found = limits.set_trust(store, NetworkId(network), MemberId(member), body.trusted, (by, moment))
        return credit.CreditTerms(found.floor, found.day_limit, found.trusted), True

    return (await desk_of(request).act(request, act))[0]


@router.put("/v1/networks/{network}/devices/{device}/credit", dependencies=[needs("credits.change")])
async def set_device_credit(network: str, device: str, body: DeviceBody, request: Request) -> Response:
    """Limit what one device's jobs may cost in 24 hours."""
    by = caller_of(request).member

    def act(store: Store, moment: Moment) -> tuple[answers.Done, bool]:
        if not limits.set_device_day(store, NetworkId(network), DeviceId(device), body.day_limit, (by, moment)):
            raise device_acts.DeviceUnknown
        return answers.Done(), True

    return (await desk_of(request).act(request, act))[0]


@router.get("/v1/networks/{network}/owed", dependencies=[needs("ledger.read_own")])
async def list_owed(network: str, request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """What is owed by or to the caller; for admins all of it."""
    caller = caller_of(request)
    whose = None if caller.may("ledger.read_all") else caller.member
    found = await desk_of(request).parts.database.read(owed.listed, NetworkId(network), whose)
    lines, more = page(found, lambda one: f"{one.job}:{one.attempt}", limit=limit, cursor=cursor)
    return answer({"owed": [one._asdict() for one in lines], "cursor": more})


@router.post("/v1/networks/{network}/owed/settle", dependencies=[needs("credits.change")])
async def settle_owed(network: str, body: OwedBody, request: Request) -> Response:
    """Pay what an attempt is owed, out of what its payer has free."""
    by, key = caller_of(request).member, JobKey(network, body.requester, JobId(body.job))

    def act(store: Store, moment: Moment) -> tuple[credit.Paid, bool]:
        return credit.Paid(owed.settle_owed(store, key, body.attempt, by, moment)), True

    return (await desk_of(request).act(request, act))[0]


@router.get("/v1/networks/{network}/marks", dependencies=[needs("ledger.read_own")])
async def list_marks(network: str, request: Request) -> Response:
    """What counts against the caller's devices and was not cleared, the newest first: work that two sides contradict
    each other about is shown to both. For admins everybody's, and whose earnings of a day stand out.
    """
    parts, caller = desk_of(request).parts, caller_of(request)
    every = caller.may("credits.change")
    rows = await parts.database.read(marks.uncleared, NetworkId(network), PAGE, None if every else caller.member)
    if not every:
        return answer({"marks": [row._asdict() for row in rows], "unusual": []})
    earned = await parts.database.read(marks.earned, NetworkId(network), parts.now_ms() - DAY_MS)
    unusual = [{"device": device, "earned": earned[device]} for device in standing_out(earned)]
    return answer({"marks": [row._asdict() for row in rows], "unusual": unusual})


@router.post("/v1/networks/{network}/marks/clear", dependencies=[needs("credits.change")])
async def clear_marks(network: str, body: MarksBody, request: Request) -> Response:
    """Clear what counts against a device: it gets permits again."""
    by, device = caller_of(request).member, DeviceId(body.device)
    other = None if body.other is None else MemberId(body.other)

    def act(store: Store, moment: Moment) -> tuple[credit.Cleared, bool]:
        return credit.Cleared(limits.clear_marks(store, NetworkId(network), device, other, (by, moment))), True

    return (await desk_of(request).act(request, act))[0]


@router.get("/v1/networks/{network}/decisions", dependencies=[needs("audit.read")])
async def list_decisions(
    network: str,
    request: Request,
    before: Annotated[int, Query(ge=0, le=NEWEST)] = NEWEST,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> Response:
    """What admins decided, newest first, each with its place in the chain; ``broken``: the first that is not whole."""
    database = desk_of(request).parts.database
    found = await database.read(decisions.page, NetworkId(network), before=before, most=limit)
    broken = await database.read(decisions.first_broken, NetworkId(network))
    shown: list[dict[str, Any]] = [one._asdict() for one in found]
    cursor = found[-1].number if len(found) == limit else None
    return answer({"decisions": shown, "before": cursor, "broken": broken})
