"""What can be told of a report in which something cannot be read: its batch, so that its sender hears which it was.

Touches: nothing.
"""

from typing import Literal

import msgspec


class _Report(msgspec.Struct):
    t: Literal["report"]
    batch: int


_report: msgspec.json.Decoder[_Report] = msgspec.json.Decoder(_Report)


def batch_of(raw: bytes | str) -> int | None:
    """The batch of a report, whatever else is in it; None where it is none."""
    try:
        return _report.decode(raw).batch
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
