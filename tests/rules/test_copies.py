"""Which starts of a home can be the same home's, and when an ephemeral device has left."""

import pytest

from mesh.devices.copies import Start, is_copy
from mesh.devices.presence import has_left


@pytest.mark.parametrize(
    ("known", "said", "copy"),
    [
        (Start(), Start(1, "a"), False),
        (Start(3, "a"), Start(4, "b"), False),
        (Start(3, "a"), Start(3, "a"), False),
        (Start(3, "a"), Start(3, "b"), True),
        (Start(3, "a"), Start(2, "a"), True),
        (Start(3, ""), Start(3, "b"), False),
        (Start(3, "a"), Start(3, ""), False),
    ],
)
def test_an_older_start_or_a_twin_is_a_copy(known, said, copy):
    assert is_copy(known, said) is copy


def test_only_ephemeral_devices_leave_and_only_after_their_time_offline():
    away = {"last_here_ms": 1_000, "now_ms": 1_000 + 1_800_001, "linked": False}
    assert has_left(1800, **away)
    assert not has_left(None, **away)
    assert not has_left(1800, **{**away, "now_ms": 1_801_000})
    assert not has_left(1800, **{**away, "linked": True})
