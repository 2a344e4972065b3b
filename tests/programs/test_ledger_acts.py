"""Permits, reports and time on a real store: what the ledger says after each.

Touches: files (a database), threads.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, select, text

from engines import ENGINES
from ledger_world import World
from mesh.coordinator.acts import jobs, ledger, permit, settle
from mesh.coordinator.acts.permit import (
    EpochMoved,
    JobTaken,
    PayerGone,
    PermitClosed,
    RequesterStopped,
    RequestReused,
    grant,
)
from mesh.coordinator.store import audit
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.ledger_pages import Wanted
from mesh.coordinator.store.schema.jobs import attempts
from mesh.credits.transfers import WELCOME, HoldRefused
from mesh.protocol.link import AttemptReport, JobReport
from mesh.protocol.values import JobSpec

DAY_MS = 86_400_000


@pytest.fixture(params=ENGINES[:2])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path))
    yield made
    made.database.close()


@pytest.fixture(params=ENGINES[:2])
def strict(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path), line="strict")
    yield made
    made.database.close()


def money(world: World, *names: str) -> list[tuple[int, int, int]]:
    """(balance, pending, held) of each."""
    found = [world.balance(getattr(world, name)) for name in names]
    return [(b.balance, b.pending, b.held) for b in found]


def test_a_job_from_hold_to_settlement(world: World) -> None:
    granted = world.grant()
    assert money(world, "ann", "bob") == [(0, 0, 10_000), (0, 0, 0)]
    assert world.report(world.claim(granted, world.bob)).refused == ()
    assert world.states(granted) == {1: "claimed"}
    assert money(world, "ann", "bob") == [(0, 0, 10_000), (0, 0, 0)], "a claim alone moves nothing"
    world.report(world.used(granted, world.bob))
    assert world.states(granted) == {1: "paid"}
    assert money(world, "ann", "bob") == [(-3700, 0, 0), (3515, 0, 0)]
    accounts = world.database.read_and_wait(ledger.accounts, world.network)  # type: ignore[arg-type]
    assert {a.kind: a.amount for a in accounts if a.member is None} == {"verification": 185}
    assert sum(account.amount for account in accounts) == 0
    assert world.verify().ok


def test_the_same_request_gives_the_same_permit_and_one_hold(world: World) -> None:
    wanted = world.wanted()
    first = world.database.write_and_wait(grant, wanted, world.moment)
    again = world.database.write_and_wait(
        grant,
        wanted._replace(permit=world.wanted(request=wanted.permit.request, job=wanted.permit.job).permit),
        world.moment,
    )
    assert (first.fresh, again.fresh) == (True, False)
    assert again.permit == first.permit
    with pytest.raises(RequestReused):
        world.database.write_and_wait(grant, world.wanted(request=wanted.permit.request), world.moment)
    for other in ({"workload": "ocr"}, {"model": "another"}, {"sensitivity": "public"}):
        with pytest.raises(RequestReused):
            changed = wanted._replace(permit=msgspec.structs.replace(wanted.permit, **other))
            world.database.write_and_wait(grant, changed, world.moment)
    assert money(world, "ann") == [(0, 0, 10_000)]


def test_a_request_is_not_granted_again_once_its_money_is_settled_or_its_time_over(world: World) -> None:
    settled, late = world.wanted(), world.wanted()
    granted = world.database.write_and_wait(grant, settled, world.moment).permit
    world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    with pytest.raises(PermitClosed):
        world.database.write_and_wait(grant, settled, world.moment)
    world.database.write_and_wait(grant, late, world.moment)
    world.now_ms = late.permit.start_by_ms + 1
    with pytest.raises(PermitClosed):
        world.database.write_and_wait(grant, late, world.moment)


def test_what_changed_since_placing_refuses_the_permit_and_holds_nothing(world: World) -> None:
    wanted = world.wanted()
    world.database.write_and_wait(lambda store: store.run(text("update networks set epoch = 2")))
    with pytest.raises(EpochMoved):
        world.database.write_and_wait(grant, wanted, world.moment)
    world.database.write_and_wait(
        lambda store: (store.run(text("update networks set epoch = 1")),
                       store.run(text("update memberships set state = 'removed'")))
    )  # fmt: skip
    with pytest.raises(PayerGone):
        world.database.write_and_wait(grant, wanted, world.moment)
    assert world.rows("select * from permits") == []
    assert world.rows("select * from accounts where held > 0") == []


def test_a_job_id_of_somebody_else_is_refused_and_holds_nothing(world: World) -> None:
    first = world.wanted()
    world.database.write_and_wait(grant, first, world.moment)
    second = world.wanted(job=first.permit.job)._replace(member=world.dan.member)  # type: ignore[arg-type]
    with pytest.raises(JobTaken):
        world.database.write_and_wait(grant, second, world.moment)
    assert money(world, "ann") == [(0, 0, 10_000)]


def test_strict_refuses_below_the_floor_and_says_how_much_is_free(strict: World) -> None:
    strict.give(strict.ann, 25_000)
    strict.grant()
    strict.grant()
    with pytest.raises(HoldRefused) as refused:
        strict.grant()
    assert refused.value.facts == {"needed": 10_000, "free": 5_000}
    assert strict.balance(strict.ann).free == 5_000
    assert strict.verify().ok


def test_64_permits_at_once_never_cross_the_floor(strict: World) -> None:
    strict.give(strict.ann, 100_000)
    wanted = [strict.wanted() for _ in range(64)]
    outcomes: list[str] = []

    def one(each: permit.Wanted) -> None:
        try:
            strict.database.write_and_wait(grant, each, strict.moment)
            outcomes.append("granted")
        except HoldRefused:
            outcomes.append("refused")

    threads = [threading.Thread(target=one, args=(each,)) for each in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["granted"] * 10 + ["refused"] * 54
    assert money(strict, "ann") == [(100_000, 0, 100_000)]
    assert strict.verify().ok


def test_welcome_is_given_once_and_only_under_strict(world: World, tmp_path: Path) -> None:
    def welcome(to: World) -> int:
        return to.database.write_and_wait(ledger.welcome, to.network, to.bob.member, to.ann.member, to.moment)  # type: ignore[arg-type]

    assert welcome(world) == 0
    with_floor = World(tmp_path / "other.db", line="strict")
    assert [welcome(with_floor), welcome(with_floor)] == [WELCOME, 0]
    assert with_floor.balance(with_floor.bob).balance == WELCOME
    assert with_floor.verify().ok
    with_floor.database.close()


def test_silence_pays_after_the_window_and_matures_after_a_day(world: World) -> None:
    granted = world.grant()
    world.report(world.claim(granted, world.bob))
    world.now_ms = granted.finish_by_ms + 14 * 60_000
    assert world.sweep().closed == 0, "the window is still open"
    assert world.after_window(granted).closed == 1
    assert world.states(granted) == {1: "one_sided"}
    assert money(world, "ann", "bob") == [(-3700, 0, 0), (0, 3515, 0)]
    world.now_ms += DAY_MS - 1
    assert world.sweep().matured == 0
    world.now_ms += 1
    assert world.sweep().matured == 1
    assert world.states(granted) == {1: "final"}
    assert money(world, "ann", "bob") == [(-3700, 0, 0), (3515, 0, 0)]
    assert world.report(world.failed(granted, world.bob)).refused == ()
    assert money(world, "ann", "bob") == [(-3700, 0, 0), (3515, 0, 0)], "a denial after the day changes nothing"
    assert world.verify().ok


def test_a_denial_in_the_day_takes_all_of_it_back(world: World) -> None:
    granted = world.grant()
    world.report(world.claim(granted, world.bob))
    world.after_window(granted)
    world.now_ms += DAY_MS // 2
    world.report(world.failed(granted, world.bob))
    assert world.states(granted) == {1: "reversed"}
    assert money(world, "ann", "bob") == [(0, 0, 0), (0, 0, 0)]
    accounts = world.database.read_and_wait(ledger.accounts, world.network)  # type: ignore[arg-type]
    assert {a.amount for a in accounts} == {0}
    assert {row.kind for row in world.rows("select kind from marks")} == {"denied"}
    assert world.verify().ok


def test_windows_count_uptime(world: World) -> None:
    """The coordinator was away until after the window: the report that waited in an outbox still counts."""
    granted = world.grant()
    world.now_ms = granted.finish_by_ms + DAY_MS
    world.reopen()
    assert world.sweep().closed == 0
    world.now_ms += 15 * 60_000 - 1
    assert world.sweep().closed == 0
    world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    assert world.states(granted) == {1: "paid"}
    world.now_ms += 1
    assert world.sweep().closed == 0, "the share has ended already"
    assert world.verify().ok


def test_an_unused_permit_is_released(world: World) -> None:
    granted = world.grant()
    assert world.after_window(granted).closed == 1
    assert money(world, "ann") == [(0, 0, 0)]
    assert world.rows("select * from postings") == []
    assert [row.state for row in world.rows("select state from permits")] == ["closed"]


def test_both_sides_saying_no_more_releases_at_once(world: World) -> None:
    granted = world.grant(world.bob, world.cyd)
    world.report(world.submit(granted, world.bob), world.failed(granted, world.bob))
    recorded = world.report(world.no_more(granted, world.ann, 1))
    assert {(e.worker, e.permit) for e in recorded.effects if isinstance(e, settle.SendClose)} == {
        (world.bob.device, granted.permit),
        (world.cyd.device, granted.permit),
    }
    assert world.database.read_and_wait(permit.unanswered_closes, world.bob.device) == [granted.permit]  # type: ignore[arg-type]
    world.report(world.no_more(granted, world.bob, 0))
    assert world.balance(world.ann).held == 10_000, "cyd has not answered"
    assert world.database.read_and_wait(permit.unanswered_closes, world.bob.device) == []  # type: ignore[arg-type]
    world.report(world.no_more(granted, world.cyd, 0))
    assert world.balance(world.ann).held == 0
    assert world.states(granted) == {1: "failed"}
    assert world.verify().ok


def test_no_more_waits_for_the_claims_that_were_announced(world: World) -> None:
    granted = world.grant(world.bob)
    world.report(world.submit(granted, world.bob), world.no_more(granted, world.ann, 1))
    world.report(world.no_more(granted, world.bob, 1))
    assert world.balance(world.ann).held == 10_000
    world.report(world.used(granted, world.bob))
    assert world.states(granted) == {1: "submitted"}
    world.report(world.claim(granted, world.bob))
    assert world.states(granted) == {1: "paid"}
    assert money(world, "ann", "bob") == [(-3700, 0, 0), (3515, 0, 0)]


def test_no_more_closes_also_if_a_killed_worker_never_brings_the_submit(world: World) -> None:
    granted = world.grant(world.bob)
    world.report(world.failed(granted, world.bob), world.no_more(granted, world.ann, 1))
    assert world.balance(world.ann).held == 10_000
    world.report(world.no_more(granted, world.bob, 0))
    assert world.balance(world.ann).held == 0
    line = world.database.read_and_wait(jobs.show, world.network, granted.job, None)  # type: ignore[arg-type]
    assert line is not None
    assert (line.state, line.charge) == ("failed", 0)


def test_an_answer_that_comes_before_the_submit_waits_for_it(world: World) -> None:
    granted = world.grant()
    assert world.report(world.used(granted, world.bob)).refused == ()
    assert world.states(granted) == {}
    world.report(world.claim(granted, world.bob))
    assert world.states(granted) == {1: "paid"}


def test_a_claim_of_another_worker_than_the_submit_names_is_not_believed(world: World) -> None:
    granted = world.grant(world.bob, world.cyd)
    world.report(world.submit(granted, world.bob))
    forged = world.claim(granted, world.cyd)  # cyd's own Submit inside is ann's signature, as ann cheats here
    assert [code for _, code in world.report(forged).refused] == ["evidence.double_submit"]
    world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    assert money(world, "bob", "cyd") == [(3515, 0, 0), (0, 0, 0)]
    with pytest.raises(RequesterStopped):
        world.grant()
    assert world.verify().ok


def test_17_a_silent_requester_has_one_job_done_by_four_and_gets_no_permits_after_that(world: World) -> None:
    job = world.ids()
    workers = (world.bob, world.cyd, world.dan, world.bob)
    for number, worker in enumerate(workers, 1):
        permit = world.grant(worker, job=job)
        world.report(world.claim(permit, worker, number))
    world.after_window(permit)
    assert sorted(world.states(permit).values()) == ["one_sided", "superseded", "superseded", "superseded"]
    assert [(row.kind, row.device) for row in world.rows("select kind, device from marks")] == [
        ("unanswered", world.ann.device)
    ]
    with pytest.raises(RequesterStopped):
        world.grant(world.bob)


def test_two_used_are_both_paid_and_stop_the_requester(world: World) -> None:
    granted = world.grant(world.bob, world.cyd)
    for worker, attempt in ((world.bob, 1), (world.cyd, 2)):
        world.report(world.used(granted, worker, attempt, claim=world.claim(granted, worker, attempt)))
    assert world.states(granted) == {1: "paid", 2: "paid_second"}
    assert money(world, "ann", "bob", "cyd") == [(-7400, 0, 0), (3515, 0, 0), (3515, 0, 0)]
    with pytest.raises(RequesterStopped):
        world.grant()
    assert world.verify().ok


def test_a_second_used_at_the_floor_is_owed(strict: World) -> None:
    strict.give(strict.ann, 10_000)
    granted = strict.grant(strict.bob, strict.cyd, maximum=10_000)
    for worker, attempt in ((strict.bob, 1), (strict.cyd, 2)):
        claim = strict.claim(granted, worker, attempt, units=2000)
        strict.report(strict.used(granted, worker, attempt, units=2000, claim=claim))
    assert strict.states(granted) == {1: "paid", 2: "owed"}
    assert money(strict, "ann", "bob", "cyd") == [(2600, 0, 0), (7030, 0, 0), (0, 0, 0)]
    assert [row.owed for row in strict.rows("select owed from attempts where attempt = 2")] == [7400]
    assert strict.verify().ok


def test_a_retry_under_a_second_permit_is_one_job(world: World) -> None:
    """w1 is paid one-sided under one permit; the Used for w2 under another takes that back."""
    first = world.grant(world.bob)
    world.report(world.claim(first, world.bob))
    world.after_window(first)
    second = world.grant(world.cyd, job=first.job)
    world.report(world.used(second, world.cyd, 2, claim=world.claim(second, world.cyd, 2)))
    assert world.states(first) == {1: "reversed", 2: "paid"}
    assert money(world, "ann", "bob", "cyd") == [(-3700, 0, 0), (0, 0, 0), (3515, 0, 0)]
    assert world.verify().ok


def test_facts_of_strangers_settle_nothing(world: World) -> None:
    granted = world.grant(world.bob)
    cases = {
        "not a candidate": world.claim(granted, world.cyd),
        "signed by the wrong key": world.claim(granted, world.bob)[:-8] + "AAAAAAAA",
        "no token at all": "hello",
    }
    for what, token in cases.items():
        assert len(world.report(token).refused) == 1, what
    stranger = world.wanted().permit
    assert [code for _, code in world.report(world.claim(stranger, world.bob)).refused] == ["evidence.no_permit"]
    assert world.rows("select * from evidence") == []


def test_what_is_past_the_horizon_is_refused_whatever_it_proves(world: World) -> None:
    granted = world.grant()
    world.after_window(granted)
    world.now_ms = granted.finish_by_ms + settle.HORIZON_MS + 1
    late = world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    assert {code for _, code in late.refused} == {"evidence.no_permit"}
    assert world.sweep().pruned == 1
    assert world.rows("select * from postings") == []


def test_an_own_job_is_recorded_at_price_0(world: World) -> None:
    spec = JobSpec(workload="embeddings", model="minilm", units=90)
    report = JobReport(
        job=world.ids(),  # type: ignore[arg-type]
        spec=spec,
        attempts=(AttemptReport(world.ann.device, 1, world.now_ms, world.now_ms + 5, path="local"),),  # type: ignore[arg-type]
        device=world.ann.device,  # type: ignore[arg-type]
        units=90,
        own=True,
    )
    foreign = JobReport(world.ids(), spec, (), device=world.bob.device, own=True)  # type: ignore[arg-type]
    args: tuple[Any, ...] = (world.network, world.ann.device, [report, foreign], world.moment)
    refused, changed = world.database.write_and_wait(jobs.record_jobs, *args)
    assert refused == ((1, "report.not_own"),)
    assert [change.job for change in changed] == [report.job]
    assert world.database.write_and_wait(jobs.record_jobs, *args)[1] == (), "a repeat changes nothing"
    page = world.database.read_and_wait(jobs.list_jobs, world.network, world.ann.member, cursor=None, limit=10)  # type: ignore[arg-type]
    (line,) = page.jobs
    assert (line.state, line.own, line.charge, line.units, line.attempts[0].path) == ("done", True, 0, 90, "local")
    assert world.rows("select * from postings") == []


def test_an_own_job_that_failed_is_recorded_with_its_code(world: World) -> None:
    spec = JobSpec(workload="embeddings", model="minilm", units=90)
    report = JobReport(world.ids(), spec, (), own=True, code="input.text_too_long")  # type: ignore[arg-type]
    args: tuple[Any, ...] = (world.network, world.ann.device, [report], world.moment)
    assert world.database.write_and_wait(jobs.record_jobs, *args)[0] == ()
    page = world.database.read_and_wait(jobs.list_jobs, world.network, world.ann.member, cursor=None, limit=10)  # type: ignore[arg-type]
    (line,) = page.jobs
    assert (line.state, line.own, line.charge, line.code) == ("failed", True, 0, "input.text_too_long")


def test_jobs_are_listed_in_pages_and_only_to_whom_they_belong(world: World) -> None:
    granted = []
    for _ in range(5):
        world.now_ms += 1
        granted.append(world.grant().job)
    read = world.database.read_and_wait
    first = read(jobs.list_jobs, world.network, None, cursor=None, limit=2)  # type: ignore[arg-type]
    second = read(jobs.list_jobs, world.network, None, cursor=first.cursor, limit=3)  # type: ignore[arg-type]
    assert [line.job for line in (*first.jobs, *second.jobs)] == granted[::-1]
    assert second.cursor is None
    assert {line.state for line in first.jobs} == {"running"}
    assert read(jobs.show, world.network, granted[0], world.bob.member) is None  # type: ignore[arg-type]
    shown = read(jobs.show, world.network, granted[0], world.ann.member)  # type: ignore[arg-type]
    assert shown is not None
    assert shown.job == granted[0]


def test_the_ledger_shows_lines_newest_first_with_what_was_left_after_each(strict: World) -> None:
    strict.give(strict.ann, 100_000)
    for _ in range(3):
        strict.now_ms += 1000
        granted = strict.grant()
        strict.report(strict.used(granted, strict.bob, claim=strict.claim(granted, strict.bob)))
    read, cursor, seen = strict.database.read_and_wait, None, []
    while True:
        page = read(ledger.show, Wanted(strict.network, strict.ann.member), cursor=cursor, limit=1)  # type: ignore[arg-type]
        seen += page.lines
        cursor = page.cursor
        if cursor is None:
            break
    assert [(line.kind, line.amount, line.balance) for line in seen] == [
        ("settle", -3700, 88_900),
        ("settle", -3700, 92_600),
        ("settle", -3700, 96_300),
        ("admin", 100_000, 100_000),
    ]
    newest = seen[0]
    assert (newest.counterparty, newest.job) == (strict.bob.member, granted.job)
    assert (newest.tariff_version, newest.units, newest.price_micro, newest.price_per) == (1, 1000, 3700, 1000)
    everybody = read(ledger.show, Wanted(strict.network), cursor=None, limit=100)  # type: ignore[arg-type]
    assert sum(line.amount for line in everybody.lines) == 0


def test_reports_and_the_sweeper_race_for_the_same_shares(world: World) -> None:
    """Settling and releasing at once: each share ends once, and honest work is paid whoever comes first."""
    granted = [world.grant(world.bob) for _ in range(40)]
    tokens = [(world.claim(each, world.bob), world.used(each, world.bob)) for each in granted]
    for claim, _ in tokens[:20]:
        world.report(claim)
    world.now_ms = granted[-1].finish_by_ms + 15 * 60_000

    def report() -> None:
        for claim, used in reversed(tokens):
            world.report(used, claim)

    threads = [threading.Thread(target=act) for act in (report, report, world.sweep, world.sweep)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert world.verify().ok
    assert money(world, "ann", "bob") == [(-3700 * 40, 0, 0), (3515 * 40, 0, 0)]
    assert {row.state for row in world.rows("select state from attempts")} == {"paid"}


def test_friends_who_work_for_each_other_gain_nothing(strict: World) -> None:
    """Collusion: whatever they claim and acknowledge, together they can spend no more than before."""
    strict.give(strict.ann, 200_000)
    together = (strict.ann, strict.bob, strict.cyd, strict.dan)
    before = sum(strict.balance(party).free or 0 for party in together)
    for number in range(60):
        worker = together[1 + number % 3]
        try:
            granted = strict.grant(worker, maximum=20_000)
        except HoldRefused:
            break
        claim = strict.claim(granted, worker, units=10**9)
        strict.report(*([claim] if number % 4 == 0 else [strict.used(granted, worker, units=10**9, claim=claim)]))
    strict.now_ms += DAY_MS
    strict.sweep()
    strict.now_ms += 2 * DAY_MS
    strict.sweep()
    after = [strict.balance(party).free or 0 for party in together]
    assert after[0] < 20_000, "ann spent what she had"
    assert sum(after) < before, "the fee was lost to them"
    assert strict.verify().ok


TAMPERING = {
    "every posting sums to zero": "update entries set amount = amount + 1 where not rolled",
    "a balance is the sum of its entries": "update accounts set amount = amount + 5 where kind = 'balance'",
    "what is held is what open shares have left": "update accounts set held = held + 1 where kind = 'balance'",
    "a share pays no more than its size, and holds nothing once ended": (
        "update shares set paid = amount + 1 where state = 'open'"
    ),
    "an attempt's payment is what was posted": "update attempts set pay = pay - 1",
    "nothing is paid without a Submit": "delete from evidence where kind = 'submit'",
    "nothing is paid above the Submit's maximum": "update attempts set maximum = 1",
    "nothing is paid above its price": "update permits set price_micro = 1",
    "a line has the price of its permit": "update postings set price_micro = 3701 where kind = 'settle'",
    "a price is one of the tariff version that it names": "update permits set price_per = 999 where state = 'open'",
    "a closed permit has no open share": "update permits set state = 'closed' where state = 'open'",
    "entries stay in their network": (
        "insert into networks (id, name, network_key, created_by, created_ms) "
        "select 'elsewhere', 'elsewhere', '', created_by, 0 from networks;"
        "insert into accounts (id, network, kind, member) "
        "select 'beyond', 'elsewhere', 'balance', min(id) from members;"
        "update entries set account = 'beyond' where amount = 3515"
    ),
    "every entry of a balance is counted": (
        "update accounts set amount = 0 where amount = 3515; update entries set rolled = false where amount = 3515"
    ),
    "every open share is held on an account": (
        "update accounts set held = 0; update shares set payer = (select max(id) from members) where state = 'open'"
    ),
    "credits are issued by a named act": "update postings set approver = null where kind = 'admin'",
    "what is set aside is moved by changes of the credit line": "update accounts set kind = 'aside' where amount = 100",
    "pending pay is never negative": (
        "update accounts set kind = 'pending' where amount = 3515; update accounts set amount = -amount;"
        "update entries set amount = -amount; delete from attempts"
    ),
    "amounts are exact in every reader": (
        "update accounts set amount = amount * 10000000000000; update entries set amount = amount * 10000000000000;"
        "update attempts set pay = pay * 10000000000000, maximum = maximum * 10000000000000,"
        " units_paid = units_paid * 10000000000000"
    ),
}


@pytest.mark.parametrize("invariant", TAMPERING)
def test_verify_names_the_first_wrong_row(world: World, invariant: str) -> None:
    granted = world.grant()
    world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    world.grant()
    world.give(world.cyd, 100)
    assert world.verify().ok
    for statement in TAMPERING[invariant].split(";"):
        world.database.write_and_wait(lambda store, one=statement: store.run(text(one)))
    proof = world.verify()
    assert not proof.ok
    assert proof.wrong is not None
    assert proof.wrong.invariant == invariant
    assert proof.wrong.row


def test_a_job_that_was_paid_twice_is_named(world: World) -> None:
    granted = world.grant()
    world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))

    def pay_again(store: Store) -> None:
        [row] = store.rows(select(attempts))
        store.run(insert(attempts), {**row._mapping, "attempt": 2})

    world.database.write_and_wait(pay_again)
    wrong = world.verify().wrong
    assert wrong is not None
    assert (wrong.invariant, wrong.found, wrong.expected) == ("a job has one standing payment", 2, 1)


def test_every_invariant_can_fail() -> None:
    elsewhere = {audit.CHAINED, "an hour's sums are those of its entries", "a job has one standing payment"}
    assert {*TAMPERING, *elsewhere} == set(audit.INVARIANTS), "each has a row above, or a test of its own"


def test_rolling_up_changes_no_amount(world: World) -> None:
    granted = world.grant()
    world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    before = world.database.read_and_wait(ledger.accounts, world.network)  # type: ignore[arg-type]
    world.now_ms = world.ready_ms + settle.UPTIME_MS
    world.sweep()
    assert world.rows("select * from entries where not rolled") == []
    assert world.database.read_and_wait(ledger.accounts, world.network) == before  # type: ignore[arg-type]
    assert world.verify().ok
