"""What work costs, as the coordinator tells it.

Touches: nothing.
"""

import msgspec


class Price(msgspec.Struct, frozen=True):
    """What a workload costs: ``price_micro`` micro-credits for every ``price_per`` units."""

    workload: str
    price_micro: int
    price_per: int


class Tariff(msgspec.Struct, frozen=True):
    """The prices that hold now, and their version, which every ledger line names.

    ``since_ms``: since when; ``fee_ppm``: what of each payment pays for spot checks, in parts per million. None: the
    coordinator is older, and does not say.
    """

    version: int
    prices: tuple[Price, ...]
    since_ms: int | None = None
    fee_ppm: int | None = None
