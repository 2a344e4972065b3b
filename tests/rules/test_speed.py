"""What a device knows of its own speed."""

import pytest

from mesh.workloads.speed import Sample, Speed, speed_from


def test_two_samples_give_rate_and_fixed_part():
    speed = speed_from(Sample(100, 0.010), Sample(3200, 0.105))
    assert speed.expected_s(100) == pytest.approx(0.010)
    assert speed.expected_s(3200) == pytest.approx(0.105)


def test_noise_gives_no_endless_rate_and_no_negative_overhead():
    for speed in (speed_from(Sample(100, 0.2), Sample(3200, 0.1)), speed_from(Sample(100, 0.0), Sample(200, 5.0))):
        assert 0 < speed.units_per_s < 1e9
        assert speed.overhead_s >= 0


def test_slow_jobs_slow_the_figure_down_and_quick_ones_mend_it():
    speed = Speed(1000.0, 0.01)
    for _ in range(30):
        speed = speed.after(1000, 2 * 1.01)
    assert speed.expected_s(1000) == pytest.approx(2.02, rel=0.01)
    for _ in range(60):
        speed = speed.after(1000, 1.01)
    assert speed.expected_s(1000) == pytest.approx(1.01, rel=0.01)


def test_one_odd_job_moves_the_figure_little():
    assert Speed(1000.0, 0.0).after(1000, 3600.0).slower < 5


def test_a_first_job_that_is_tiny_does_not_make_a_device_look_slow():
    assumed = Speed(240.0, 0.3)
    speed = assumed.scaled(3, 0.6)
    assert speed.expected_s(3) == pytest.approx(0.6)
    assert speed.expected_s(9_600) < 100, "half a second for one word is no word in half a second"
    assert assumed.scaled(1, 1e9).units_per_s > 0
    assert assumed.scaled(1, 0.0).expected_s(10**6) > 0


def test_a_large_job_that_ended_early_says_alone_how_fast_it_was():
    assert speed_from(Sample(90, 0.5), Sample(90, 0.6)) == Speed(150.0, 0.0)
    assert speed_from(Sample(90, 0.5), Sample(60, 0.6)) == Speed(100.0, 0.0)
