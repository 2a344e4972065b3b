"""Cheats in a simulated network of ten, a thousand seeds each: found soon, and worse off than without it."""

import statistics

import pytest

from cheating import CHEATS, Device, one_seed

SEEDS = 1000


def found(devices: list[Device], jobs: int = 64) -> float:
    """Which part of the devices was in quarantine within so many of their jobs since the first false answer."""
    return sum(one.out and (one.since_first or 0) <= jobs for one in devices) / len(devices)


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
def test_a_cheat_is_in_quarantine_within_64_jobs_and_gains_nothing(cheat):
    devices = [one for seed in range(SEEDS) for one in one_seed(seed, cheat, 1)]
    assert found(devices) >= 0.95
    gains = [one.spent_false - one.lost_true for one in devices]
    assert statistics.mean(gains) <= 0
    if cheat.after == 0:
        assert not any(one.spent_false for one in devices), "nothing of it was ever free"


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
@pytest.mark.parametrize(("cheats", "seeds"), [(2, 100), (5, 20)])
def test_colluders_gain_nothing(cheats, seeds, cheat):
    devices = [one for seed in range(seeds) for one in one_seed(seed, cheat, cheats)]
    assert all(one.out for one in devices)
    assert sum(one.spent_false - one.lost_true for one in devices) <= 0
