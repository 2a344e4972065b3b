"""The ledger in bad weather: facts lost for a while, late, repeated, out of order, and a coordinator that crashes.

Whatever happens, what each job ends with is what it would have ended with in good weather; and after every step the
credits sum to zero, what is held is what open shares have left, and no job is paid twice. A failure names its seed.

Touches: files (a database), threads.
"""

import random
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from engines import ENGINES, Place
from ledger_world import Party, World
from mesh.coordinator.acts import record
from mesh.coordinator.acts.limits import Apart, clear_marks
from mesh.coordinator.evidence import open_batch, permits_named
from mesh.coordinator.store.connection import Store
from mesh.protocol.permit import Permit

DAY_MS = 86_400_000
NET, PAY = 3515, 3700  # 1000 units at 3,700 per 1000, less 5 %
FRESH = pytest.param(None, id="fresh")  # drawn in the test: workers that run in parallel must agree on its name


class Story(NamedTuple):
    """A job: its permit, the tokens its devices send, and who must end up with what (worker → earned)."""

    kind: str
    permit: Permit
    tokens: list[str]
    earned: dict[str, int]


def tell(world: World, kind: str, series: Permit | None = None) -> Story:
    """Make up a job of some kind, and grant its permit; or under a series that is open."""
    bob, cyd = world.bob, world.cyd
    permit = world.grant(bob, cyd) if series is None else world.under(series)
    claim = {w.name: world.claim(permit, w, n) for n, w in ((1, bob), (2, cyd))}
    stories: dict[str, tuple[list[str], dict[str, int]]] = {
        "done": ([claim["bob"], world.used(permit, bob)], {"bob": NET}),
        "done, wrapped": ([world.used(permit, bob, claim=claim["bob"])], {"bob": NET}),
        "counted less": ([claim["bob"], world.used(permit, bob, units=500)], {"bob": 1850 - 92}),
        "claim lost": ([world.submit(permit, bob), world.used(permit, bob)], {"bob": NET}),
        "silent": ([claim["bob"]], {"bob": NET}),
        "denied": ([claim["bob"], world.failed(permit, bob)], {}),
        "denied after a count": (
            [claim["bob"], world.count(permit, bob, units=200), world.count(permit, bob, units=500),
             world.failed(permit, bob)],
            {"bob": 1850 - 92},
        ),
        "retried": (
            [world.submit(permit, bob), world.failed(permit, bob), claim["cyd"], world.used(permit, cyd, 2)],
            {"cyd": NET},
        ),
        "hedged": (
            [claim["bob"], world.superseded(permit, bob), claim["cyd"], world.used(permit, cyd, 2)],
            {"cyd": NET},
        ),
        "failed by the worker": (
            [world.claim(permit, bob, units=0, outcome="failed"), world.failed(permit, bob),
             world.no_more(permit, world.ann, 1), world.no_more(permit, bob, 1), world.no_more(permit, cyd, 0)],
            {},
        ),
        "never sent": ([world.no_more(permit, w, 0) for w in (world.ann, bob, cyd)], {}),
        "never heard of": ([], {}),
    }  # fmt: skip
    tokens, earned = stories[kind]
    return Story(kind, permit, tokens, earned)


CLOSED = ("failed by the worker", "never sent")
"""What both sides are through with at once: said of a permit, and of a series only when all its jobs are over."""
KINDS = (
    "done", "done, wrapped", "counted less", "claim lost", "silent", "denied", "denied after a count", "retried",
    "hedged", "failed by the worker", "never sent", "never heard of",
)  # fmt: skip


def drawn(seed: int | None) -> int:
    return random.SystemRandom().randrange(10**9) if seed is None else seed


def check(world: World, what: str) -> None:
    proof = world.verify()
    assert proof.ok, f"{what}: {proof.wrong}"
    assert proof.total == 0, what


@pytest.mark.parametrize(
    ("seed", "engine"),
    [
        *((seed, "on_sqlite") for seed in (1, 2, 3, 4, 5)),
        pytest.param(None, "on_sqlite", id="fresh-on_sqlite"),
        pytest.param(None, "on_postgres", id="fresh-on_postgres"),
    ],
)
def test_the_end_is_the_same_as_in_good_weather(
    request: pytest.FixtureRequest, tmp_path: Path, seed: int | None, engine: str
) -> None:
    assert storm(request.getfixturevalue(engine)(tmp_path), drawn(seed)) > 100


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_hundred_thousand_operations_end_as_they_must(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    first, done, turn = drawn(None), 0, 0
    while done < 100_000:
        folder = tmp_path / str(turn)
        folder.mkdir()
        done += storm(request.getfixturevalue(engine)(folder), first + turn)
        turn += 1


def storm(place: Place, seed: int) -> int:
    """One storm; returns how many operations it was: facts reported, permits, sweeps, crashes and restarts."""
    weather = random.Random(seed)
    world, done = World(place, seed=seed), 0
    stories: list[Story] = []
    flying: list[str] = []
    series: list[Permit] = []
    todo = [(kind, alone) for kind in KINDS for alone in (True, kind in CLOSED)]
    weather.shuffle(todo)

    def told() -> Story:
        kind, alone = todo.pop()
        while True:
            try:
                if not alone and (not series or weather.random() < 0.2):
                    series.append(world.series((world.bob, 20 * PAY), (world.cyd, 20 * PAY)))
                return tell(world, kind, None if alone else weather.choice(series))
            except Apart:  # two sides contradicted each other so often that an admin must look first, and does
                by = (world.ann.member, world.moment)
                world.database.write_and_wait(clear_marks, world.network, world.ann.device, None, by)  # type: ignore[arg-type]

    for step in range(120):
        what = f"seed {seed}, step {step}"
        dice = weather.random()
        if dice < 0.3 and todo:
            story = told()
            stories.append(story)
            flying += story.tokens
        elif dice < 0.8 and flying:  # a batch in any order; some come again later, since their ReportAck was lost
            batch = weather.sample(flying, weather.randint(1, min(6, len(flying))))
            world.report(*batch)
            done += len(batch)
            if weather.random() < 0.6:
                for token in batch:
                    flying.remove(token)
        elif 0.8 <= dice < 0.86:
            if flying and weather.random() < 0.5:
                crashed(world, weather.sample(flying, weather.randint(1, min(6, len(flying)))))
            world.reopen()
        elif dice < 0.93:
            world.now_ms += weather.randint(1, 5_000)
            world.sweep()
        else:
            continue
        done += 1
        check(world, what)
    while todo:
        stories.append(told())
        flying += stories[-1].tokens
    tokens = [token for story in stories for token in story.tokens]
    for permit in series:  # one side more or less is through; what is not in yet keeps a share open
        tokens += [world.no_more(permit, world.ann, weather.randint(0, 8), world.bob)]
        tokens += [world.no_more(permit, world.bob, weather.randint(0, 8))]
    weather.shuffle(tokens)
    for at in range(0, len(tokens), 16):  # before any window closes, everything has come at least once
        world.report(*tokens[at : at + 16])
        done += len(tokens[at : at + 16])
    check(world, f"seed {seed}, all delivered")
    settled(world, stories, f"seed {seed}")
    world.database.close()
    return done


class Crash(Exception):
    """The coordinator ends with all of an act written and nothing committed."""


def crashed(world: World, batch: list[str]) -> None:
    """A report in whose midst the coordinator ends: nobody was answered, and nothing of it may be left."""
    keys = world.database.read_and_wait(record.keys_of, world.network, permits_named(batch))  # type: ignore[arg-type]
    facts = open_batch(batch, keys, world.network).facts  # type: ignore[arg-type]

    def act(store: Store) -> None:
        record.record_facts(store, world.network, facts, world.moment, world.ready_ms)  # type: ignore[arg-type]
        store.answered()
        raise Crash

    with pytest.raises(Crash):
        world.database.write_and_wait(act)


def settled(world: World, stories: list[Story], seed: str) -> None:
    """Let windows and days pass; then everybody has what they must have."""
    world.now_ms = max(story.permit.finish_by_ms for story in stories) + 15 * 60_000
    while world.sweep().more:
        check(world, seed)
    world.now_ms += DAY_MS
    while world.sweep().more:
        check(world, seed)
    check(world, seed)
    for story in stories:
        paid = world.rows(
            f"select worker, pay - fee as earned from attempts where job = '{story.permit.job}' and pay > 0"
        )
        names = {party.device: party.name for party in world.parties}
        assert {names[row.worker]: row.earned for row in paid} == story.earned, f"{seed}: {story.kind}"
    for party in (world.bob, world.cyd):
        due = sum(story.earned.get(party.name, 0) for story in stories)
        assert earned(world, party) == (due, 0), f"{seed}: {party.name}"
    assert world.balance(world.ann).held == 0, seed


def earned(world: World, party: Party) -> tuple[int, int]:
    now = world.balance(party)
    return now.balance, now.pending


@pytest.mark.parametrize("seed", [11, 12, FRESH])
def test_a_payer_at_the_floor_never_falls_below_it(tmp_path: Path, seed: int | None) -> None:
    """Strict, windows that pass while facts are in the air, late reports, a payer that spends all it can."""
    seed = drawn(seed)
    weather = random.Random(seed)
    world = World(tmp_path / "mesh.db", line="strict", seed=seed)
    world.give(world.ann, 45_000)
    flying: list[str] = []
    for step in range(100):
        dice = weather.random()
        if dice < 0.35:
            free = world.balance(world.ann).free or 0
            if free >= 10_000:
                with suppress(Apart):  # who was denied so often that an admin must look first
                    flying += tell(world, weather.choice(KINDS)).tokens
        elif dice < 0.75 and flying:
            batch = weather.sample(flying, weather.randint(1, min(5, len(flying))))
            world.report(*batch)
        elif dice < 0.85:
            world.reopen()
        else:
            world.now_ms += weather.choice((60_000, 15 * 60_000, 25 * 60_000, DAY_MS))
            world.sweep()
        check(world, f"seed {seed}, step {step}")
        money = world.balance(world.ann)
        assert money.balance - money.held >= 0, f"seed {seed}, step {step}"
    world.database.close()
