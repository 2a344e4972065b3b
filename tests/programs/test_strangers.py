"""Who knocks without being a member's device is turned away, and the log says how often: a line a minute."""

from structlog.testing import capture_logs

from mesh.agent.peers.strangers import Strangers
from mesh.ids import DeviceKey

MEMBER, STRANGER = DeviceKey("11" * 32), DeviceKey("22" * 32)


def test_strangers_are_counted_in_the_log_and_named_nowhere():
    now = [0.0]
    door = Strangers(lambda key: key == MEMBER, lambda: now[0])
    with capture_logs() as lines:
        assert door.admits(MEMBER) and lines == []
        assert not any(door.admits(STRANGER) for _ in range(500))
        now[0] = 60.0
        assert not door.admits(STRANGER)
    assert [(line["event"], line["reason"], line["count"]) for line in lines] == [
        ("peer.refused", "unknown_key", 1),
        ("peer.refused", "unknown_key", 500),
    ]
    assert STRANGER not in str(lines)
