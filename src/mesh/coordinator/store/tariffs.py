"""Queries about the versions of a network's tariff.

Touches: database (through the store it is given).
"""

from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import tariff_of
from mesh.coordinator.store.schema.jobs import LISTED, attempts, jobs
from mesh.coordinator.store.schema.ledger import tariffs
from mesh.coordinator.store.schema.networks import networks
from mesh.coordinator.store.schema.people import members
from mesh.credits.repricing import Done
from mesh.credits.tariff import SHIPPED, Tariff
from mesh.ids import MemberId, NetworkId

VERSIONS_MAX = 100
"""Versions in one answer, newest first."""

_add = insert(tariffs)
_in_force = (
    update(networks)
    .where(networks.c.id == bindparam("which"))
    .values(tariff_version=bindparam("of_version"), fee_ppm=bindparam("fee"))
)
_all = (
    select(tariffs.c.version, tariffs.c.rates, tariffs.c.made_by, members.c.name, tariffs.c.made_ms)
    .outerjoin(members, members.c.id == tariffs.c.made_by)
    .where(tariffs.c.network == bindparam("network"))
)
_newest = _all.order_by(tariffs.c.version.desc()).limit(VERSIONS_MAX)
_one = _all.where(tariffs.c.version == bindparam("version"))
_lately = (
    select(jobs.c.requester, jobs.c.job, jobs.c.workload)
    .where(jobs.c.network == bindparam("network"), LISTED, jobs.c.created_ms >= bindparam("since_ms"))
    .where(jobs.c.own.is_(False))
    .order_by(jobs.c.created_ms.desc())
    .limit(bindparam("most"))
    .subquery()
)
_how_many = select(func.count()).select_from(_lately)
_paid = (
    select(_lately.c.workload, attempts.c.units_paid, attempts.c.pay, attempts.c.fee)
    .join(_lately, (attempts.c.requester == _lately.c.requester) & (attempts.c.job == _lately.c.job))
    .where(attempts.c.network == bindparam("network"), attempts.c.pay > 0)
)


class Version(NamedTuple):
    """One version: its prices, why it was made, by whom (and what they are called), and since when it holds."""

    tariff: Tariff
    note: str
    by: MemberId | None
    name: str | None
    since_ms: int


def add(store: Store, network: NetworkId, version: Version) -> None:
    """Keep a version; it is in force from now on."""
    tariff = version.tariff
    prices = {workload: list(price) for workload, price in tariff.prices.items()}
    row = {
        "network": network,
        "version": tariff.version,
        "rates": {"prices": prices, "fee_ppm": tariff.fee_ppm, "note": version.note},
        "made_by": version.by,
        "made_ms": version.since_ms,
    }
    store.run(_add, row)
    store.run(_in_force, {"which": network, "of_version": tariff.version, "fee": tariff.fee_ppm})


def get(store: Store, network: NetworkId, version: int) -> Version | None:
    """One version that an admin made."""
    row = store.row(_one, {"network": network, "version": version})
    return None if row is None else _version(row)


def versions(store: Store, network: NetworkId) -> list[Version]:
    """The newest versions that admins made, newest first."""
    return [_version(row) for row in store.rows(_newest, {"network": network})]


def paid(store: Store, network: NetworkId, *, since_ms: int, most: int) -> tuple[list[Done], bool]:
    """What was paid for the ``most`` newest jobs since then, of those that were not on their owner's own devices; and
    whether there were more. A job that nothing was paid for counts, too: it was looked at.
    """
    asked = {"network": network, "since_ms": since_ms}
    rows = store.rows(_paid, {**asked, "most": most})
    more = int(store.value(_how_many, {**asked, "most": most + 1})) > most
    return [Done(row.workload, row.units_paid, row.pay, row.fee) for row in rows], more


def first(since_ms: int) -> Version:
    """The version that every network starts with; it has no row."""
    return Version(SHIPPED, "", None, None, since_ms)


def _version(row: Any) -> Version:
    note = str(row.rates.get("note", ""))
    return Version(tariff_of(row.version, row.rates), note, row.made_by, row.name, row.made_ms)
