"""Replaying recorded placements with other weights: what placing anew would have found."""

import random

import pytest

from mesh.jobs.placement import NEAR_TIE, SCORES_LISTED, place
from mesh.jobs.replay import replayed
from mesh.jobs.weights import DEFAULT_WEIGHTS, Weights
from mesh.protocol.values import Explanation
from rules.test_placement_oracle import cases

WITHIN = 1e-4
"""Terms are recorded on a grid of 2^-20; divided by a small weight, that is what is left of it."""


def some_weights(chance):
    parts = [chance.choice([0.0, 0.1, 0.5, 1.0, 3.0]) for _ in Weights._fields]
    total = sum(parts) or 1.0
    return Weights(*[part / total for part in parts]) if any(parts) else DEFAULT_WEIGHTS


@pytest.mark.parametrize("seed", range(4))
def test_a_replay_finds_what_placing_anew_finds(seed):
    compared = moved = 0
    for ask, devices, chance in cases(seed):
        weights = some_weights(chance)
        record = place(ask, devices, draw=chance.randrange(10**6)).explanation
        found = replayed(record, weights)
        anew = place(ask, devices, weights=weights)
        if record.chosen is None:
            assert found is None
            continue
        assert found is not None and len(record.scores) <= SCORES_LISTED
        rows = {entry.facts.device: entry.score for entry in anew.ranked}
        assert rows[found.best.device].total == pytest.approx(max(row.total for row in rows.values()), abs=WITHIN)
        assert found.chosen.total == pytest.approx(rows[record.chosen].total, abs=WITHIN)
        assert sum(found.best.terms.values()) == pytest.approx(found.best.total)
        first, mine = anew.ranked[0], next(one for one in anew.ranked if one.facts.device == record.chosen)
        best = max(entry.total for entry in anew.ranked if entry.preferred == first.preferred) / 2**20
        if abs(mine.total / 2**20 - best * (1 - NEAR_TIE)) < WITHIN:
            continue  # exactly at the edge of the draw: either is right
        drawn = mine.preferred == first.preferred and mine.total / 2**20 >= best * (1 - NEAR_TIE)
        if mine.facts.device != found.best.device:
            drawn = drawn and (mine.cost > 0) == (rows_cost(anew, found.best.device) > 0)
        assert found.moved is not drawn
        compared += 1
        moved += found.moved
    assert compared > 20
    assert 0 < moved < compared


def rows_cost(placement, device):
    return next(entry.cost for entry in placement.ranked if entry.facts.device == device)


@pytest.mark.parametrize("seed", range(2))
def test_the_same_weights_move_nothing(seed):
    for ask, devices, chance in cases(seed):
        record = place(ask, devices, draw=chance.randrange(10**6)).explanation
        found = replayed(record, DEFAULT_WEIGHTS)
        assert found is None or not found.moved


def test_what_was_not_weighed_then_is_not_made_up_now():
    chance = random.Random(1)
    blind = Weights(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    records = [place(ask, devices, weights=blind).explanation for ask, devices, _ in cases(7)]
    chosen = [record for record in records if record.chosen is not None]
    assert chosen
    for record in chosen:
        assert replayed(record, DEFAULT_WEIGHTS) is None
        assert replayed(record, blind) is not None
        old = Explanation(scores=record.scores, chosen=record.chosen)
        assert replayed(old, some_weights(chance)) is None, "an old record does not say what was weighed"
