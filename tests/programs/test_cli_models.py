"""`mesh models`: sizes in words, and what is said while a model is fetched."""

import pytest

from mesh.cli import models
from mesh.cli.models import BadSize, Pace


@pytest.mark.parametrize(
    ("text", "size"), [("5GB", 5_000_000_000), ("512MiB", 512 << 20), (" 1.5 gib ", 3 << 29), ("1kb", 1000)]
)
def test_a_size_in_words(text, size):
    assert models._bytes(text) == size


@pytest.mark.parametrize("text", ["", "5", "GB", "-1GB", "5 parsecs", "1e9GB", "5GB!", "٣GB٣"])
def test_no_size(text):
    with pytest.raises(BadSize):
        models._bytes(text)


def test_the_time_left_is_told_only_once_a_pace_is_known(monkeypatch):
    said, now = [], [0.0]
    monkeypatch.setattr(models.time, "monotonic", lambda: now[0])
    pace = Pace(lambda stage, fraction, left="": said.append((stage, fraction, left)))
    pace.say("downloading", 0, 100)
    now[0] = 0.5
    pace.say("downloading", 10, 100)
    now[0] = 2.0
    pace.say("downloading", 50, 100)
    pace.say("copying", 50, 0)
    assert said == [
        ("downloading", 0.0, ""),
        ("downloading", 0.1, ""),
        ("downloading", 0.5, ", 2 s left"),
        ("copying", 0.0, ""),
    ]
