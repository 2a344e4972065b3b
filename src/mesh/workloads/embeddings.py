"""Embeddings: texts in, one vector of unit length per text out.

Input: manifest ``{"texts": [str, ...]}``, no blobs; with ``"cut": true`` too long texts are cut, else refused.
Result: manifest ``{"model", "dim", "count", "tokens"}`` and one blob: float32, little-endian, shape [count, dim], row
by row in the order of the texts. Counted in UTF-8 bytes of text.

Touches: nothing.
"""

import math
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from mesh.protocol.values import Unit
from mesh.units import KIB, MIB
from mesh.workloads.catalogue import EMBEDDINGS_DEFAULT
from mesh.workloads.contract import BadInput, Payload, Unstreamed

TEXTS_MAX = 10_000
"""Texts of one job: some 30 s of work on two cores, and a result of 15 MB."""

TEXT_BYTES_MAX = 16 * KIB
"""UTF-8 bytes of one text, refused before it is tokenised. 256 tokens of the longest words take 5 KB; what is longer
can only be too long in tokens too, unless it is mostly blanks."""

INPUT_BYTES_MAX = 16 * MIB
"""UTF-8 bytes of all texts of a job."""

DIM_MAX = 8192
"""The widest vector that a result may claim; known models have up to 4,096."""

FLOAT_BYTES = 4

PART_TEXTS_MIN = 32
"""Texts for each part of a job that is spread over devices: a tenth of a second of work, and two full batches."""


class NoText(BadInput):
    """There is nothing to embed: the list of texts is empty, or one of them is. Send at least one non-empty text."""

    code = "input.empty"


class TextTooLong(BadInput):
    """A text is too long for this model. Split it into shorter texts."""

    code = "input.text_too_long"


class TooManyTexts(BadInput):
    """A job may have up to 10,000 texts. Split it into several jobs."""

    code = "input.too_many_texts"
    kind = "too_large"


class InputTooLarge(BadInput):
    """A job may have up to 16 MiB of text. Split it into several jobs."""

    code = "input.too_large"
    kind = "too_large"


class NotUtf8(BadInput):
    """A text is not valid Unicode, so it has no UTF-8 form. Correct its encoding and send it again."""

    code = "input.not_utf8"


class BadResult(BadInput):
    """The worker's result does not fit the input. It was not accepted; the job may be tried on another device."""

    code = "result.invalid"
    kind = "failed"


def texts_of(payload: Payload) -> list[str]:
    """The texts of a checked payload."""
    texts: list[str] = payload.manifest["texts"]
    return texts


def payload_of(texts: Sequence[str], *, cut: bool = False) -> Payload:
    """Make the payload for ``texts`` (unchecked: ``Embeddings.check`` checks it).

    ``cut``: a text with more tokens than the model takes is cut to them, instead of being refused.
    """
    return Payload({"texts": list(texts), "cut": True} if cut else {"texts": list(texts)})


def may_cut(payload: Payload) -> bool:
    """Whether too long texts are to be cut."""
    return payload.manifest.get("cut") is True


def vectors_of(result: Payload) -> list[list[float]]:
    """Read the vectors of a checked result: one list of ``dim`` floats per text."""
    dim = result.manifest["dim"]
    values = _floats(result.blobs[0])
    return [values[start : start + dim].tolist() for start in range(0, len(values), dim)]


def _floats(blob: bytes) -> "array[float]":
    values: array[float] = array("f")
    values.frombytes(blob)
    if sys.byteorder == "big":
        values.byteswap()
    return values


class Embeddings(Unstreamed):
    """The pure part of the workload."""

    name = "embeddings"
    unit: Unit = "byte"
    deterministic = True
    default_model = EMBEDDINGS_DEFAULT
    apart = False
    assumed_s = 0.0

    def check(self, payload: Payload) -> None:
        """Refuse what is no list of texts, or breaks a limit above. Raises BadInput."""
        texts = payload.manifest.get("texts")
        if not isinstance(texts, list) or payload.blobs:
            raise BadInput("Embeddings take a list of texts and nothing else.")
        if not texts:
            raise NoText
        if len(texts) > TEXTS_MAX:
            raise TooManyTexts(texts=len(texts), limit=TEXTS_MAX)
        total = 0
        for index, text in enumerate(texts):
            total += _checked_bytes(index, text)
        if total > INPUT_BYTES_MAX:
            raise InputTooLarge(bytes=total, limit=INPUT_BYTES_MAX)

    def count(self, payload: Payload, result: Payload | None) -> int:
        """UTF-8 bytes of all texts; the result does not matter."""
        return sum(len(text.encode()) for text in texts_of(payload))

    def check_result(self, payload: Payload, result: Payload) -> None:
        """Refuse a result of another shape than the input asks for, or with numbers that are not finite."""
        manifest, count = result.manifest, len(texts_of(payload))
        dim = manifest.get("dim")
        if type(dim) is not int or not 1 <= dim <= DIM_MAX or manifest.get("count") != count:
            raise BadResult(expected=count)
        tokens = manifest.get("tokens")
        if type(tokens) is not int or tokens < 0 or not isinstance(manifest.get("model"), str):
            raise BadResult(expected=count)
        if len(result.blobs) != 1 or len(result.blobs[0]) != count * dim * FLOAT_BYTES:
            raise BadResult(expected=count)
        # one infinity or NaN makes the sum one; float32 values cannot overflow a double
        if not math.isfinite(sum(_floats(result.blobs[0]))):
            raise BadResult(expected=count)

    def rehearsal(self, pieces: int) -> Payload:
        """Sentences of some 90 bytes and 20 tokens, like a line of a document."""
        return payload_of(
            [
                f"{number} boxes of paper left the harbour for the office on the hill last week, and three came back."
                for number in range(pieces)
            ]
        )

    def from_line(self, fields: dict[str, Any]) -> Payload:
        """One text: ``{"text": "..."}``. Raises BadInput."""
        if set(fields) != {"text"}:
            raise BadInput('A line for embeddings is a text, or {"text": "..."}, with an "id" if you like.')
        payload = Payload({"texts": [fields["text"]]})
        self.check(payload)
        return payload

    def to_line(self, result: Payload) -> dict[str, Any]:
        """Its vector: ``{"embedding": [...]}``."""
        return {"embedding": vectors_of(result)[0]}

    def divide(self, payload: Payload, parts: int) -> list[Payload]:
        """Cut into up to ``parts`` payloads of about the same bytes, in order; few texts stay whole."""
        texts = texts_of(payload)
        parts = min(parts, len(texts) // PART_TEXTS_MIN)
        if parts < 2:
            return [payload]
        part_bytes = self.count(payload, None) / parts
        divided: list[list[str]] = [[]]
        filled = 0
        for text in texts:
            if filled >= part_bytes:
                divided.append([])
                filled = 0
            divided[-1].append(text)
            filled += len(text.encode())
        return [payload_of(part, cut=may_cut(payload)) for part in divided]

    def unite(self, results: Sequence[Payload]) -> Payload:
        """The result of the whole from those of its parts, in order. Raises BadResult where widths differ."""
        first = results[0].manifest
        if any(result.manifest["dim"] != first["dim"] for result in results):
            raise BadResult
        sums = {name: sum(result.manifest[name] for result in results) for name in ("count", "tokens")}
        return Payload({**first, **sums}, (b"".join(result.blobs[0] for result in results),))


def _checked_bytes(index: int, text: object) -> int:
    if not isinstance(text, str):
        raise BadInput(f"Text {index} is not a string.", index=index)
    if len(text) > TEXT_BYTES_MAX:
        raise TextTooLong(index=index, bytes=len(text), limit=TEXT_BYTES_MAX)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise NotUtf8(index=index) from None
    if size > TEXT_BYTES_MAX:
        raise TextTooLong(index=index, bytes=size, limit=TEXT_BYTES_MAX)
    if not text.strip():
        raise NoText(index=index)
    return size
