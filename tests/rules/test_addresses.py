import pytest

from mesh.devices.addresses import ADDRESSES_MAX, home, in_lan, tellable

HOME, LAN = "127.0.0.1:4", "192.168.1.5:7"


def test_a_victims_address_is_told_to_nobody():
    assert tellable(["9.9.9.9:53"], [], "8.8.8.8", "8.8.4.4") == ()
    assert tellable(["9.9.9.9:53"], [], "192.168.1.5", "192.168.1.6") == ()
    assert tellable(["9.9.9.9:53", "8.8.8.8:53"], ["8.8.8.8:7"], "8.8.8.8", "8.8.8.8") == ("8.8.8.8:7",)


def test_a_public_address_counts_where_an_observer_has_seen_the_device():
    assert tellable([LAN], ["8.8.8.8:7", "[2606:4700::1]:7"], "8.8.8.8", "1.1.1.1") == ("8.8.8.8:7", "[2606:4700::1]:7")


@pytest.mark.parametrize(
    ("source", "asker"), [("8.8.8.8", "8.8.8.8"), ("192.168.1.5", "192.168.1.6"), ("127.0.0.1", "127.0.0.1")]
)
def test_private_addresses_are_told_to_devices_nearby(source, asker):
    assert tellable([LAN, HOME], [], source, asker) == (LAN, HOME)


@pytest.mark.parametrize(("source", "asker"), [("8.8.8.8", "1.1.1.1"), ("8.8.8.8", "192.168.1.6"), (None, None)])
def test_private_addresses_are_told_to_nobody_far_away(source, asker):
    assert tellable([LAN, HOME, "[fe80::1]:5"], ["10.0.0.1:5"], source, asker) == ()


def test_two_devices_behind_one_proxy_are_not_neighbours_for_that():
    proxy = "127.0.0.1"
    assert home([], proxy) == proxy
    assert tellable([LAN], ["8.8.8.8:7"], home(["8.8.8.8:7"], proxy), home(["1.1.1.1:7"], proxy)) == ("8.8.8.8:7",)


@pytest.mark.parametrize("odd", ["", "x", "1.2.3:5", "[::]:1", "0.0.0.0:1", "224.0.0.1:5", ":5", "localhost:5"])
def test_what_is_no_address_of_a_machine_is_left_out(odd):
    assert tellable([odd, LAN], [odd], "127.0.0.1", "127.0.0.1") == (LAN,)


def test_no_device_fills_a_message_with_addresses():
    many = [f"10.0.0.{number}:5" for number in range(100)]
    assert len(tellable(many, many, "10.0.0.1", "10.0.0.2")) == ADDRESSES_MAX


@pytest.mark.parametrize(
    ("address", "leads"),
    [
        ("192.168.1.2:4000", True),
        ("169.254.7.7:4000", True),
        ("[fd00::2]:4000", True),
        ("8.8.8.8:4000", False),
        ("[2a00:1::1]:4000", False),
        ("127.0.0.1:4000", False),
        ("[::1]:4000", False),
        ("[fe80::2]:4000", False),
        ("224.0.0.251:5353", False),
        ("255.255.255.255:4000", False),
        ("192.168.1.2", False),
        ("192.168.1.2:port", False),
        ("victim.example:4000", False),
        ("", False),
    ],
)
def test_in_a_lan_only_private_addresses_count(address, leads):
    assert in_lan((address, address)) == ((address,) if leads else ())


def test_nobody_in_a_lan_names_more_than_a_few():
    assert len(in_lan([f"192.168.1.{number}:4000" for number in range(1, 100)])) == ADDRESSES_MAX
