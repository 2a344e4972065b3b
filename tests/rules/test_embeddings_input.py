"""What may be embedded, how it is counted, and which results are believed."""

import struct

import pytest

from mesh.workloads.contract import BadInput, Payload
from mesh.workloads.embeddings import (
    INPUT_BYTES_MAX,
    TEXT_BYTES_MAX,
    TEXTS_MAX,
    BadResult,
    Embeddings,
    InputTooLarge,
    NoText,
    NotUtf8,
    TextTooLong,
    TooManyTexts,
    payload_of,
    vectors_of,
)

EMBEDDINGS = Embeddings()


def a_result(*rows: tuple[float, ...], **changes: object) -> Payload:
    manifest = {"model": "m", "dim": len(rows[0]), "count": len(rows), "tokens": 5, **changes}
    return Payload(manifest, (struct.pack(f"<{len(rows) * len(rows[0])}f", *(x for row in rows for x in row)),))


def test_ordinary_texts_pass_in_any_script():
    EMBEDDINGS.check(payload_of(["one", "zwei Wörter", "三つの言葉", "🦊", " padded "]))


@pytest.mark.parametrize("texts", [[], [""], ["fine", "  \n\t "]])
def test_nothing_to_embed_is_refused(texts):
    with pytest.raises(NoText) as refused:
        EMBEDDINGS.check(payload_of(texts))
    assert refused.value.wire_code == "input.empty"


@pytest.mark.parametrize(
    "manifest", [{}, {"texts": "one text"}, {"texts": {"0": "a"}}, {"texts": ["a", 7]}, {"texts": [None]}]
)
def test_what_is_no_list_of_strings_is_refused(manifest):
    with pytest.raises(BadInput) as refused:
        EMBEDDINGS.check(Payload(manifest))
    assert refused.value.wire_code == "input.invalid"


def test_blobs_are_refused():
    with pytest.raises(BadInput):
        EMBEDDINGS.check(Payload({"texts": ["a"]}, (b"x",)))


def test_a_text_that_has_no_utf8_form_is_refused_by_its_place_alone():
    with pytest.raises(NotUtf8) as refused:
        EMBEDDINGS.check(payload_of(["fine", "secret \ud800 word"]))
    assert refused.value.facts == {"index": 1}
    assert "secret" not in str(refused.value.wire())


@pytest.mark.parametrize("text", ["x" * (TEXT_BYTES_MAX + 1), "ж" * (TEXT_BYTES_MAX // 2 + 1)])
def test_a_text_too_long_in_bytes_is_refused_before_it_is_tokenised(text):
    with pytest.raises(TextTooLong) as refused:
        EMBEDDINGS.check(payload_of(["fine", text]))
    assert refused.value.wire_code == "input.text_too_long"
    assert refused.value.facts["index"] == 1
    assert refused.value.facts["limit"] == TEXT_BYTES_MAX


def test_as_many_texts_as_the_limit_pass_and_one_more_does_not():
    EMBEDDINGS.check(payload_of(["a"] * TEXTS_MAX))
    with pytest.raises(TooManyTexts) as refused:
        EMBEDDINGS.check(payload_of(["a"] * (TEXTS_MAX + 1)))
    assert refused.value.facts == {"texts": TEXTS_MAX + 1, "limit": TEXTS_MAX}


def test_the_bytes_of_all_texts_together_are_limited():
    text = "a" * TEXT_BYTES_MAX
    most = INPUT_BYTES_MAX // TEXT_BYTES_MAX
    EMBEDDINGS.check(payload_of([text] * most))
    with pytest.raises(InputTooLarge):
        EMBEDDINGS.check(payload_of([*[text] * most, "a"]))


def test_units_are_utf8_bytes():
    assert EMBEDDINGS.count(payload_of(["abc", "äö", "🦊"]), None) == 3 + 4 + 4


def test_a_result_that_fits_is_read_row_by_row():
    payload, result = payload_of(["a", "b"]), a_result((1.0, 0.0), (0.5, -0.5))
    EMBEDDINGS.check_result(payload, result)
    assert vectors_of(result) == [[1.0, 0.0], [0.5, -0.5]]


@pytest.mark.parametrize(
    "result",
    [
        a_result((1.0, 0.0)),
        a_result((1.0,), (0.0,), count=3),
        a_result((1.0,), (0.0,), dim=0),
        a_result((1.0,), (0.0,), dim=True),
        a_result((1.0,), (0.0,), dim=2),
        a_result((1.0,), (0.0,), tokens="5"),
        a_result((1.0,), (0.0,), model=None),
        a_result((1.0,), (float("nan"),)),
        a_result((float("inf"),), (float("-inf"),)),
        Payload({"model": "m", "dim": 1, "count": 2, "tokens": 5}),
        Payload({}),
    ],
)
def test_a_result_that_does_not_fit_the_input_is_refused(result):
    with pytest.raises(BadResult):
        EMBEDDINGS.check_result(payload_of(["a", "b"]), result)


def test_the_rehearsal_is_input_like_any_other():
    payload = EMBEDDINGS.rehearsal(32)
    EMBEDDINGS.check(payload)
    assert 80 * 32 <= EMBEDDINGS.count(payload, None) <= 110 * 32


def test_a_large_job_is_divided_in_order_by_its_bytes():
    texts = [f"{number:03}" for number in range(128)]
    parts = EMBEDDINGS.divide(payload_of(texts, cut=True), 16)
    assert [len(part.manifest["texts"]) for part in parts] == [32, 32, 32, 32]
    assert [text for part in parts for text in part.manifest["texts"]] == texts
    assert all(part.manifest["cut"] is True for part in parts)


def test_a_long_text_does_not_make_more_parts_than_were_wanted_and_none_is_empty():
    texts = ["x" * 10_000, *["y"] * 100, "z" * 9_000, *["y"] * 100]
    parts = EMBEDDINGS.divide(payload_of(texts), 3)
    assert 1 < len(parts) <= 3
    assert all(part.manifest["texts"] for part in parts)
    assert [text for part in parts for text in part.manifest["texts"]] == texts


@pytest.mark.parametrize(("count", "parts"), [(1, 8), (63, 8), (1000, 1)])
def test_few_texts_or_one_device_leave_a_job_whole(count, parts):
    payload = payload_of(["text"] * count)
    assert EMBEDDINGS.divide(payload, parts) == [payload]


def test_results_of_parts_make_the_result_of_the_whole():
    whole = EMBEDDINGS.unite([a_result((1.0, 0.0), (0.0, 1.0)), a_result((0.5, 0.5))])
    assert whole == a_result((1.0, 0.0), (0.0, 1.0), (0.5, 0.5), tokens=10)
    EMBEDDINGS.check_result(payload_of(["a", "b", "c"]), whole)
    with pytest.raises(BadResult):
        EMBEDDINGS.unite([a_result((1.0, 0.0)), a_result((1.0,))])
