"""Doing a job again to see whether its answer is right: what to ask, and when two answers are the same.

Vectors of one model are equal to 1e-7 on every honest device, so a cosine of 0.9999 is generous and a text that was cut
is not within it. Readings of a page differ by a letter in a hundred between versions of the reader. Chats are not
written again but replayed (``replay``), a stretch of each, and only greedy ones, in free text, of models that come with
Mesh: their files are the same everywhere.

Touches: nothing.
"""

from collections.abc import Sequence
from math import sqrt
from operator import mul
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.protocol.values import JobSpec
from mesh.workloads.catalogue import BUILTIN
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import may_cut, payload_of, texts_of, vectors_of
from mesh.workloads.ocr import read_of
from mesh.workloads.replay import STRETCH_TOKENS, Replayed, beginning, judged, stretches

COSINE_MIN = 0.9999
LENGTH_OFF_MAX = 1e-3
"""How much longer or shorter a vector may be, as a part of the checker's."""
TEXTS_MAX = 256
"""Texts of one job that are embedded again, drawn by the checker."""
EDITS_PPM = 10_000
"""Letters that may differ between two readings: 1 % of the longer one."""


class NotCheckable(MeshError):
    """This job has no one right answer, so it is not checked."""

    code = "check.not_checkable"
    kind = "invalid"


class CannotTell(MeshError):
    """The answer is neither surely right nor surely wrong, so nothing is said of it."""

    code = "check.cannot_tell"
    kind = "invalid"


class Drawing(NamedTuple):
    """Into how many parts a job falls that may be looked at one by one, and at how many of them a check looks."""

    parts: int
    looked_at: int


def drawing(workload: str, payload: Payload, claimed: Payload) -> Drawing:
    """What the checker is to draw from: the texts of embeddings, the stretches of a chat; else the job is one."""
    if workload == "embeddings":
        count = len(texts_of(payload))
        return Drawing(count, min(count, TEXTS_MAX))
    return Drawing(stretches(claimed.manifest["text"]) if workload == "chat" else 1, 1)


def again(spec: JobSpec, payload: Payload, claimed: Payload, rows: Sequence[int]) -> Payload:
    """What to ask one's own engine; ``rows``: the parts that were drawn, in order. Raises NotCheckable."""
    if spec.workload == "embeddings":
        texts = texts_of(payload)
        return payload_of([texts[row] for row in rows], cut=may_cut(payload))
    if spec.workload == "ocr":
        return payload
    manifest, text = payload.manifest, claimed.manifest.get("text")
    greedy = manifest.get("temperature") == 0 and not manifest.get("json") and not claimed.manifest.get("left_out")
    if spec.workload != "chat" or spec.model not in {entry.id for entry in BUILTIN} or not greedy or not text:
        raise NotCheckable
    stretch = {"begin": beginning(text, rows[0]), "tokens": STRETCH_TOKENS}
    return Payload({**manifest, "replay": {"text": text, "finish": claimed.manifest["finish"], **stretch}})


def same(workload: str, claimed: Payload, mine: Payload, rows: Sequence[int]) -> bool:
    """Whether a claimed answer is the one that one's own engine gave, as far as honest devices agree.

    Raises CannotTell.
    """
    if workload == "embeddings":
        theirs, own = vectors_of(claimed), vectors_of(mine)
        return len(own) == len(rows) and all(_alike(theirs[row], known) for row, known in zip(rows, own, strict=True))
    if workload == "ocr":
        pages = zip(read_of(claimed).pages, read_of(mine).pages, strict=True)
        return all(_reads_alike(page.text, known.text) for page, known in pages)
    engine = mine.manifest.get("engine")
    alike = engine is not None and claimed.manifest.get("engine") == engine
    finding = judged(Replayed(**mine.manifest["replayed"]), alike=alike)
    if finding == "unsure":
        raise CannotTell
    return finding == "passed"


def _alike(one: Sequence[float], known: Sequence[float]) -> bool:
    if len(one) != len(known):
        return False
    length, expected = sqrt(sum(map(mul, one, one))), sqrt(sum(map(mul, known, known)))
    if not expected or not length:
        return length == expected
    near = abs(length - expected) <= LENGTH_OFF_MAX * expected
    return near and sum(map(mul, one, known)) >= COSINE_MIN * length * expected


def _reads_alike(one: str, known: str) -> bool:
    """Whether at most 1 % of the letters differ (always allowing one); white space counts as one blank."""
    first, second = " ".join(one.split()), " ".join(known.split())
    allowed = max(1, max(len(first), len(second)) * EDITS_PPM // 1_000_000)
    return edits(first, second, allowed) <= allowed


def edits(one: str, other: str, most: int) -> int:
    """The letters to change, put in or take out, to make one text the other; ``most`` + 1 where it is more.

    Only a band around the diagonal is looked at: the time is the length times ``most``.
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    far = most + 1
    before = {column: column for column in range(min(len(other), most) + 1)}
    for row, letter in enumerate(one, 1):
        now: dict[int, int] = {}
        for column in range(max(0, row - most), min(len(other), row + most) + 1):
            least = before.get(column, far) + 1
            if column:
                changed = before.get(column - 1, far) + (other[column - 1] != letter)
                least = min(least, changed, now.get(column - 1, far) + 1)
            now[column] = least
        if min(now.values()) > most:
            return far
        before = now
    return min(far, before.get(len(other), far))
