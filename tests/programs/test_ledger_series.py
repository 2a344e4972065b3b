"""Permits for a series on a real store: many jobs draw from one share, which ends once, with nothing lost.

Touches: files (a database), threads.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_world import World
from mesh.coordinator.acts import jobs
from mesh.coordinator.acts.permit import grant
from mesh.credits.transfers import HoldRefused

DAY_MS = 86_400_000
JOB = 3700


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path))
    yield made
    made.database.close()


def money(world: World, *names: str) -> list[tuple[int, int, int]]:
    """(balance, pending, held) of each."""
    found = [world.balance(getattr(world, name)) for name in names]
    return [(b.balance, b.pending, b.held) for b in found]


def test_jobs_of_a_series_draw_from_the_share_of_their_worker(world: World) -> None:
    series = world.series((world.bob, 2 * JOB), (world.cyd, 3 * JOB))
    assert money(world, "ann") == [(0, 0, 5 * JOB)]
    first, second = world.under(series), world.under(series)
    world.report(world.claim(first, world.bob), world.used(first, world.bob))
    world.report(world.used(second, world.cyd), world.claim(second, world.cyd))
    assert money(world, "ann", "bob", "cyd") == [(-2 * JOB, 0, 3 * JOB), (3515, 0, 0), (3515, 0, 0)]
    assert world.verify().ok


def test_nobody_earns_more_than_their_cap_however_much_is_acknowledged(world: World) -> None:
    series = world.series((world.bob, 2 * JOB), (world.cyd, 3 * JOB))
    for _ in range(4):
        job = world.under(series)
        world.report(world.claim(job, world.bob), world.used(job, world.bob))
    assert money(world, "ann", "bob") == [(-2 * JOB, 0, 3 * JOB), (2 * 3515, 0, 0)]
    assert world.verify().ok


def test_a_share_closes_once_both_sides_are_through_and_all_they_sent_is_in(world: World) -> None:
    series = world.series((world.bob, 5 * JOB), (world.cyd, 5 * JOB))
    done, failed = world.under(series), world.under(series)
    effects = world.report(world.no_more(series, world.ann, 2, world.bob)).effects
    assert [(effect.worker, effect.permit) for effect in effects] == [(world.bob.device, series.permit)]
    world.report(world.no_more(series, world.bob, 2))
    assert money(world, "ann")[0][2] == 10 * JOB, "nothing is released before the facts are in"
    world.report(world.claim(done, world.bob), world.used(done, world.bob))
    assert money(world, "ann")[0][2] == 9 * JOB
    world.report(world.claim(failed, world.bob, outcome="failed", units=0), world.failed(failed, world.bob))
    assert money(world, "ann", "bob") == [(-JOB, 0, 5 * JOB), (3515, 0, 0)], "bob's share ended, cyd's is open"
    world.report(world.no_more(series, world.ann, 0, world.cyd))
    world.report(world.no_more(series, world.cyd, 0))
    assert money(world, "ann") == [(-JOB, 0, 0)]
    assert [row.state for row in world.rows("select state from permits")] == ["closed"]
    assert world.verify().ok


def test_a_claim_that_no_answer_meets_keeps_the_share_open_until_its_window_is_over(world: World) -> None:
    series = world.series((world.bob, 5 * JOB))
    silent = world.under(series)
    world.report(world.claim(silent, world.bob))
    world.report(world.no_more(series, world.ann, 0, world.bob), world.no_more(series, world.bob, 1))
    assert money(world, "ann", "bob") == [(0, 0, 5 * JOB), (0, 0, 0)]
    assert world.after_window(series).closed == 1
    assert money(world, "ann", "bob") == [(-JOB, 0, 0), (0, 3515, 0)], "one-sided: paid, and deniable for a day"
    assert world.verify().ok
    world.report(world.failed(silent, world.bob))
    assert money(world, "ann", "bob") == [(0, 0, 0), (0, 0, 0)]
    assert world.verify().ok


def test_acknowledged_work_is_paid_before_silent_work_where_a_share_holds_too_little(world: World) -> None:
    series = world.series((world.bob, 2 * JOB))
    silent = [world.under(series) for _ in range(3)]
    for job in silent:
        world.report(world.claim(job, world.bob))
    used = world.under(series)
    world.report(world.submit(used, world.bob, maximum=JOB), world.used(used, world.bob))
    world.after_window(series)
    pay = {row.job: (row.pay, row.how) for row in world.rows("select job, pay, how from attempts")}
    assert pay[str(used.job)] == (JOB, "used"), "the payer's own word admits it"
    assert sorted(pay[str(job.job)][0] for job in silent) == [0, 0, JOB]
    assert world.verify().ok


def test_a_stream_whose_worker_was_killed_for_good_is_paid_by_the_answer_alone(world: World) -> None:
    series = world.series((world.bob, 5 * JOB))
    cut = world.under(series)
    about_another = world.submit(world.under(series), world.bob)
    refused = world.report(world.used(cut, world.bob, submit=about_another)).refused
    assert [code for _, code in refused] == ["evidence.mismatch"], "what is wrapped must be about the same attempt"
    world.report(world.used(cut, world.bob, submit=world.submit(cut, world.bob)))
    world.after_window(series)
    pay = {row.job: (row.pay, row.how) for row in world.rows("select job, pay, how from attempts")}
    assert pay == {str(cut.job): (JOB, "used")}
    assert money(world, "ann", "bob") == [(-JOB, 0, 0), (3515, 0, 0)]
    assert world.verify().ok


def test_a_share_with_more_waiting_jobs_than_one_transaction_takes_closes_in_rounds(world: World) -> None:
    series = world.series((world.bob, 1000 * JOB))
    waiting = [world.under(series) for _ in range(530)]
    for start in range(0, len(waiting), 60):
        world.report(*(world.claim(job, world.bob) for job in waiting[start : start + 60]))
    world.after_window(series)
    assert money(world, "ann")[0][2] == (1000 - 512) * JOB, "the share is still open"
    assert world.verify().ok
    world.sweep()
    assert money(world, "ann", "bob") == [(-530 * JOB, 0, 0), (0, 530 * 3515, 0)]
    assert world.verify().ok


def test_one_job_over_two_series_is_paid_once(world: World) -> None:
    first, second = world.series((world.bob, 5 * JOB)), world.series((world.cyd, 5 * JOB))
    on_first = world.under(first)
    on_second = world.under(second, on_first.job)
    world.report(world.claim(on_first, world.bob, 1), world.superseded(on_first, world.bob, 1, by=2))
    world.report(world.claim(on_second, world.cyd, 2), world.used(on_second, world.cyd, 2))
    assert money(world, "ann", "bob", "cyd") == [(-JOB, 0, 9 * JOB), (0, 0, 0), (3515, 0, 0)]
    world.after_window(first)
    assert money(world, "ann", "bob", "cyd") == [(-JOB, 0, 0), (0, 0, 0), (3515, 0, 0)]
    assert world.rows("select * from marks") == []
    assert world.verify().ok


def test_the_same_request_gives_the_same_series(world: World) -> None:
    series = world.series((world.bob, JOB), (world.cyd, JOB))
    wanted = world.wanted(request=series.request)
    again = world.database.write_and_wait(grant, wanted._replace(permit=series), world.moment)
    assert (again.fresh, again.permit) == (False, series)
    assert money(world, "ann")[0][2] == 2 * JOB


def test_a_series_that_is_not_covered_is_refused_whole(tmp_path: Path) -> None:
    world = World(tmp_path / "mesh.db", line="strict")
    world.give(world.ann, 5 * JOB)
    with pytest.raises(HoldRefused):
        world.series((world.bob, 3 * JOB), (world.cyd, 3 * JOB))
    assert money(world, "ann") == [(5 * JOB, 0, 0)]
    world.series((world.bob, 3 * JOB), (world.cyd, 2 * JOB))
    assert money(world, "ann") == [(5 * JOB, 0, 5 * JOB)]
    world.database.close()


def test_facts_of_a_worker_that_the_series_does_not_name_are_refused(world: World) -> None:
    series = world.series((world.bob, 5 * JOB))
    job = world.under(series)
    assert world.report(world.claim(job, world.cyd)).refused == ((0, "evidence.no_permit"),)
    assert world.report(world.no_more(series, world.ann, 0)).refused == ((0, "evidence.no_permit"),), "of which share?"


def test_a_job_of_a_series_is_listed_from_its_first_fact_with_the_series_explanation(world: World) -> None:
    series = world.series((world.bob, 5 * JOB))
    job = world.under(series)
    world.report(world.claim(job, world.bob))

    def line() -> jobs.JobLine:
        found = world.database.read_and_wait(jobs.show, world.network, job.job, None)  # type: ignore[arg-type]
        assert found is not None
        return found

    assert (line().state, line().member, line().workload) == ("running", world.ann.member, "embeddings")
    world.report(world.used(job, world.bob))
    assert (line().state, line().charge) == ("done", JOB)
    failed = world.under(series)
    world.report(world.submit(failed, world.bob), world.failed(failed, world.bob))
    job = failed
    assert line().state == "failed", "although the share is open"


@pytest.mark.parametrize("seed", range(8))
def test_in_whatever_order_facts_come_the_end_is_the_same(tmp_path: Path, seed: int) -> None:
    """Shuffled, doubled and late: used jobs are paid, failed ones are not, silent ones one-sided, the rest released."""
    draw = random.Random(seed)
    world = World(tmp_path / "mesh.db", seed=seed + 1)
    series = world.series((world.bob, 20 * JOB), (world.cyd, 20 * JOB))
    facts: list[str] = []
    paid = {"bob": 0, "cyd": 0}
    for _ in range(12):
        job, name = world.under(series), draw.choice(["bob", "cyd"])
        worker = getattr(world, name)
        end = draw.choice(["used", "used", "failed", "silent"])
        facts.append(world.claim(job, worker, outcome="failed" if end == "failed" else "done"))
        if end == "used":
            facts.append(world.used(job, worker))
        elif end == "failed":
            facts.append(world.failed(job, worker))
        paid[name] += end != "failed"
    draw.shuffle(facts)
    for token in facts + draw.sample(facts, 5):
        world.report(token)
        assert world.verify().ok
    world.after_window(series)
    world.now_ms += 2 * DAY_MS
    world.sweep()
    done = sum(paid.values())
    assert money(world, "ann", "bob", "cyd") == [
        (-done * JOB, 0, 0), (paid["bob"] * 3515, 0, 0), (paid["cyd"] * 3515, 0, 0)
    ]  # fmt: skip
    assert world.verify().ok
    world.database.close()
