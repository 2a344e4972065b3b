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
    """The prices that hold now, and their version, which every ledger line names."""

    version: int
    prices: tuple[Price, ...]
