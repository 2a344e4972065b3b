"""Link messages that cannot be read."""

import pytest

from mesh.protocol import link


def test_a_report_that_cannot_be_read_is_known_by_its_batch():
    report = link.encode(link.Report(7, ("a.b.c",)))
    with pytest.raises(link.LinkError) as refused:
        link.decode_from_device(report.replace(b'"a.b.c"', b"12"))
    assert refused.value.facts["batch"] == 7
    with pytest.raises(link.LinkError) as refused:
        link.decode_from_device(b'{"t":"beat","number":"x","batch":7}')
    assert "batch" not in refused.value.facts
