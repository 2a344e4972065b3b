"""What work costs: a published, versioned rate card, the same on every tier.

A cost is counted in units that the requester can count too (bytes of text, pages, seconds), never in the worker's own
time. It is rounded up, once. Work on a device of the same owner costs nothing.

Touches: nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.protocol.values import TEXT_UNITS_PER_KB
from mesh.units import ceil_div

PPM = 1_000_000
FEE_PPM = 50_000
"""The fee that pays for spot checks: 5 % (the product's default)."""

CURRENT = 1
"""The version that new networks start with."""

# A typical laptop embeds 300 short texts a second at 90 bytes each, 27 kB/s; a minute of that is to cost 6 credits:
# 6_000_000 / (27 * 60) = 3_704 micro-credits per kB, rounded to 3_700 (measured in benchmarks/embeddings.py).
_EMBEDDINGS_PER_KB = 3_700

# The same two cores read 2.67 pages a second (0.75 s a page and core; benchmarks/ocr_pages.py): a minute of
# that is to cost 6 credits too: 6_000_000 / (60 * 2.67) = 37_500 micro-credits a page.
_OCR_PER_PAGE = 37_500

# A typical laptop of two cores answers 400 bytes with 400 more in 1.3 s (250 tokens/s read, 100 written, 4.3 bytes to a
# token), 37 kB a minute; that is to cost 6 credits: 6_000_000 / 37 = 162_162 micro-credits per kB, rounded to 160_000.
_CHAT_PER_KB = 160_000


class UnknownRate(MeshError):
    """This network's tariff has no price for that workload. Ask an admin to add one, or use your own device."""

    code = "credits.no_rate"
    kind = "nowhere"


class Rate(NamedTuple):
    """A price: ``micro`` micro-credits for every ``per`` units, from tariff ``version``."""

    version: int
    micro: int
    per: int

    def cost(self, units: int) -> int:
        """Price of ``units`` in micro-credits, rounded up; any work at all costs at least 1, none costs 0."""
        assert units >= 0
        return ceil_div(units * self.micro, self.per)


RATE_CARDS: Mapping[int, Mapping[str, tuple[int, int]]] = {
    1: {
        "embeddings": (_EMBEDDINGS_PER_KB, TEXT_UNITS_PER_KB),
        "ocr": (_OCR_PER_PAGE, 1),
        "chat": (_CHAT_PER_KB, TEXT_UNITS_PER_KB),
    },
}
"""Version → workload → (micro-credits, per so many units). A published price never changes: add the next version.
A workload that came later has its first price in the version that was current."""

FREE = Rate(version=CURRENT, micro=0, per=1)
"""Between devices of one owner."""


def rate(workload: str, *, version: int = CURRENT, own: bool = False) -> Rate:
    """The price of a workload by a version of the rate card; ``own``: on a device of the same owner. UnknownRate."""
    if own:
        return FREE
    card = RATE_CARDS.get(version, {})
    if workload not in card:
        raise UnknownRate(workload=workload, version=version)
    micro, per = card[workload]
    return Rate(version, micro, per)


def fee(pay: int, fee_ppm: int) -> int:
    """The part of a payment that goes to verification, rounded down: the earner keeps the odd micro-credit."""
    return pay * fee_ppm // PPM
