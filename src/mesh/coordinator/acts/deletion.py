"""A person deletes their account: asks, may think again for a month, then goes from every network and is forgotten.

What is kept about them afterwards names an id that belongs to nobody; ``store.personal`` says which rows go and why
others stay. The steps at the end can be repeated: whatever ended in between is taken up where it was.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

import msgspec

from mesh.coordinator.acts import ledger, members
from mesh.coordinator.acts.members import Gone
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import applicants, decisions, deletions, devices, networks, people, personal, tokens
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.deletions import Deletion
from mesh.ids import MemberId, NetworkId
from mesh.networks.deletion import GRACE_S, NotConfirmed, NothingAsked, OnlyAdmin, OperatorStays, Parting, parting
from mesh.protocol.values import Role


class Leaving(NamedTuple):
    """What happens in one network: its ``parting``, the money at stake (micro-credits), the devices that go."""

    network: NetworkId
    name: str
    role: Role
    parting: Parting
    balance: int
    pending: int
    held: int
    devices: tuple[str, ...]


class TableFate(NamedTuple):
    """What becomes of a table's rows about a person: how many there are, how many go, and why others stay."""

    table: str
    rows: int
    erased: int
    pseudonymised: int
    kept: int
    why: str


class Plan(NamedTuple):
    """What deleting an account means, and whether that was asked for. ``operator``: the installation is theirs."""

    asked_ms: int | None
    due_ms: int | None
    operator: bool
    networks: tuple[Leaving, ...]
    tables: tuple[TableFate, ...]


class Closed(NamedTuple):
    """An account that is closed: from where its person went, and which networks ended with that."""

    gone: tuple[Gone, ...]
    ended: tuple[NetworkId, ...]


def plan(store: Store, member: MemberId) -> Plan:
    """What would happen to whom, network by network and table by table."""
    asked, counted = deletions.of(store, member), personal.counts(store, member)
    return Plan(
        None if asked is None else asked.asked_ms,
        None if asked is None else asked.due_ms,
        _operates(store, member),
        tuple(_leavings(store, member)),
        _fates(counted, {table: 0 if personal.FATES[table].erased else rows for table, rows in counted.items()}),
    )


def ask(
    store: Store, member: MemberId, confirmed: str, *, receipt_hash: str, session_hash: str, moment: Moment
) -> Deletion:
    """Delete an account in a month; its other sign-ins end now, so that nobody can miss it. Asked again: as before.

    ``confirmed``: the person's own name, as they typed it. Raises NotConfirmed, OperatorStays, OnlyAdmin.
    """
    name = people.member_name(store, member)
    if name is None or confirmed.strip() != name:
        raise NotConfirmed
    if _operates(store, member):
        raise OperatorStays
    leavings = list(_leavings(store, member))
    blocked = [one.name for one in leavings if one.parting == "blocked"]
    if blocked:
        raise OnlyAdmin(networks=blocked)
    deletions.drop(store, member)
    asked = Deletion(member, moment.now_ms, moment.now_ms + int(GRACE_S * 1000))
    deletions.add(store, asked, receipt_hash=receipt_hash)
    deletions.sign_out(store, member, but=session_hash, now_ms=moment.now_ms)
    for one in leavings:
        facts = {"due_ms": asked.due_ms}
        decisions.add(store, one.network, member, ("account.delete", member), facts, moment.now_ms)
    return asked


def keep(store: Store, member: MemberId, moment: Moment) -> bool:
    """Take a deletion back, also by signing in; False where none was waiting."""
    if not deletions.drop(store, member):
        return False
    for one in networks.of_member(store, member):
        decisions.add(store, one, member, ("account.keep", member), {}, moment.now_ms)
    return True


def cancel(store: Store, member: MemberId, moment: Moment) -> None:
    """Take a deletion back. Raises NothingAsked."""
    if not keep(store, member, moment):
        raise NothingAsked


def close(store: Store, member: MemberId, moment: Moment) -> Closed:
    """The month is over: leave every network, and sign in no more. Raises OnlyAdmin, OperatorStays.

    A network that has nobody else ends.
    """
    if _operates(store, member):
        raise OperatorStays
    counted = personal.counts(store, member)
    for asked in applicants.of_member(store, member):
        if asked.state == "pending":
            applicants.end(store, asked.network, member, ("withdrawn", ""), by=None, now_ms=moment.now_ms)
    deletions.close(store, member, msgspec.json.encode(counted).decode(), now_ms=moment.now_ms)
    gone, ended = [], []
    for one in _leavings(store, member):
        if one.parting == "blocked":
            raise OnlyAdmin(networks=[one.name])
        gone.append(members.take_out(store, one.network, member, by=member, moment=moment))
        if one.parting == "end":
            networks.end(store, one.network, now_ms=moment.now_ms)
            ended.append(one.network)
    return Closed(tuple(gone), tuple(ended))


def finish(store: Store, deletion: Deletion, moment: Moment) -> tuple[TableFate, ...]:
    """Forget who it was, and write down what became of every table's rows."""
    member = deletion.member
    before: dict[str, int] = msgspec.json.decode(deletion.report or "{}")
    tokens.withdraw_to_linked(store, member, now_ms=moment.now_ms)
    personal.scrub(store, member)
    report = _fates(before, personal.counts(store, member))
    told = msgspec.json.encode([one._asdict() for one in report]).decode()
    deletions.finish(store, member, told, now_ms=moment.now_ms)
    return report


def look(store: Store, receipt_hash: str) -> tuple[Deletion, tuple[TableFate, ...]]:
    """How far a deletion is, for who has its receipt: nobody can sign in to ask. Raises NothingAsked."""
    found = deletions.by_receipt(store, receipt_hash)
    if found is None:
        raise NothingAsked
    told = msgspec.json.decode(found.report) if found.done_ms is not None and found.report is not None else ()
    return found, tuple(TableFate(**one) for one in told)


def _operates(store: Store, member: MemberId) -> bool:
    installation = people.installed(store)
    return installation is not None and installation.operator == member


def _leavings(store: Store, member: MemberId) -> list[Leaving]:
    leaving, found = deletions.waiting(store) | {member}, []
    for network in networks.of_member(store, member):
        known = networks.get(store, network)
        roles = {person.member: person.role for person in networks.people(store, network)}
        if known is None or member not in roles:
            continue
        money = ledger.balance(store, network, member)
        theirs = tuple(one.name for one in devices.live(store) if (one.network, one.owner) == (network, member))
        how = parting(roles, member, leaving)
        found.append(Leaving(network, known.name, roles[member], how, money.balance, money.pending, money.held, theirs))
    return found


def _fates(before: dict[str, int], after: dict[str, int]) -> tuple[TableFate, ...]:
    """``after``: the rows that are still there. Rows that came by the going itself are counted as kept."""
    report = []
    for table in sorted(before.keys() | after.keys()):
        fate, left = personal.FATES[table], after.get(table, 0)
        rows = max(before.get(table, 0), left)
        changed, kept = (left, 0) if fate.values else (0, left)
        if rows:
            report.append(TableFate(table, rows, rows - left, changed, kept, fate.why if left else ""))
    return tuple(report)
