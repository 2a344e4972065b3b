import pytest

from mesh.devices.addresses import ADDRESSES_MAX, tellable

HOME, LAN = "127.0.0.1:4", "192.168.1.5:7"


def test_a_victims_address_is_told_to_nobody():
    assert tellable(["9.9.9.9:53"], seen_from="8.8.8.8", asker_from="8.8.4.4") == ()
    assert tellable(["9.9.9.9:53"], seen_from="192.168.1.5", asker_from="192.168.1.6") == ()


def test_a_public_address_counts_where_the_device_is_seen_to_come_from_it():
    assert tellable(["8.8.8.8:7", "[2606:4700::1]:7"], seen_from="8.8.8.8", asker_from="1.1.1.1") == ("8.8.8.8:7",)


@pytest.mark.parametrize(
    ("seen_from", "asker_from"), [("8.8.8.8", "8.8.8.8"), ("192.168.1.5", "192.168.1.6"), ("127.0.0.1", "127.0.0.1")]
)
def test_private_addresses_are_told_to_devices_nearby(seen_from, asker_from):
    assert tellable([LAN, HOME], seen_from=seen_from, asker_from=asker_from) == (LAN, HOME)


@pytest.mark.parametrize(
    ("seen_from", "asker_from"), [("8.8.8.8", "1.1.1.1"), ("8.8.8.8", "192.168.1.6"), (None, None)]
)
def test_private_addresses_are_told_to_nobody_far_away(seen_from, asker_from):
    assert tellable([LAN, HOME, "[fe80::1]:5"], seen_from=seen_from, asker_from=asker_from) == ()


@pytest.mark.parametrize("odd", ["", "x", "1.2.3:5", "[::]:1", "0.0.0.0:1", "224.0.0.1:5", ":5", "localhost:5"])
def test_what_is_no_address_of_a_machine_is_left_out(odd):
    assert tellable([odd, LAN], seen_from="127.0.0.1", asker_from="127.0.0.1") == (LAN,)


def test_no_device_fills_a_message_with_addresses():
    many = [f"10.0.0.{number}:5" for number in range(100)]
    assert len(tellable(many, seen_from="10.0.0.1", asker_from="10.0.0.2")) == ADDRESSES_MAX
