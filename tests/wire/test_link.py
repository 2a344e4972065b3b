"""Link messages that cannot be read."""

import pytest

from mesh.protocol import link
from mesh.protocol.unreadable import batch_of


def test_a_report_that_cannot_be_read_is_known_by_its_batch():
    odd = link.encode(link.Report(7, ("a.b.c",))).replace(b'"a.b.c"', b"12")
    with pytest.raises(link.LinkError):
        link.decode_from_device(odd)
    assert batch_of(odd) == 7
    for other in (b'{"t":"beat","number":"x","batch":7}', b'{"t":"report","batch":"x"}', b"\xff", b"[" * 100_000):
        assert batch_of(other) is None
