"""A network's prices: publishing the next version, only over the one that it was made from; and what it would change.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import decisions, networks, tariffs
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.coordinator.store.tariffs import Version
from mesh.credits.repricing import VERSION_MAX, Change, Effect, effects, next_version
from mesh.credits.tariff import FIRST, Tariff
from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId
from mesh.networks.membership import NotMember
from mesh.networks.names import visible

NOTE_LENGTH_MAX = 255
PAST_MS = 30 * 24 * 3600 * 1000
"""Jobs of so long are looked at to say what a change means: a month holds each day of the week four times."""
PAST_JOBS_MAX = 10_000
"""And at most so many of them, the newest: a bound on what one question reads, however long the ledger is."""


class StaleTariff(MeshError):
    """Somebody published another version meanwhile. Look at it, and set your prices again over that one."""

    code = "tariff.stale"
    kind = "conflict"


class NoSuchTariff(MeshError):
    """There is no such version of this tariff. `mesh tariff history` lists those that are."""

    code = "tariff.no_version"
    kind = "not_found"


class Draft(NamedTuple):
    """What is to change, the version that it was made from, and why."""

    change: Change
    base: int
    note: str = ""


class Tried(NamedTuple):
    """What a change would mean: both versions, and each workload's jobs since ``since_ms``; ``more``: not all of them
    were looked at.
    """

    before: Tariff
    after: Tariff
    since_ms: int
    effects: list[Effect]
    more: bool


def publish(store: Store, network: NetworkId, draft: Draft, *, by: MemberId, moment: Moment) -> Network:
    """Make the next version: permits that are granted from now on are priced by it; the epoch grows, since the State
    says it. What was granted before keeps its price. Raises BadPrice, BadFee, SameTariff, StaleTariff, NotMember.
    """
    known = _known(store, network)
    if draft.base != known.tariff.version or draft.base == VERSION_MAX:
        raise StaleTariff(base=draft.base, current=known.tariff.version)
    after = next_version(known.tariff, draft.change)
    note = visible(draft.note[:NOTE_LENGTH_MAX])
    tariffs.add(store, network, Version(after, note, by, None, moment.now_ms))
    epoch = networks.next_epoch(store, network)
    facts = {
        "version": after.version,
        "prices": {name: list(price) for name, price in after.prices.items() if known.tariff.priced.get(name) != price},
        "fee_ppm": after.fee_ppm,
        "note": note,
    }
    decisions.add(store, network, by, ("tariff.publish", str(after.version)), facts, moment.now_ms)
    return known._replace(tariff=after, priced_ms=moment.now_ms, epoch=epoch)


def tried(store: Store, network: NetworkId, change: Change, now_ms: int) -> Tried:
    """What a change would mean, by the jobs of the last 30 days; nothing is kept. Raises as ``publish``."""
    before = _known(store, network).tariff
    after = next_version(before, change)
    since_ms = now_ms - PAST_MS
    past, more = tariffs.paid(store, network, since_ms=since_ms, most=PAST_JOBS_MAX)
    return Tried(before, after, since_ms, effects(past, before, after), more)


def versions(store: Store, network: NetworkId) -> list[Version]:
    """The newest versions, newest first, down to the one that every network starts with. Raises NotMember."""
    known = _known(store, network)
    made = tariffs.versions(store, network)
    return made if len(made) == tariffs.VERSIONS_MAX else [*made, tariffs.first(known.created_ms)]


def version(store: Store, network: NetworkId, number: int | None) -> Version:
    """One version; None for the one in force. Raises NoSuchTariff, NotMember."""
    known = _known(store, network)
    wanted = known.tariff.version if number is None else number
    if wanted == FIRST:
        return tariffs.first(known.created_ms)
    found = tariffs.get(store, network, wanted)
    if found is None:
        raise NoSuchTariff
    return found


def _known(store: Store, network: NetworkId) -> Network:
    found = networks.get(store, network)
    if found is None:
        raise NotMember
    return found
