"""A long ledger, written as rows and not act by act: for what is asked of a million lines.

It follows the same rules (balanced postings, balances, the chain, sums by the hour, and the records of the jobs that
were paid), which ``verify`` then derives again: a filler that got one of them wrong is named by it.

Touches: database (through the store it is given).
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from mesh.coordinator.store import ledger
from mesh.coordinator.store.connection import Prepared, Store, adding
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.ledger_hours import HOUR_MS
from mesh.coordinator.store.schema import jobs as job_tables
from mesh.coordinator.store.schema import ledger as tables
from mesh.coordinator.store.schema import permits as permit_tables
from mesh.coordinator.store.sealing import _CONTENT
from mesh.credits import transfers
from mesh.credits.accounts import Account, Posting
from mesh.credits.chain import GENESIS, linked
from mesh.ids import MemberId, NetworkId, ulid

PART = 2000
"""Deals in one transaction."""
PAID, FEE, UNITS = 3700, 185, 1000
_PRICE = {"tariff_version": 1, "price_micro": 3700, "price_per": 1000}
_CONTENT_NAMES = tuple(column.name for column in _CONTENT)
_SIGNED = "x" * 640
"""Stands for a signed fact: about as long as one, and nobody reads it here."""


class Deal(NamedTuple):
    """A job that was paid, or (without ``requester``) a gift of an admin, who is the ``payer``; when, in ms."""

    at_ms: int
    payer: str
    earner: str
    requester: str = ""
    worker: str = ""


class Long:
    """Writes deals in their order, which must be that of their times; ``done`` seals what was written."""

    def __init__(self, database: Database, network: str, new_id: Callable[[], str], sign: Callable[[int, str], str]):
        """``new_id``: of accounts; ``sign``: a head by its number and hash."""
        self._database, self._network, self._new_id, self._sign = database, NetworkId(network), new_id, sign
        self._number, self._hash = 0, GENESIS
        self._last_ms = 0
        self._accounts: dict[Account, str] = {}
        self._amounts: dict[str, int] = defaultdict(int)
        self._hours: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])

    def write(self, deals: Iterable[Deal], *, records: bool) -> None:
        """``records``: with the job, its permit and what its devices signed, as a network keeps them for a while."""
        waiting = iter(deals)
        while part := list(itertools.islice(waiting, PART)):
            self._database.write_and_wait(self._part, part, records)

    def done(self) -> None:
        """Write balances, sums and the head."""
        self._database.write_and_wait(self._totals)

    def _part(self, store: Store, deals: list[Deal], records: bool) -> None:
        rows: dict[Prepared, list[dict[str, Any]]] = defaultdict(list)
        for deal in deals:
            self._number += 1
            made = ulid(deal.at_ms, self._number.to_bytes(10))
            if records and deal.requester:
                for statement, row in _records(self._network, made, deal):
                    rows[statement].append(row)
            self._post(store, made, deal, rows)
        for statement in (*_RECORDS, _POSTINGS, _ENTRIES):
            if rows[statement]:
                store.put(statement, rows[statement])

    def _post(self, store: Store, made: str, deal: Deal, rows: dict[Prepared, list[dict[str, Any]]]) -> None:
        posting = _posting_of(deal)
        about = {
            **dict.fromkeys(_CONTENT_NAMES),
            **_about(made, deal),
            "id": made,
            "kind": posting.kind,
            "posted_ms": deal.at_ms,
        }
        lines = sorted((entry.account.kind, entry.account.member, entry.amount) for entry in posting.entries)
        content = [self._network, self._number, *(about[name] for name in _CONTENT_NAMES), lines]
        self._hash, self._last_ms = linked(self._hash, content), deal.at_ms
        rows[_POSTINGS].append(
            {**about, "network": self._network, "sealed_number": self._number, "sealed_hash": self._hash}
        )
        for entry in posting.entries:
            account = self._account(store, entry.account)
            rows[_ENTRIES].append({"posting": made, "account": account, "amount": entry.amount, "rolled": True})
            self._amounts[account] += entry.amount
            key = (account, deal.at_ms // HOUR_MS, posting.kind, about["requester"] or "", about["worker"] or "")
            sums = self._hours[key]
            sums[0] += entry.amount
            sums[1] += entry.amount if entry.account.member == about["earner"] else 0
            sums[2] += entry.amount if entry.account.member == about["payer"] else 0

    def _account(self, store: Store, account: Account) -> str:
        if account not in self._accounts:
            self._accounts[account] = ledger.account_of(store, self._network, account, self._new_id).id
        return self._accounts[account]

    def _totals(self, store: Store) -> None:
        for account, by in sorted(self._amounts.items()):
            store.put(ledger._ROLL, {"account": account, "by": by})
        hours = [(*key, *sums) for key, sums in self._hours.items()]
        store.put(_HOURS, [dict(zip(_HOUR_COLUMNS, row, strict=True)) for row in hours])
        head = {"number": self._number, "hash": self._hash, "signed": self._sign(self._number, self._hash)}
        store.put(_HEAD, {"network": self._network, "sealed_ms": self._last_ms, **head})


def _posting_of(deal: Deal) -> Posting:
    payer, earner = MemberId(deal.payer), MemberId(deal.earner)
    if deal.requester:
        return transfers.pay(payer, earner, amount=PAID, fee=FEE, waits=False)
    return transfers.give(earner, 5)


def _about(made: str, deal: Deal) -> dict[str, Any]:
    if not deal.requester:
        return {"business": f"admin:{made}", "earner": deal.earner, "approver": deal.payer, "reason": "a gift"}
    return {
        "business": f"pay:{deal.requester}:{made}:1:1",
        "payer": deal.payer,
        "earner": deal.earner,
        "requester": deal.requester,
        "worker": deal.worker,
        "job": made,
        "attempt": 1,
        "permit": made,
        "units": UNITS,
        "receipt": f"{made:>64}",
        **_PRICE,
    }


def _records(network: str, made: str, deal: Deal) -> list[tuple[Prepared, dict[str, Any]]]:
    """The job's rows: all named by the id of its posting, since none of the tables shares ids with another."""
    at, key = deal.at_ms, {"network": network, "requester": deal.requester, "job": made}
    what = {"workload": "embeddings", "model": "minilm", "sensitivity": "private"}
    ended = {"state": "ended", "end_reason": "paid", "ended_ms": at}
    paid = {"state": "paid", "maximum": PAID, "pay": PAID, "fee": FEE, "how": "used", "units_paid": UNITS}
    return [
        (_JOBS, {**key, **what, "member": deal.payer, "units": UNITS, "created_ms": at}),
        (
            _PERMITS,
            {
                **key, **what, **_PRICE, "id": made, "request": made, "kind": "job", "payer": deal.payer,
                "requester_key": "0" * 64, "role": "member", "fee_ppm": 50_000, "hold": PAID, "epoch": 1,
                "state": "closed", "issued_ms": at, "start_by_ms": at, "finish_by_ms": at, "closed_ms": at,
            },
        ),
        (
            _SHARES,
            {
                "id": made, "permit": made, "network": network, "payer": deal.payer, "amount": PAID, "left": 0,
                "paid": PAID, **ended, "due_ms": at,
            },
        ),
        (
            _CANDIDATES,
            {"permit": made, "worker": deal.worker, "rank": 0, "key": "0" * 64, "owner": deal.earner, "cap": PAID},
        ),
        (
            _ATTEMPTS,
            {
                **key, **paid, "attempt": 1, "permit": made, "share": made, "worker": deal.worker,
                "earner": deal.earner, "changes": 1, "matured": True, "submitted_ms": at, "paid_ms": at,
                "changed_ms": at,
            },
        ),
        *(
            (
                _EVIDENCE,
                {
                    **key, "attempt": 1, "worker": deal.worker, "kind": kind, "permit": made, "units": UNITS,
                    "signed": _SIGNED, "received_ms": at,
                },
            )
            for kind in ("submit", "claim", "used")
        ),
    ]  # fmt: skip


_POSTINGS = adding(tables.postings, *_CONTENT_NAMES, "network", "sealed_number", "sealed_hash")
_ENTRIES = adding(tables.entries, "posting", "account", "amount", "rolled")
_HOUR_COLUMNS = ("account", "hour", "kind", "requester", "worker", "amount", "earned", "spent")
_HOURS = adding(tables.ledger_hours, *_HOUR_COLUMNS)
_HEAD = adding(tables.ledger_heads, "network", "number", "hash", "signed", "sealed_ms")
_RECORDS = _JOBS, _PERMITS, _SHARES, _CANDIDATES, _ATTEMPTS, _EVIDENCE = (
    adding(
        job_tables.jobs, "network", "requester", "job", "member", "workload", "model", "sensitivity", "units",
        "created_ms",
    ),
    adding(
        permit_tables.permits, "id", "network", "requester", "request", "kind", "job", "payer", "requester_key", "role",
        "workload", "model", "sensitivity", "tariff_version", "price_micro", "price_per", "fee_ppm", "hold", "epoch",
        "state", "issued_ms", "start_by_ms", "finish_by_ms", "closed_ms",
    ),
    adding(
        permit_tables.shares, "id", "permit", "network", "payer", "amount", "left", "paid", "state", "end_reason",
        "due_ms", "ended_ms",
    ),
    adding(permit_tables.candidates, "permit", "worker", "rank", "key", "owner", "cap"),
    adding(
        job_tables.attempts, "network", "requester", "job", "attempt", "permit", "share", "worker", "earner", "state",
        "maximum", "pay", "fee", "how", "units_paid", "changes", "matured", "submitted_ms", "paid_ms", "changed_ms",
    ),
    adding(
        job_tables.evidence, "network", "requester", "job", "attempt", "worker", "kind", "permit", "units", "signed",
        "received_ms",
    ),
)  # fmt: skip
