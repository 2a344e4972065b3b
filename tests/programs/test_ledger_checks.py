"""Spot checks in the ledger, on every engine: who is drawn, what waits, what is given back, and what frees it."""

import pytest
from sqlalchemy import text

from engines import ENGINES
from ledger_world import World
from mesh.coordinator.acts import checks, limits, review
from mesh.coordinator.acts.drawing import AskCheck
from mesh.credits.checks import CHECK_S, LATER_JOBS
from mesh.errors import MeshError
from mesh.protocol.receipt import Verdict


@pytest.fixture(params=ENGINES)
def world(request, tmp_path):
    place = request.getfixturevalue(request.param)(tmp_path)
    world = World(place, line="strict", vouched=False)
    world.give(world.ann, 10_000_000)
    world.database.write_and_wait(
        lambda store: store.run(
            text("update memberships set role = 'admin' where member = :who"), {"who": world.ann.member}
        )
    )
    yield world
    proof = world.verify()
    assert proof.ok, proof.wrong
    world.database.close()


def done(world, worker=None, **facts):
    """One job that its requester took; what the coordinator asks to be checked of it."""
    worker = worker or world.bob
    permit = world.grant(worker, **facts)
    recorded = world.report(world.used(permit, worker, claim=world.claim(permit, worker)))
    assert not recorded.refused
    return permit, [effect for effect in recorded.effects if isinstance(effect, AskCheck)]


def judge(world, asked, outcome, **changed):
    about = {"check": asked.check, "requester": asked.requester, "worker": asked.worker, "job": asked.job}
    paper = Verdict(network=world.network, **{**about, "attempt": asked.attempt, "outcome": outcome, **changed})
    judged = world.database.write_and_wait(checks.judge, world.network, paper, "signed", world.moment)
    world.epoch = world.epoch if judged.network is None else judged.network.epoch
    return judged


def items(world):
    return world.database.read_and_wait(review.listed, world.network, world.now_ms)


def answer(world, item, act):
    return world.database.write_and_wait(review.answer, world.network, (item, act), world.ann.member, world.moment)


def kinds(world):
    rows = world.rows("select kind, subject from decisions order by number")
    return [(row.kind, row.subject) for row in rows]


def test_acknowledged_pay_waits_and_the_first_jobs_are_all_drawn(world):
    asked = [done(world)[1] for _ in range(10)]
    assert all(len(each) == 1 for each in asked)
    assert (world.balance(world.bob).balance, world.balance(world.bob).pending) == (0, 10 * 3515)
    assert world.balance(world.ann).balance == 10_000_000 - 10 * 3700


def test_after_the_first_jobs_about_one_in_ten_is_drawn(world):
    for _ in range(20):
        done(world)  # nothing of it is decided yet, and more than three checks may weigh
    later = sum(len(done(world)[1]) for _ in range(60))
    assert later < 20


def test_an_admins_jobs_are_drawn_until_three_checks_weigh_so_that_pay_waits_for_no_luck(world):
    for outcome in ["skipped"] * 20 + ["passed"] * 3:
        [asked] = done(world)[1]
        judge(world, asked, outcome)
    assert sum(len(done(world)[1]) for _ in range(60)) < 20


def test_a_members_jobs_are_drawn_by_chance_however_little_weighs(world):
    world.database.write_and_wait(
        lambda store: store.run(
            text("update memberships set role = 'member' where member = :who"), {"who": world.ann.member}
        )
    )
    for _ in range(20):
        for asked in done(world)[1]:
            judge(world, asked, "passed")
    assert sum(len(done(world)[1]) for _ in range(60)) < 20


def test_in_friends_nothing_is_drawn_and_nothing_waits(tmp_path):
    with_friends = World(tmp_path / "friends.db")
    assert done(with_friends)[1] == []
    assert with_friends.balance(with_friends.bob).pending == 0
    with_friends.database.close()


def test_what_is_sensitive_is_not_drawn(world):
    wanted = world.wanted(world.bob)
    from dataclasses import is_dataclass

    import msgspec

    from mesh.coordinator.acts.permit import grant

    assert not is_dataclass(wanted)
    secret = wanted._replace(permit=msgspec.structs.replace(wanted.permit, sensitivity="sensitive"))
    permit = world.database.write_and_wait(grant, secret, world.moment).permit
    recorded = world.report(world.used(permit, world.bob, claim=world.claim(permit, world.bob)))
    assert not [effect for effect in recorded.effects if isinstance(effect, AskCheck)]
    assert world.balance(world.bob).pending == 3515


def test_a_repeated_report_draws_nothing_anew(world):
    permit = world.grant(world.bob)
    token = world.used(permit, world.bob, claim=world.claim(permit, world.bob))
    assert len([one for one in world.report(token).effects if isinstance(one, AskCheck)]) == 1
    assert not [one for one in world.report(token).effects if isinstance(one, AskCheck)]


def test_two_misses_that_an_admin_found_quarantine_and_give_all_pending_pay_back(world):
    permits = [done(world) for _ in range(5)]
    first, second = permits[0][1][0], permits[1][1][0]
    assert judge(world, first, "missed").network is None
    assert [one.kind for one in items(world)] == ["miss"], "a single miss accuses nobody"
    assert judge(world, second, "missed").network.epoch == 2
    assert world.balance(world.ann).balance == 10_000_000
    assert (world.balance(world.bob).balance, world.balance(world.bob).pending) == (0, 0)
    assert {state for permit, _ in permits for state in world.states(permit).values()} == {"disproved"}
    assert [one.kind for one in items(world)] == ["quarantine", "miss", "miss"]
    assert kinds(world)[-1] == ("device.quarantine", world.bob.device)


def test_what_was_given_back_stays_so_when_it_is_reported_again(world):
    tokens, asked = [], []
    for _ in range(2):
        permit = world.grant(world.bob)
        tokens.append(world.used(permit, world.bob, claim=world.claim(permit, world.bob)))
        asked += [one for one in world.report(tokens[-1]).effects if isinstance(one, AskCheck)]
    for one in asked:
        judge(world, one, "missed")
    world.report(*tokens)
    assert world.balance(world.ann).balance == 10_000_000


def test_pay_of_a_device_in_quarantine_cannot_leave_pending(world):
    for asked in [done(world)[1][0] for _ in range(2)]:
        judge(world, asked, "missed")
    done(world)
    world.now_ms += 30 * 24 * 3600 * 1000
    world.sweep()
    assert (world.balance(world.bob).balance, world.balance(world.bob).pending) == (0, 3515)


def test_an_admin_releases_a_device_and_it_begins_as_a_new_one(world):
    for asked in [done(world)[1][0] for _ in range(2)]:
        judge(world, asked, "missed")
    for _ in range(12):
        done(world)
    answered = answer(world, f"quarantine:{world.bob.device}", "release")
    assert answered == review.Answered(world.bob.device, quarantined=False)
    assert items(world) == []
    assert kinds(world)[-1] == ("device.release", world.bob.device)
    assert len(done(world)[1]) == 1
    with pytest.raises(MeshError) as refused:
        answer(world, f"quarantine:{world.bob.device}", "release")
    assert refused.value.code == "review.unknown"


def test_an_admin_dismisses_a_miss_or_acts_on_it(world):
    one, other = (done(world)[1][0] for _ in range(2))
    judge(world, one, "missed")
    with pytest.raises(MeshError) as refused:
        answer(world, f"miss:{one.check}", "clear")
    assert refused.value.code == "review.no_such_act"
    answer(world, f"miss:{one.check}", "dismiss")
    assert items(world) == []
    judge(world, other, "missed")
    assert [item.kind for item in items(world)] == ["miss"], "what was dismissed does not count with the next"
    answer(world, f"miss:{other.check}", "quarantine")
    assert [item.kind for item in items(world)] == ["quarantine", "miss"]
    assert world.balance(world.bob).pending == 0
    assert [kind for kind, _ in kinds(world)][-2:] == ["check.dismiss", "device.quarantine"]


def test_verdicts_count_once_in_time_and_only_as_they_were_asked(world):
    asked = done(world)[1][0]
    for changed in ({"requester": world.bob.device}, {"worker": world.cyd.device}, {"attempt": 2}, {"check": "X"}):
        with pytest.raises(MeshError) as refused:
            judge(world, asked, "missed", **changed)
        assert refused.value.code == "check.unknown"
    judge(world, asked, "passed")
    with pytest.raises(MeshError):
        judge(world, asked, "missed")
    late = done(world)[1][0]
    world.now_ms += int(CHECK_S * 1000) + 1
    with pytest.raises(MeshError):
        judge(world, late, "missed")
    assert items(world) == []


def test_pay_is_free_after_later_jobs_and_three_passes_that_weigh(world):
    for _ in range(LATER_JOBS + 5):
        for asked in done(world)[1]:
            judge(world, asked, "passed")
    world.now_ms += 15 * 60 * 1000
    world.sweep()
    free = world.balance(world.bob).balance
    assert free == 5 * 3515
    assert world.balance(world.bob).pending == LATER_JOBS * 3515
    world.sweep()
    assert world.balance(world.bob).balance == free


def test_two_who_work_together_never_leave_pending_however_much_they_do(world):
    world.database.write_and_wait(
        lambda store: store.run(
            text("update memberships set role = 'member' where member = :who"), {"who": world.ann.member}
        )
    )
    for _ in range(LATER_JOBS + 20):
        for asked in done(world)[1]:
            judge(world, asked, "passed")
    world.now_ms += 30 * 24 * 3600 * 1000
    world.sweep()
    assert world.balance(world.bob).balance == 0
    for asked in (one for _ in range(4) for one in done(world)[1]):
        judge(world, asked, "missed")
    assert not any(item.kind == "quarantine" for item in items(world)), "nor can one person alone stop a device"


def test_whom_an_admin_trusts_is_paid_at_once_and_what_waited_is_free(world):
    done(world)
    limits_of = world.database.write_and_wait(
        limits.set_trust, world.network, world.bob.member, True, (world.ann.member, world.moment)
    )
    assert limits_of.trusted
    assert done(world)[1] == []
    assert (world.balance(world.bob).balance, world.balance(world.bob).pending) == (3515, 3515)
    world.now_ms += 15 * 60 * 1000
    world.sweep()
    assert (world.balance(world.bob).balance, world.balance(world.bob).pending) == (2 * 3515, 0)
    assert ("member.trust", world.bob.member) in kinds(world)


def test_silent_pay_waits_for_its_day_and_for_checks(world):
    permit = world.grant(world.bob)
    world.report(world.claim(permit, world.bob))
    world.after_window(permit)
    assert world.balance(world.bob).pending == 3515
    world.now_ms += 3 * 24 * 3600 * 1000
    world.sweep()
    assert world.balance(world.bob).pending == 3515
    world.database.write_and_wait(
        limits.set_trust, world.network, world.bob.member, True, (world.ann.member, world.moment)
    )
    world.sweep()
    assert (world.balance(world.bob).balance, world.balance(world.bob).pending) == (3515, 0)


def test_a_later_answer_leaves_silent_pay_in_pending(world):
    permit = world.grant(world.bob)
    world.report(world.claim(permit, world.bob))
    world.after_window(permit)
    world.report(world.used(permit, world.bob, units=400))
    assert (world.balance(world.bob).balance, world.balance(world.bob).pending) == (0, 1480 - 74)
