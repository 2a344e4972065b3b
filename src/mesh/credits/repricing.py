"""The next version of a tariff: which prices are ones at all, and what a change of them means for jobs.

Everything is whole micro-credits. A change names what it changes; the rest stays. Nothing here reaches back: what was
set aside by an earlier version is paid by that version.

Touches: nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mesh.credits.tariff import SHIPPED, Price, Rate, Tariff, fee
from mesh.errors import MeshError
from mesh.units import CREDIT, MICRO_LIMIT, credits_text

PRICE_MICRO_MAX = 1_000 * CREDIT
"""A minute of a typical laptop is to cost about 6 credits: 1,000 for a page or a kB of text are hours of it, and a slip
of the unit. It also keeps the cost of 9,000,000 pages, or 9 GB of text, below 2^53 micro-credits."""
PER_MAX = 1_000_000
"""Units that a price may be for, of workloads that Mesh does not ship."""
FEE_PPM_MAX = 500_000
"""Who does the work keeps at least half."""
WORKLOADS_MAX = 64
"""Prices in one tariff: three ship with Mesh; the State that carries them stays small."""
VERSION_MAX = 2**31 - 1
"""What a database has room for."""
TYPICAL_UNITS: Mapping[str, int] = {"chat": 4_000, "embeddings": 10_000, "ocr": 10}
"""A job to show a price by where nobody ran one yet: a short talk, a hundred short texts, a letter of ten pages."""
_BEYOND = "more than 2^53"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class BadPrice(MeshError):
    """That is no price of a tariff. A price is 1 micro-credit to 1,000 credits for each page, or each 1,000 bytes."""

    code = "tariff.bad_price"
    kind = "invalid"


class BadFee(MeshError):
    """The fee is 0 to 500,000 parts per million of a payment (0 to 50 %): who does the work keeps at least half."""

    code = "tariff.bad_fee"
    kind = "invalid"


class SameTariff(MeshError):
    """That is the tariff as it is, so no version was made of it. Change a price or the fee."""

    code = "tariff.same"
    kind = "invalid"


class Asked(NamedTuple):
    """A price as somebody asks for it; ``per`` None: for as many units as the workload is counted by now."""

    micro: int
    per: int | None = None


class Change(NamedTuple):
    """What is to change: prices by workload, and the fee; what is not named stays."""

    prices: Mapping[str, Asked]
    fee_ppm: int | None = None


class Done(NamedTuple):
    """A job that was paid: its units, what it cost, and what of that was the fee."""

    workload: str
    units: int
    charged: int
    fee: int


class Effect(NamedTuple):
    """What a change means for one workload: a job of ``units`` costs ``after`` in place of ``before``.

    The ``jobs`` that were looked at cost ``charged`` together and would have cost ``would``; those who did them earned
    ``earned`` and would have earned ``would_earn``.
    """

    workload: str
    units: int
    before: int | None
    after: int
    jobs: int
    charged: int
    would: int
    earned: int
    would_earn: int


def next_version(now: Tariff, change: Change) -> Tariff:
    """The version after ``now``. Raises BadPrice, BadFee, SameTariff."""
    before = now.priced
    prices = dict(before)
    for workload, asked in change.prices.items():
        prices[workload] = _price(workload, asked, prices.get(workload))
    if len(prices) > WORKLOADS_MAX:
        raise BadPrice(f"A tariff has at most {WORKLOADS_MAX} prices; these would be {len(prices)}.", reason="too_many")
    fee_ppm = now.fee_ppm if change.fee_ppm is None else change.fee_ppm
    if not 0 <= fee_ppm <= FEE_PPM_MAX:
        raise BadFee(
            f"A fee of {_number(fee_ppm)} parts per million is none: it is 0 to {FEE_PPM_MAX:,} (50 %), "
            "so that who does the work keeps at least half.",
            fee_ppm=_shown(fee_ppm),
        )
    if (prices, fee_ppm) == (before, now.fee_ppm):
        raise SameTariff
    return Tariff(now.version + 1, dict(sorted(prices.items())), fee_ppm)


def effects(past: Iterable[Done], before: Tariff, after: Tariff) -> list[Effect]:
    """What ``after`` in place of ``before`` means for each workload, by jobs that were done; dearest first.

    The job that is shown is of their average size, else of a typical one.
    """
    done: dict[str, list[Done]] = {workload: [] for workload in after.priced}
    for one in past:
        if one.workload in done:
            done[one.workload].append(one)
    found = [_effect(workload, jobs, before.rate(workload), after) for workload, jobs in done.items()]
    return sorted(found, key=lambda one: (-max(one.charged, one.would), one.workload))


def _effect(workload: str, jobs: Sequence[Done], was: Rate | None, after: Tariff) -> Effect:
    rate = Rate(after.version, *after.priced[workload])
    units = sum(one.units for one in jobs) // len(jobs) if jobs else TYPICAL_UNITS.get(workload, rate.per)
    costs = [rate.cost(one.units) for one in jobs]
    return Effect(
        workload,
        units,
        None if was is None else was.cost(units),
        rate.cost(units),
        len(jobs),
        charged=sum(one.charged for one in jobs),
        would=sum(costs),
        earned=sum(one.charged - one.fee for one in jobs),
        would_earn=sum(cost - fee(cost, after.fee_ppm) for cost in costs),
    )


def _price(workload: str, asked: Asked, now: Price | None) -> Price:
    """A price that is one. Raises BadPrice."""
    if _NAME.fullmatch(workload) is None:
        raise BadPrice("A workload is named by 1 to 63 of a-z, 0-9, dots, hyphens and underscores.", reason="name")
    counted = SHIPPED.prices.get(workload)
    per = asked.per if asked.per is not None else now.per if now is not None else 1
    facts = {"workload": workload, "price_micro": _shown(asked.micro), "price_per": _shown(per)}
    if counted is not None and per != counted.per:
        raise BadPrice(
            f"{workload} is priced for each {counted.per:,} units, not {_number(per)}.", reason="unit", **facts
        )
    if not 1 <= per <= PER_MAX:
        raise BadPrice(f"A price is for 1 to {PER_MAX:,} units, not for {_number(per)}.", reason="unit", **facts)
    if asked.micro < 0:
        raise BadPrice(
            f"{workload} would cost less than nothing ({_credits(asked.micro)} credits). Who asks pays who works.",
            reason="negative",
            **facts,
        )
    if asked.micro == 0:
        raise BadPrice(
            f"{workload} would cost nothing, so nothing could be set aside or limited. The lowest price is 1 "
            "micro-credit (0.000001 credits); one's own devices cost nothing anyway.",
            reason="zero",
            **facts,
        )
    if asked.micro > PRICE_MICRO_MAX:
        raise BadPrice(
            f"{workload} would cost {_credits(asked.micro)} credits for {per:,} units. A price is at most "
            f"{PRICE_MICRO_MAX // CREDIT:,}: a minute of a typical laptop is about 6. It is written in micro-credits, "
            "a millionth each.",
            reason="too_high",
            **facts,
        )
    return Price(asked.micro, per)


def _credits(micro: int) -> str:
    return credits_text(micro) if abs(micro) <= MICRO_LIMIT else f"{_BEYOND} micro-"


def _number(number: int) -> str:
    return f"{number:,}" if abs(number) <= MICRO_LIMIT else _BEYOND


def _shown(number: int) -> int | str:
    """A number as an error carries it: JSON readers hold no larger one exactly."""
    return number if abs(number) <= MICRO_LIMIT else _BEYOND
