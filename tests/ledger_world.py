"""A network on a real store, and devices that sign: what tests of the ledger are built from.

Touches: files (a database), threads.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import insert

from engines import Place, with_tables
from mesh.coordinator.acts import close, ledger, record
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.permit import Granted, Wanted, grant
from mesh.coordinator.evidence import open_batch, permits_named
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.opening import open_database
from mesh.coordinator.store.schema import devices, networks, people
from mesh.ids import ulid
from mesh.protocol import signed
from mesh.protocol.permit import Permit, Price
from mesh.protocol.receipt import Claim, Count, Failed, NoMore, Submit, Superseded, Used
from mesh.protocol.values import Candidate, JobSpec

START_MS = 1_800_000_000_000
PRICE = Price(version=1, micro=3700, per=1000)


class Ids:
    """Ids from a seed: the same run gives the same ids, in growing order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._made = 0

    def __call__(self) -> str:
        self._made += 1
        return ulid(START_MS + self._made, self._random.randbytes(10))


class Party:
    """A member with one device."""

    def __init__(self, name: str, ids: Ids, number: int) -> None:
        self.name, self.member, self.device = name, ids(), ids()
        self.seed = bytes([number]) * 32
        self.key = signed.public_key(self.seed)


class World:
    """One network with a payer ``ann`` and workers ``bob``, ``cyd``, ``dan``; a clock that only tests move."""

    def __init__(
        self,
        where: Path | str | Place,
        *,
        line: str = "friends",
        seed: int = 1,
        fresh: bool = True,
        vouched: bool = True,
        more: int = 0,
    ) -> None:
        """``where``: a file, or an address; ``fresh`` False: it was made by a world with the same seed.

        ``more``: so many members beside those four, each with a device.
        ``vouched``: an admin vouches for everybody, so that under *strict* too pay is earned at once.
        """
        self.where: Path | str = where.where if isinstance(where, Place) else where
        self.line, self.vouched, self.epoch = line, vouched, 1
        self.broken = False
        """A test has put something in it that its ledger must not have."""
        self.ids = Ids(seed)
        self.network = self.ids()
        self.ann, self.bob, self.cyd, self.dan = self.parties = [
            Party(name, self.ids, at + 1) for at, name in enumerate(("ann", "bob", "cyd", "dan"))
        ]
        self.parties += [Party(f"member-{at}", self.ids, at) for at in range(5, 5 + more)]
        self.now_ms = START_MS + 1000
        self.ready_ms = START_MS
        if fresh and isinstance(self.where, Path):
            with_tables(self.where)
        self.database = open_database(self.where)
        if fresh:
            self.database.write_and_wait(self._fill)

    def _fill(self, store: Store) -> None:
        at = self.now_ms
        for party in self.parties:
            store.run(insert(people.members), {"id": party.member, "name": party.name, "created_ms": at})
        store.run(
            insert(networks.networks),
            {
                "id": self.network,
                "name": "home",
                "network_key": "0" * 64,
                "credit_line": self.line,
                "created_by": self.ann.member,
                "created_ms": at,
                "settings": {},
            },
        )
        for party in self.parties:
            store.run(
                insert(networks.memberships),
                {
                    "network": self.network,
                    "member": party.member,
                    "role": "member",
                    "joined_ms": at,
                    "trusted": self.vouched,
                },
            )
            store.run(
                insert(devices.devices),
                {
                    "id": party.device,
                    "network": self.network,
                    "owner": party.member,
                    "name": party.name,
                    "joined_ms": at,
                },
            )

    @property
    def moment(self) -> Moment:
        return Moment(self.now_ms, self.ids)

    def reopen(self) -> None:
        self.database.close()
        self.database = open_database(self.where)
        self.ready_ms = self.now_ms

    def give(self, party: Party, amount: int) -> None:
        gift = ledger.Gift(party.member, amount, "a test")  # type: ignore[arg-type]
        self.database.write_and_wait(ledger.give, self.network, gift, self.ann.member, self.moment)  # type: ignore[arg-type]

    def wanted(
        self,
        *workers: Party,
        job: str | None = None,
        request: str | None = None,
        maximum: int = 10_000,
        units: int = 1000,
    ) -> Wanted:
        permit = Permit(
            network=self.network,
            permit=self.ids(),  # type: ignore[arg-type]
            request=request or self.ids(),  # type: ignore[arg-type]
            payer=self.ann.member,  # type: ignore[arg-type]
            requester=self.ann.device,  # type: ignore[arg-type]
            requester_key=self.ann.key,
            role="member",
            workload="embeddings",
            model="minilm",
            sensitivity="private",
            price=PRICE,
            candidates=tuple(Candidate(w.device, w.key, w.member, maximum) for w in workers or (self.bob, self.cyd)),  # type: ignore[arg-type]
            maximum=maximum,
            job=job or self.ids(),  # type: ignore[arg-type]
            epoch=self.epoch,
            issued_ms=self.now_ms,
            start_by_ms=self.now_ms + 240_000,
            finish_by_ms=self.now_ms + 240_000 + 600_000,
        )
        spec = JobSpec(workload="embeddings", model="minilm", units=units)
        return Wanted(permit, spec, self.ann.member, '{"gates":[],"scores":[]}')  # type: ignore[arg-type]

    def series(self, *caps: tuple[Party, int], epoch: int = 1) -> Permit:
        """A permit for a series with these caps."""
        wanted = self.wanted()
        permit = msgspec.structs.replace(
            wanted.permit,
            candidates=tuple(Candidate(w.device, w.key, w.member, cap) for w, cap in caps),  # type: ignore[arg-type]
            maximum=sum(cap for _, cap in caps),
            share="each",
            job=None,
            epoch=epoch,
        )
        return self.database.write_and_wait(grant, wanted._replace(permit=permit), self.moment).permit

    def under(self, permit: Permit, job: str | None = None) -> Permit:
        """One job of a series, as if it had a permit of its own: for what the devices sign about it."""
        return msgspec.structs.replace(permit, job=job or self.ids(), maximum=3700)  # type: ignore[arg-type]

    def grant(self, *workers: Party, **facts: Any) -> Permit:
        granted: Granted = self.database.write_and_wait(grant, self.wanted(*workers, **facts), self.moment)
        return granted.permit

    def report(self, *tokens: str) -> record.Recorded:
        keys = self.database.read_and_wait(record.keys_of, self.network, permits_named(tokens))  # type: ignore[arg-type]
        opened = open_batch(tokens, keys, self.network)  # type: ignore[arg-type]
        recorded = self.database.write_and_wait(
            record.record_facts,
            self.network,  # type: ignore[arg-type]
            opened.facts,
            self.moment,
            self.ready_ms,
        )
        return recorded._replace(refused=(*opened.refused, *recorded.refused))

    def sweep(self) -> close.Swept:
        return self.database.write_and_wait(close.sweep, self.moment, self.ready_ms)

    def after_window(self, permit: Permit) -> close.Swept:
        """Let the report window pass with the coordinator up all the time, and sweep."""
        self.now_ms = max(self.now_ms, permit.finish_by_ms) + 15 * 60 * 1000
        return self.sweep()

    def balance(self, party: Party) -> ledger.Balance:
        return self.database.read_and_wait(ledger.balance, self.network, party.member)  # type: ignore[arg-type]

    def verify(self) -> ledger.Verified:
        return self.database.read_and_wait(ledger.verify, self.network)  # type: ignore[arg-type]

    def rows(self, sql: str) -> Sequence[Any]:
        from sqlalchemy import text

        return self.database.read_and_wait(lambda store: store.rows(text(sql)))

    def states(self, permit: Permit) -> dict[int, str]:
        found = self.rows(f"select attempt, state from attempts where job = '{permit.job}'")
        return {row.attempt: row.state for row in found}

    # --- what the devices sign ----------------------------------------------------------------------------------------

    def submit(self, permit: Permit, worker: Party, attempt: int = 1, maximum: int | None = None) -> str:
        at = self._at(permit, worker, attempt)
        most = permit.maximum if maximum is None else maximum
        return signed.sign(Submit(**at, input_digest="d", maximum=most, time_ms=self.now_ms), self.ann.seed)

    def claim(
        self, permit: Permit, worker: Party, attempt: int = 1, *, units: int = 1000, outcome: str = "done", **more: Any
    ) -> str:
        at = self._at(permit, worker, attempt)
        paper = Claim(
            **at,
            units=units,
            outcome=outcome,  # type: ignore[arg-type]
            output_digest="d",
            started_ms=self.now_ms,
            finished_ms=self.now_ms,
            submit=self.submit(permit, worker, attempt, more.get("maximum")),
            count=more.get("count"),
        )
        return signed.sign(paper, worker.seed)

    def used(
        self, permit: Permit, worker: Party, attempt: int = 1, *, units: int = 1000, claim: str | None = None,
        submit: str | None = None,
    ) -> str:  # fmt: skip
        used = Used(**self._at(permit, worker, attempt), units=units, claim=claim, submit=submit)
        return signed.sign(used, self.ann.seed)

    def count(self, permit: Permit, worker: Party, attempt: int = 1, *, units: int) -> str:
        return signed.sign(Count(**self._at(permit, worker, attempt), units=units), self.ann.seed)

    def failed(self, permit: Permit, worker: Party, attempt: int = 1) -> str:
        return signed.sign(Failed(**self._at(permit, worker, attempt), reason="job.timeout"), self.ann.seed)

    def superseded(self, permit: Permit, worker: Party, attempt: int = 1, *, by: int = 2) -> str:
        return signed.sign(Superseded(**self._at(permit, worker, attempt), used_attempt=by), self.ann.seed)

    def no_more(self, permit: Permit, party: Party, facts: int, worker: Party | None = None) -> str:
        side = "requester" if party is self.ann else "worker"
        about = None if worker is None else worker.device
        paper = NoMore(
            network=self.network,
            permit=permit.permit,
            device=party.device,
            side=side,
            facts=facts,
            worker=about,  # type: ignore[arg-type]
        )
        return signed.sign(paper, party.seed)

    def _at(self, permit: Permit, worker: Party, attempt: int) -> dict[str, Any]:
        return {
            "network": self.network,
            "permit": permit.permit,
            "requester": self.ann.device,
            "worker": worker.device,
            "job": permit.job,
            "attempt": attempt,
        }
