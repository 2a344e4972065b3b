"""Daily limits, own lines, gifts, debts, denied work, people who leave: what admins steer, and what stays out of reach.

Touches: files (a database), threads.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from coordinators import a_coordinator
from engines import ENGINES
from ledger_world import Party, World
from mesh.coordinator.acts import ledger, limits, members, owed
from mesh.coordinator.acts.limits import Apart, BadAmount, MarkUnknown
from mesh.coordinator.acts.permit import grant
from mesh.coordinator.store import decisions, marks
from mesh.coordinator.store.evidence import JobKey
from mesh.coordinator.store.ledger_pages import Wanted
from mesh.credits.limits import DayLimitReached, DeniesMost
from mesh.credits.transfers import WELCOME, HoldRefused
from mesh.networks.membership import NotMember
from mesh.units import CREDIT, MICRO_LIMIT

DAY_MS = 86_400_000


@pytest.fixture(params=ENGINES[:2])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path))
    yield made
    proof = made.verify()
    assert proof.ok, proof.wrong
    assert made.database.read_and_wait(decisions.first_broken, made.network) is None  # type: ignore[arg-type]
    made.database.close()


@pytest.fixture(params=ENGINES[:2])
def strict(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path), line="strict")
    yield made
    proof = made.verify()
    assert proof.ok, proof.wrong
    made.database.close()


def do(world: World, act: Any, *args: Any) -> Any:
    return world.database.write_and_wait(act, *args)


def by_ann(world: World) -> Any:
    return (world.ann.member, world.moment)


def guest(world: World, party: Party) -> None:
    sql = f"update memberships set role = 'guest', invited_by = '{world.ann.member}' where member = '{party.member}'"
    do(world, lambda store: store.run(text(sql)))


def asked_by(world: World, party: Party, maximum: int, worker: Party | None = None) -> Any:
    """A permit that ``party`` asks for and ann pays, as for a guest whom she invited."""
    wanted = world.wanted(worker or world.bob, maximum=maximum)
    permit = msgspec.structs.replace(wanted.permit, requester=party.device, requester_key=party.key)
    return do(world, grant, wanted._replace(permit=permit, member=party.member), world.moment).permit


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_guest_has_60_credits_a_day_of_the_inviters(world: World) -> None:
    guest(world, world.dan)
    first = asked_by(world, world.dan, 40 * CREDIT)
    assert world.balance(world.ann).held == 40 * CREDIT, "the inviter pays"
    assert world.balance(world.dan).held == 0
    with pytest.raises(DayLimitReached) as refused:
        asked_by(world, world.dan, 20 * CREDIT + 1)
    assert refused.value.facts == {"needed": 20 * CREDIT + 1, "free": 20 * CREDIT, "limit": 60 * CREDIT}
    assert world.balance(world.ann).held == 40 * CREDIT, "what was refused holds nothing"
    asked_by(world, world.dan, 20 * CREDIT)
    world.grant(maximum=1000 * CREDIT)  # the inviter's own jobs are not the guest's
    world.after_window(first)
    asked_by(world, world.dan, 60 * CREDIT)  # nothing was used: what came back may be used again


def test_what_a_guest_spent_counts_for_24_hours(world: World) -> None:
    guest(world, world.dan)
    permit = asked_by(world, world.dan, 60 * CREDIT)
    dan_as_requester = World.__new__(World)
    dan_as_requester.__dict__.update(world.__dict__, ann=world.dan)
    claim = dan_as_requester.claim(permit, world.bob, units=10_000_000)
    world.report(dan_as_requester.used(permit, world.bob, units=10_000_000, claim=claim))
    assert world.balance(world.ann).balance == -37_000_000
    with pytest.raises(DayLimitReached):
        asked_by(world, world.dan, 24 * CREDIT)
    world.now_ms += DAY_MS
    asked_by(world, world.dan, 24 * CREDIT)


def test_an_admin_sets_a_persons_or_a_devices_day(world: World) -> None:
    terms = do(world, limits.set_terms, world.network, world.ann.member, ("unset", 9000), by_ann(world))
    assert terms == (None, 9000, True)
    with pytest.raises(DayLimitReached):
        world.grant(maximum=10_000)
    do(world, limits.set_terms, world.network, world.ann.member, ("unset", None), by_ann(world))
    assert do(world, limits.set_device_day, world.network, world.ann.device, 10_000, by_ann(world))
    world.grant(maximum=10_000)
    with pytest.raises(DayLimitReached):
        world.grant(maximum=1)
    kinds = [one.kind for one in world.database.read_and_wait(decisions.page, world.network, before=99, most=9)]  # type: ignore[arg-type]
    assert kinds == ["credit.device_limit", "credit.terms", "credit.terms"]


def test_a_persons_own_line_stands_before_the_networks(world: World) -> None:
    do(world, limits.set_terms, world.network, world.ann.member, (-5000, "unset"), by_ann(world))
    with pytest.raises(HoldRefused):
        world.grant(maximum=5001)
    held = world.grant(maximum=5000)
    do(world, limits.set_terms, world.network, world.ann.member, (0, "unset"), by_ann(world))
    world.report(world.used(held, world.bob, claim=world.claim(held, world.bob)))
    assert world.balance(world.ann).balance == -3700, "a change of line touches no open share"
    with pytest.raises(HoldRefused):
        world.grant(maximum=1)
    do(world, limits.set_terms, world.network, world.ann.member, (None, "unset"), by_ann(world))
    world.grant(maximum=10**9)


@pytest.mark.parametrize(
    "change", [("unset", -1), (2**53, "unset"), (-(2**53), "unset"), ("unset", 2**53)], ids=["day", "floor", "-", "+"]
)
def test_amounts_that_cannot_be_are_refused(world: World, change: Any) -> None:
    with pytest.raises(BadAmount):
        do(world, limits.set_terms, world.network, world.ann.member, change, by_ann(world))
    with pytest.raises(NotMember):
        do(world, limits.set_terms, world.network, world.ids(), (0, "unset"), by_ann(world))
    assert world.rows("select * from decisions") == []


def test_gifts_have_a_reason_and_a_bound(world: World) -> None:
    for amount, reason in ((0, "x"), (10**15 + 1, "x"), (MICRO_LIMIT + 1, "x"), (5, ""), (5, "x" * 201)):
        with pytest.raises((BadAmount, ledger.NoReason)):
            gift = ledger.Gift(world.bob.member, amount, reason)  # type: ignore[arg-type]
            do(world, ledger.give, world.network, gift, world.ann.member, world.moment)
    gift = ledger.Gift(world.bob.member, 5, "for the cake")  # type: ignore[arg-type]
    do(world, ledger.give, world.network, gift, world.ann.member, world.moment)
    page = world.database.read_and_wait(ledger.show, Wanted(world.network, world.bob.member), cursor=None, limit=9)  # type: ignore[arg-type]
    assert [(line.amount, line.reason, line.approver) for line in page.lines] == [(5, "for the cake", world.ann.member)]


# --- denied work ------------------------------------------------------------------------------------------------------


def deny(world: World, worker: Party) -> None:
    granted = world.grant(worker)
    world.report(world.claim(granted, worker), world.failed(granted, worker))
    world.report(world.no_more(granted, world.ann, 1), world.no_more(granted, worker, 1))


def test_three_denials_keep_a_requester_and_an_owner_apart_until_an_admin_clears_them(world: World) -> None:
    for _ in range(3):
        deny(world, world.bob)
    with pytest.raises(Apart) as refused:
        world.grant(world.bob)
    assert refused.value.facts == {"owner": world.bob.member}
    world.grant(world.cyd)
    shown = world.database.read_and_wait(marks.uncleared, world.network, 10)  # type: ignore[arg-type]
    assert {(row.device, row.kind, row.other, row.times) for row in shown} == {
        (world.ann.device, "denied", world.bob.member, 3),
        (world.bob.device, "denied", world.ann.member, 3),
    }, "disagreement is shown of both sides"
    for party in (world.ann, world.bob, world.dan):
        own = world.database.read_and_wait(marks.uncleared, world.network, 10, party.member)  # type: ignore[arg-type]
        assert {row.device for row in own} == ({party.device} if party is not world.dan else set()), "and to both"
    assert do(world, limits.clear_marks, world.network, world.ann.device, world.bob.member, by_ann(world)) == 3
    world.grant(world.bob)
    with pytest.raises(MarkUnknown):
        do(world, limits.clear_marks, world.network, world.ann.device, None, by_ann(world))


def test_denials_among_many_good_jobs_are_forgotten(world: World) -> None:
    for _ in range(2):
        deny(world, world.bob)
    for _ in range(20):
        world.now_ms += 10
        granted = world.grant(world.bob)
        world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    world.now_ms += 10
    deny(world, world.bob)
    world.grant(world.bob)


def deny_and_leave_open(world: World, worker: Party) -> None:
    granted = world.grant(worker)
    world.report(world.claim(granted, worker), world.failed(granted, worker))


def count_next_to_nothing(world: World, worker: Party) -> None:
    granted = world.grant(worker)
    world.report(world.used(granted, worker, units=1, claim=world.claim(granted, worker)))


@pytest.mark.parametrize("how", [deny, deny_and_leave_open, count_next_to_nothing], ids=lambda how: how.__name__)
@pytest.mark.parametrize("at_once", [1, 2, 9], ids=lambda owners: f"{owners} owners in turn")
@pytest.mark.parametrize("engine", ENGINES[:2])
def test_who_works_for_nobody_and_has_others_work_is_stopped_within_ten_jobs(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str, at_once: int, how: Any
) -> None:
    """A network of ten owners: neither turning to the next one nor leaving shares open gets a freeloader more."""
    world = World(request.getfixturevalue(engine)(tmp_path), more=6)
    workers, done = world.parties[1:], 0
    for at in range(0, len(workers), at_once):
        for _ in range(4):
            for worker in workers[at : at + at_once]:
                try:
                    how(world, worker)
                except (Apart, DeniesMost):
                    continue
                done += 1
    assert 6 <= done <= 10
    for permit in (lambda: world.grant(workers[-1]), lambda: world.series((workers[-1], 10_000))):
        with pytest.raises(DeniesMost):
            permit()
    cleared = do(world, limits.clear_marks, world.network, world.ann.device, None, by_ann(world))
    assert cleared == done, "an admin sees each of them, and may clear them"
    world.grant(workers[0])
    world.database.close()


def test_who_agrees_with_all_but_one_owner_keeps_its_permits(world: World) -> None:
    for _ in range(3):
        deny(world, world.bob)
    with pytest.raises(Apart):
        world.grant(world.bob)
    for worker in (world.cyd, world.dan, world.cyd):
        granted = world.grant(worker)
        world.report(world.used(granted, worker, units=500, claim=world.claim(granted, worker)))
    world.series((world.cyd, 10_000), (world.dan, 10_000))


# --- what is owed, and what is left behind ----------------------------------------------------------------------------


def test_what_is_owed_is_shown_to_both_sides_and_paid_by_a_named_act(strict: World) -> None:
    strict.give(strict.ann, 10_000)
    granted = strict.grant(strict.bob, strict.cyd)
    for worker, attempt in ((strict.bob, 1), (strict.cyd, 2)):
        claim = strict.claim(granted, worker, attempt, units=2000)
        strict.report(strict.used(granted, worker, attempt, units=2000, claim=claim))
    for whose in (strict.ann.member, strict.cyd.member, None):
        (line,) = strict.database.read_and_wait(owed.listed, strict.network, whose)  # type: ignore[arg-type]
        assert (line.payer, line.earner, line.amount) == (strict.ann.member, strict.cyd.member, 7400)
    assert strict.database.read_and_wait(owed.listed, strict.network, strict.bob.member) == ()  # type: ignore[arg-type]
    key = JobKey(strict.network, strict.ann.device, granted.job or "")
    with pytest.raises(owed.NotCovered):
        do(strict, owed.settle_owed, key, 2, strict.dan.member, strict.moment)
    strict.give(strict.ann, 10_000)
    assert strict.states(granted) == {1: "paid", 2: "owed"}, "it is never collected by itself"
    assert do(strict, owed.settle_owed, key, 2, strict.dan.member, strict.moment) == 7400
    assert strict.balance(strict.cyd).balance == 7030
    for again in (2, 1, 7):
        with pytest.raises(owed.NotOwed):
            do(strict, owed.settle_owed, key, again, strict.dan.member, strict.moment)
    strict.report(strict.used(granted, strict.cyd, 2, units=2000, claim=strict.claim(granted, strict.cyd, 2)))
    assert strict.balance(strict.cyd).balance == 7030


def test_a_late_claim_that_an_admin_settled_is_not_paid_again(strict: World) -> None:
    strict.give(strict.ann, 10_000)
    granted = strict.grant(strict.bob)
    strict.after_window(granted)
    strict.grant(strict.cyd)
    strict.report(strict.claim(granted, strict.bob))
    assert strict.states(granted) == {1: "owed"}
    strict.give(strict.ann, 10_000)
    key = JobKey(strict.network, strict.ann.device, granted.job or "")
    do(strict, owed.settle_owed, key, 1, strict.ann.member, strict.moment)
    for late in (
        strict.claim(granted, strict.bob),
        strict.failed(granted, strict.bob),
        strict.used(granted, strict.bob),
    ):
        strict.report(late)
    assert strict.states(granted) == {1: "paid"}
    assert strict.balance(strict.bob).balance == 3515


def test_who_leaves_leaves_nothing_to_spend_and_debts_stay_visible(strict: World) -> None:
    for party in (strict.ann, strict.bob):
        sql = f"update memberships set role = 'admin' where member = '{party.member}'"
        do(strict, lambda store, sql=sql: store.run(text(sql)))
    strict.give(strict.ann, 20_000)
    held = strict.grant(strict.cyd)
    do(strict, lambda store: members.remove(
        store, strict.network, strict.ann.member, by=strict.ann.member, moment=strict.moment))  # fmt: skip
    amounts = {(a.kind, a.member): a.amount for a in strict.database.read_and_wait(ledger.accounts, strict.network)}  # type: ignore[arg-type]
    assert amounts["burn", None] == 10_000, "what is held for running work is not burnt yet"
    strict.report(strict.used(held, strict.cyd, claim=strict.claim(held, strict.cyd)))
    strict.now_ms += 15 * 60_000
    strict.sweep()
    amounts = {(a.kind, a.member): a.amount for a in strict.database.read_and_wait(ledger.accounts, strict.network)}  # type: ignore[arg-type]
    assert amounts["burn", None] == 20_000 - 3700
    assert amounts["balance", strict.ann.member] == 0
    assert strict.balance(strict.cyd).balance == 3515, "its work is paid all the same"


def test_a_guest_who_becomes_a_member_has_the_welcome_allowance_once(strict: World) -> None:
    guest(strict, strict.dan)
    for role in ("member", "guest", "admin"):
        args = (strict.network, strict.dan.member, role, strict.ann.member, strict.moment)
        do(strict, members.change_role, *args)
    assert strict.balance(strict.dan).balance == WELCOME


# --- the log of decisions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tampering", ["update decisions set facts = '{}' where number = 2",
                                       "delete from decisions where number = 2",
                                       "update decisions set by = 'x' where number = 2"])  # fmt: skip
def test_the_log_of_decisions_names_the_first_line_that_was_touched(tmp_path: Path, tampering: str) -> None:
    world = World(tmp_path / "mesh.db")
    for day in range(4):
        do(world, limits.set_terms, world.network, world.bob.member, ("unset", day), by_ann(world))
    assert world.database.read_and_wait(decisions.first_broken, world.network) is None  # type: ignore[arg-type]
    do(world, lambda store: store.run(text(tampering.replace(" by =", ' "by" ='))))
    assert world.database.read_and_wait(decisions.first_broken, world.network) == 2  # type: ignore[arg-type]
    world.database.close()


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_only_admins_steer_credits_and_members_read_what_they_decided(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        eve = await bench.sign_in(await bench.invite(network, ann, "member", role="guest"), "Eve")
        base = f"/v1/networks/{network}"
        gift = {"member": bob.member, "amount": 5 * CREDIT, "reason": "welcome"}
        for person in (bob, eve):
            assert (await bench.post(f"{base}/credits", gift, person)).status_code == 403
            assert (await bench.get(f"{base}/marks", person)).json() == {"marks": [], "unusual": []}
            cleared = await bench.post(f"{base}/marks/clear", {"device": "x"}, person)
            assert cleared.status_code == 403
        assert (await bench.post(f"{base}/credits", gift, ann)).status_code == 200
        for wrong in ({"amount": 1.5}, {"amount": 2**53}, {"amount": "5"}, {"extra": 1}, {"member": "nobody"}):
            answer = await bench.post(f"{base}/credits", {**gift, **wrong}, ann)
            assert answer.status_code in (400, 404, 422), wrong
        assert (await bench.get(f"{base}/balance", bob)).json()["balance"] == 5 * CREDIT
        terms = await bench.http.put(
            f"{base}/members/{bob.member}/credit", json={"day_limit": 7, "floor": None}, headers=ann.headers
        )
        assert terms.json() == {"floor": None, "day_limit": 7, "trusted": False}
        assert (await bench.get(f"{base}/decisions", eve)).status_code == 403
        log = (await bench.get(f"{base}/decisions", bob)).json()
        assert [one["kind"] for one in log["decisions"]] == ["credit.terms", "credit.give"]
        assert log["broken"] is None
        key = {"idempotency-key": "k1"}
        first = await bench.post(f"{base}/credits", gift, ann, **key)
        again = await bench.post(f"{base}/credits", gift, ann, **key)
        other = await bench.post(f"{base}/credits", {**gift, "amount": 6}, ann, **key)
        assert (first.status_code, again.status_code) == (200, 200)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "request.key_reused")
        assert (await bench.get(f"{base}/balance", bob)).json()["balance"] == 10 * CREDIT, "once, however often it came"


def test_what_each_device_earned_lately_is_what_stands_now(world: World) -> None:
    for worker in (world.bob, world.bob, world.cyd):
        granted = world.grant(worker)
        world.report(world.used(granted, worker, claim=world.claim(granted, worker)))
    denied = world.grant(world.dan)
    world.report(world.claim(denied, world.dan), world.failed(denied, world.dan))
    found = world.database.read_and_wait(marks.earned, world.network, world.now_ms - DAY_MS)  # type: ignore[arg-type]
    assert found == {world.bob.device: 7030, world.cyd.device: 3515}
    assert world.database.read_and_wait(marks.earned, world.network, world.now_ms + 1) == {}  # type: ignore[arg-type]
