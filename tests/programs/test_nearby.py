"""What a device takes from its LAN while the coordinator is away: members' names, and nothing of strangers."""

import secrets

import pytest

from mesh.agent.peers.nearby import SERVICE, Nearby, key_of, label_of
from mesh.ids import DeviceKey


def a_key() -> DeviceKey:
    return DeviceKey(secrets.token_hex(32))


def test_a_key_is_a_name_and_back():
    key = a_key()
    assert len(label_of(key)) <= 63 and key_of(f"{label_of(key)}.{SERVICE}") == key
    assert key_of(f"{label_of(key).upper()}.{SERVICE}") == key


@pytest.mark.parametrize("name", ["", SERVICE, f"printer.{SERVICE}", f"{'1' * 52}.{SERVICE}", f"{'é' * 52}.{SERVICE}"])
def test_a_name_that_is_no_key_is_nobodys(name):
    assert key_of(name) is None


def test_strangers_and_oneself_are_nobody():
    me, member, stranger = a_key(), a_key(), a_key()
    nearby = Nearby(lambda: me, lambda: (), lambda key: key in (me, member), lambda: False)
    names = [f"{label_of(key)}.{SERVICE}" for key in (me, stranger, member)]
    assert [nearby.whose(name) for name in names] == [None, None, member]
