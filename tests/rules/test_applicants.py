"""Who waits for an admin, and what may be said to whom was refused."""

import pytest

from mesh.networks.applicants import WAITS_S, WHY_MAX, BadWhy, expires_ms, must_wait, reason


@pytest.mark.parametrize(("link", "network", "waits"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True)])
def test_somebody_waits_where_their_link_or_the_network_asks_for_it(link: int, network: int, waits: bool) -> None:
    assert must_wait(link_asks=bool(link), network_asks=bool(network)) is waits


def test_a_reason_is_one_line_that_can_be_seen() -> None:
    assert reason("  We do not know each other. 👩‍🌾 ") == "We do not know each other. 👩‍🌾"
    assert reason("") == "" and reason("x" * WHY_MAX)
    for text in ("x" * (WHY_MAX + 1), "two\nlines", "turned \u202e round", "a\x00b", "\u2028"):
        if text.strip():
            with pytest.raises(BadWhy):
                reason(text)


def test_a_request_lasts_a_month() -> None:
    assert expires_ms(1000) == 1000 + 30 * 86_400_000 == 1000 + int(WAITS_S * 1000)
