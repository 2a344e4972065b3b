"""What work costs: a published, versioned rate card, the same on every tier.

A cost is counted in units that the requester can count too (bytes of text, pages, seconds), never in the worker's own
time. It is rounded up, once. Work on a device of the same owner costs nothing. A network starts with the tariff that
ships with Mesh; its admins may publish further versions. A version never changes: what was granted by it is paid by it.

Touches: nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from mesh.protocol.values import TEXT_UNITS_PER_KB, Priced, Prices
from mesh.units import ceil_div

PPM = 1_000_000
FEE_PPM = 50_000
"""The fee that pays for spot checks: 5 % (the product's default)."""

FIRST = 1
"""The version that every network starts with."""

# A typical laptop embeds 300 short texts a second at 90 bytes each, 27 kB/s; a minute of that is to cost 6 credits:
# 6_000_000 / (27 * 60) = 3_704 micro-credits per kB, rounded to 3_700 (measured in benchmarks/embeddings.py).
_EMBEDDINGS_PER_KB = 3_700

# The same two cores read 2.67 pages a second (0.75 s a page and core; benchmarks/ocr_pages.py): a minute of
# that is to cost 6 credits too: 6_000_000 / (60 * 2.67) = 37_500 micro-credits a page.
_OCR_PER_PAGE = 37_500

# A typical laptop of two cores answers 400 bytes with 400 more in 1.3 s (250 tokens/s read, 100 written, 4.3 bytes to a
# token), 37 kB a minute; that is to cost 6 credits: 6_000_000 / 37 = 162_162 micro-credits per kB, rounded to 160_000.
_CHAT_PER_KB = 160_000


class Rate(NamedTuple):
    """A price: ``micro`` micro-credits for every ``per`` units, from tariff ``version``."""

    version: int
    micro: int
    per: int

    def cost(self, units: int) -> int:
        """Price of ``units`` in micro-credits, rounded up; any work at all costs at least 1, none costs 0."""
        assert units >= 0
        return ceil_div(units * self.micro, self.per)


class Price(NamedTuple):
    """What a workload costs: ``micro`` micro-credits for every ``per`` units."""

    micro: int
    per: int


class Tariff(NamedTuple):
    """One version of a network's prices, and the fee (parts per million of a payment) that was set with it."""

    version: int
    prices: Mapping[str, Price]
    fee_ppm: int = FEE_PPM

    def rate(self, workload: str) -> Rate | None:
        """The price of a workload; None: there is none, and only one's own devices can do it."""
        price = self.priced.get(workload)
        return None if price is None else Rate(self.version, *price)

    @property
    def priced(self) -> Mapping[str, Price]:
        """All prices by workload, with those that it does not name itself."""
        return {**SHIPPED.prices, **self.prices}


SHIPPED = Tariff(
    FIRST,
    MappingProxyType(
        {
            "chat": Price(_CHAT_PER_KB, TEXT_UNITS_PER_KB),
            "embeddings": Price(_EMBEDDINGS_PER_KB, TEXT_UNITS_PER_KB),
            "ocr": Price(_OCR_PER_PAGE, 1),
        }
    ),
)
"""The first version of every network. A workload that comes with a later release has its shipped price in all versions
that do not name it."""

FREE = Rate(version=FIRST, micro=0, per=1)
"""Between devices of one owner."""


def fee(pay: int, fee_ppm: int) -> int:
    """The part of a payment that goes to verification, rounded down: the earner keeps the odd micro-credit."""
    return pay * fee_ppm // PPM


def told(tariff: Tariff) -> Prices | None:
    """A tariff as the State says it; None for the first, which every device knows."""
    if tariff.version == FIRST:
        return None
    return Prices(tariff.version, tuple(Priced(workload, *price) for workload, price in sorted(tariff.prices.items())))


def heard(prices: Prices | None) -> Tariff:
    """The tariff that a State says."""
    if prices is None:
        return SHIPPED
    return Tariff(prices.version, {one.workload: Price(one.micro, one.per) for one in prices.prices})
