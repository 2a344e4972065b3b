"""Which earnings stand out: three standard deviations above the others, and never for small change or among few."""

from mesh.credits.signals import AMOUNT_MIN, standing_out
from mesh.ids import DeviceId
from mesh.units import CREDIT


def earned(*credits: float) -> dict[DeviceId, int]:
    return {DeviceId(f"d{at}"): int(amount * CREDIT) for at, amount in enumerate(credits)}


def test_one_far_above_the_others_stands_out_also_among_few() -> None:
    assert standing_out(earned(20, 22, 18, 21, 90)) == ("d4",)
    assert standing_out(earned(20, 22, 18, 21, 25)) == ("d4",), "beyond three deviations of the others"
    assert standing_out(earned(20, 22, 18, 21, 24)) == ()


def test_two_are_named_the_larger_first() -> None:
    assert standing_out(earned(*[20] * 30, 300, 400))[:1] == ("d31",)


def test_equal_few_or_small_earnings_are_no_signal() -> None:
    assert standing_out(earned(*[50] * 10)) == ()
    assert standing_out(earned(20, 20, 20, 900)) == (), "three others are no usual"
    assert standing_out(earned(1, 1, 1, 1, AMOUNT_MIN / CREDIT - 1)) == ()
    assert standing_out({}) == ()
