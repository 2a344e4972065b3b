"""Whether what was paid is what the tariff says: prices that permits and lines name are those of the version they name.

A version never changes, so that the few prices which a long ledger has ever had are each looked up once.

Touches: database (through the store it is given).
"""

from typing import Any, NamedTuple

from sqlalchemy import Numeric, Select, and_, bindparam, cast, literal, or_, select

from mesh.coordinator.store import tariffs
from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.jobs import attempts
from mesh.coordinator.store.schema.ledger import postings
from mesh.coordinator.store.schema.permits import permits
from mesh.credits.tariff import FIRST, SHIPPED, Price, Tariff
from mesh.ids import NetworkId

_network: Any = bindparam("network")
_OF_LINE = (postings.c.tariff_version, postings.c.price_micro, postings.c.price_per)
_OF_PERMIT = (permits.c.tariff_version, permits.c.price_micro, permits.c.price_per)
_SAME = and_(
    bindparam("version") == permits.c.tariff_version,
    bindparam("micro") == permits.c.price_micro,
    bindparam("per") == permits.c.price_per,
)
_PRICED = and_(postings.c.network == _network, or_(postings.c.kind == "settle", postings.c.kind == "second"))
_LINES = Prepared(select(*_OF_LINE).where(_PRICED).distinct())
_PERMITS = Prepared(select(permits.c.workload, *_OF_PERMIT).where(permits.c.network == _network).distinct())
_LINE = Prepared(
    select(postings.c.id)
    .where(_PRICED)
    .where(*(column == bindparam(name) for column, name in zip(_OF_LINE, ("version", "micro", "per"), strict=True)))
    .order_by(postings.c.id)
    .limit(1)
)
_PERMIT = Prepared(
    select(permits.c.id)
    .where(permits.c.network == _network, permits.c.workload == bindparam("workload"), _SAME)
    .order_by(permits.c.id)
    .limit(1)
)


class WrongPrice(NamedTuple):
    """A row with a price that its tariff version does not have: table, key, the price found and the one expected."""

    table: str
    row: str
    found: int
    expected: int


def wrong_price(store: Store, network: NetworkId) -> WrongPrice | None:
    """The first permit, else the first line, whose price is not one of the version that it names."""
    known: dict[int, Tariff | None] = {FIRST: SHIPPED}
    for row in store.rows(_PERMITS, {"network": network}):
        workload, price = row[0], _Named._make(row[1:])
        tariff = _version(store, network, known, price.version)
        right = None if tariff is None else tariff.priced.get(workload)
        if right != price.price:
            found = store.value(_PERMIT, {"network": network, "workload": workload, **price._asdict()})
            return WrongPrice("permits", str(found), price.micro, 0 if right is None else right.micro)
    for row in store.rows(_LINES, {"network": network}):
        price = _Named._make(row)
        tariff = _version(store, network, known, price.version)
        if tariff is None or price.price not in tariff.priced.values():
            found = store.value(_LINE, {"network": network, **price._asdict()})
            return WrongPrice("postings", str(found), price.micro, 0)
    return None


class _Named(NamedTuple):
    """A price as a row names it."""

    version: int
    micro: int
    per: int

    @property
    def price(self) -> Price:
        return Price(self.micro, self.per)


def _version(store: Store, network: NetworkId, known: dict[int, Tariff | None], version: int) -> Tariff | None:
    if version not in known:
        made = tariffs.get(store, network, version)
        known[version] = None if made is None else made.tariff
    return known[version]


def line_and_permit() -> Select[Any]:
    """Payments at another price than their permit's."""
    return (
        select(postings.c.id, postings.c.price_micro, permits.c.price_micro)
        .join(permits, permits.c.id == postings.c.permit)
        .where(_PRICED)
        .where(or_(*(line != permit for line, permit in zip(_OF_LINE, _OF_PERMIT, strict=True))))
    )


def above_price() -> Select[Any]:
    """Attempts that were paid more than their units cost; an admin's payment of what was owed counts whole units."""
    most = cast(attempts.c.units_paid + 1, Numeric) * permits.c.price_micro + permits.c.price_per
    return (
        select(attempts.c.requester + literal("/") + attempts.c.job, attempts.c.pay, attempts.c.units_paid)
        .join(permits, permits.c.id == attempts.c.permit)
        .where(attempts.c.network == _network, attempts.c.pay > 0)
        .where(cast(attempts.c.pay, Numeric) * permits.c.price_per > most)
    )
