"""Changing a network's credit line. Each line has balances of its own, so that what people ran up while nobody was held
to anything buys nothing once everybody is; back under the other line, what they had there counts again.

Touches: database (through the store it is given).
"""

from collections import defaultdict

from mesh.coordinator.acts import ledger
from mesh.coordinator.acts.maturing import mature_all
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.networks import BadSetting
from mesh.coordinator.acts.series import close_due
from mesh.coordinator.acts.settle import settle
from mesh.coordinator.store import decisions, ledger_reading, networks, permits
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey
from mesh.coordinator.store.ledger import About, Books
from mesh.coordinator.store.networks import Network
from mesh.credits import transfers
from mesh.credits.accounts import AccountKind
from mesh.ids import MemberId, NetworkId
from mesh.networks.membership import NotMember

CREDIT_LINES = ("friends", "strict")
SHARES_AT_A_TIME = 256
"""Shares that are read together; all of them are closed in the one transaction."""


def set_credit_line(store: Store, network: NetworkId, line: str, *, by: MemberId, moment: Moment) -> Network:
    """Change the credit line and, with it, which balances count. Under *strict* everybody but guests has the allowance,
    once. Raises BadSetting, NotMember.
    """
    if line not in CREDIT_LINES:
        raise BadSetting
    known = networks.get(store, network)
    if known is None:
        raise NotMember
    decision = decisions.add(store, network, by, ("network.credit_line", network), {"to": line}, moment.now_ms)
    if line != known.credit_line:
        if line == "strict":
            _end_all(store, network, moment)
        _swap(store, network, (line, decision), by, moment)
    networks.set_credit_line(store, network, line)
    store.kept.clear()  # which has the line that was
    for person in networks.people(store, network):
        if person.role != "guest":
            ledger.welcome(store, network, person.member, by, moment)
    return known._replace(credit_line=line)


def _end_all(store: Store, network: NetworkId, moment: Moment) -> None:
    """Settle what is known under the line that was, and release what is held: what comes later is late, and is paid
    from what its payer has free under the new one. What is pending is spent nowhere but under the line that was.
    """
    while rows := permits.open_in(store, network, SHARES_AT_A_TIME):
        jobs: dict[JobKey, set[str]] = defaultdict(set)
        for row in rows:
            if row.job is None:
                close_due(store, row.id, moment, moment.now_ms)
            else:
                jobs[JobKey(row.network, row.requester, row.job)].add(row.id)
        for key, shares in jobs.items():
            settle(store, key, moment, moment.now_ms, closing=frozenset(shares))
    mature_all(store, network, moment)


def _swap(store: Store, network: NetworkId, change: tuple[str, int], by: MemberId, moment: Moment) -> None:
    """``change``: the new line, and the number of the decision, under which each balance is swapped once."""
    line, decision = change
    money: dict[MemberId, dict[AccountKind, int]] = defaultdict(dict)
    for row in ledger_reading.all_accounts(store, network):
        money[MemberId(row.member)][row.kind] = int(row.amount)
    books = Books(store, network, moment.now_ms, moment.new_id)
    for member, amounts in money.items():
        balance, aside = amounts.get("balance", 0), amounts.get("aside", 0)
        if balance != aside:
            about = About(business=f"line:{member}:{decision}", approver=by, reason=f"the credit line is {line} now")
            books.post(transfers.swap(member, balance, aside), about)
    books.flush()
