"""What a chat may be: every limit from both sides, hostile shapes, and counts that both sides agree on."""

import pytest

from mesh.workloads.chat import (
    BYTES_PER_TOKEN,
    INPUT_BYTES_MAX,
    MESSAGES_MAX,
    SCHEMA_DEPTH_MAX,
    STOPS_MAX,
    TOKENS_DEFAULT,
    TOKENS_MAX,
    BadChatResult,
    BadSetting,
    Chat,
    ChatInputTooLarge,
    NothingSaid,
    payload_of,
    prompt_payload,
)
from mesh.workloads.contract import BadInput, Payload

CHAT = Chat()


def nested(depth):
    schema = {"type": "object"}
    for _ in range(depth - 1):
        schema = {"properties": schema}
    return schema


def hello(**settings):
    return payload_of([("user", "hello")], **settings)


def answer(text="deep", **changes):
    manifest = {"model": "m", "text": text, "finish": "stop", "prompt_tokens": 3, "tokens": 2, "left_out": 0}
    return Payload({**manifest, **changes})


@pytest.mark.parametrize(
    "payload",
    [
        hello(),
        hello(max_tokens=1, temperature=0, top_p=1.0, seed=0, stop=["x"] * STOPS_MAX, json=True, trim=False),
        hello(max_tokens=TOKENS_MAX, temperature=2.0, json=nested(SCHEMA_DEPTH_MAX)),
        payload_of([("system", ""), ("assistant", "x"), ("user", "y")]),
        payload_of([("user", "x" * INPUT_BYTES_MAX)]),
        payload_of([("assistant", "")] * (MESSAGES_MAX - 1) + [("user", "x")]),
        prompt_payload("Once"),
        hello(so_far="It is de"),
        prompt_payload("Once", so_far=" upon"),
    ],
)
def test_what_is_within_the_limits_passes(payload):
    CHAT.check(payload)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (Payload({}), BadInput),
        (hello(so_far=""), BadSetting),
        (hello(so_far=7), BadSetting),
        (hello(so_far="{", json=True), BadSetting),
        (hello(so_far="x" * INPUT_BYTES_MAX), ChatInputTooLarge),
        (Payload({"messages": [], "prompt": "x"}), BadInput),
        (Payload({"messages": [{"role": "user", "content": "x"}], "tools": []}), BadInput),
        (Payload({"messages": [{"role": "user", "content": "x"}]}, (b"blob",)), BadInput),
        (Payload({"messages": "hello"}), BadInput),
        (Payload({"messages": [None]}), BadInput),
        (Payload({"messages": [{"role": "user", "content": "x", "name": "y"}]}), BadInput),
        (Payload({"messages": [{"role": "tool", "content": "x"}]}), BadInput),
        (Payload({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), BadInput),
        (payload_of([]), NothingSaid),
        (payload_of([("user", " \n")]), NothingSaid),
        (payload_of([("user", "x"), ("assistant", "y")]), NothingSaid),
        (prompt_payload(""), NothingSaid),
        (Payload({"prompt": 7}), BadInput),
        (payload_of([("user", "\ud800")]), BadInput),
        (payload_of([("user", "é" * (INPUT_BYTES_MAX // 2) + "x")]), ChatInputTooLarge),
        (payload_of([("user", "x")] * (MESSAGES_MAX + 1)), ChatInputTooLarge),
        (hello(max_tokens=0), BadSetting),
        (hello(max_tokens=TOKENS_MAX + 1), BadSetting),
        (hello(max_tokens=True), BadSetting),
        (hello(max_tokens=1.5), BadSetting),
        (hello(temperature=-0.1), BadSetting),
        (hello(temperature=float("nan")), BadSetting),
        (hello(top_p="1"), BadSetting),
        (hello(seed=2**32), BadSetting),
        (hello(stop="x"), BadSetting),
        (hello(stop=[""]), BadSetting),
        (hello(stop=["x"] * (STOPS_MAX + 1)), BadSetting),
        (hello(stop=["x" * 257]), BadSetting),
        (hello(json="yes"), BadSetting),
        (hello(json=nested(SCHEMA_DEPTH_MAX + 1)), BadSetting),
        (hello(json={"enum": ["x" * 200] * 100}), BadSetting),
        (hello(trim=1), BadSetting),
    ],
)
def test_what_breaks_one_is_refused(payload, error):
    with pytest.raises(error) as refused:
        CHAT.check(payload)
    assert "hello" not in refused.value.message


def test_bytes_in_and_out_are_counted_and_the_most_is_known_before():
    payload = payload_of([("system", "é"), ("user", "hello")], max_tokens=10)
    assert CHAT.count_input(payload) == 2 + 5
    assert CHAT.count(payload, None) == 7 + 10 * BYTES_PER_TOKEN
    assert CHAT.count(hello(), None) == 5 + TOKENS_DEFAULT * BYTES_PER_TOKEN
    result = answer("très")
    assert CHAT.count(payload, result) == 7 + 5
    streamed = CHAT.as_streamed(result)
    parts = [streamed[:2], streamed[2:]]
    assert CHAT.count_input(payload) + sum(CHAT.count_streamed(payload, part) for part in parts) == 12


@pytest.mark.parametrize(
    "result",
    [
        answer(text=None),
        answer(finish="done"),
        answer(tokens=-1),
        answer(tokens=True),
        answer(tokens=TOKENS_DEFAULT + 1),
        answer(prompt_tokens=None),
        answer(left_out="0"),
        answer(model=1),
        answer("\ud800"),
        answer("x" * (TOKENS_DEFAULT * 513)),
        Payload(answer().manifest, (b"blob",)),
    ],
)
def test_an_answer_that_is_none_is_not_accepted(result):
    with pytest.raises(BadChatResult):
        CHAT.check_result(hello(), result)
    CHAT.check_result(hello(), answer())


def test_a_line_of_a_batch_is_a_message_or_a_whole_chat():
    assert CHAT.from_line({"message": "hello", "max_tokens": 3}) == hello(max_tokens=3)
    assert CHAT.from_line(hello().manifest) == hello()
    with pytest.raises(BadInput):
        CHAT.from_line({"text": "hello"})
    assert CHAT.to_line(answer()) == {"text": "deep", "finish": "stop"}


def test_an_answer_that_goes_on_is_asked_for_and_counted_with_what_was_said():
    asked = hello(max_tokens=20, seed=4)
    rest = CHAT.go_on(asked, "It is déep, ")
    CHAT.check(rest)
    assert rest.manifest == {**asked.manifest, "so_far": "It is déep, ", "max_tokens": 16}
    assert CHAT.count_input(rest) == CHAT.count_input(asked) + len("It is déep, ".encode())
    again = CHAT.go_on(rest, "said one")
    assert again.manifest["so_far"] == "It is déep, said one"
    assert CHAT.go_on(asked, "x" * 1000).manifest["max_tokens"] == 1, (
        "however much was said, the end is told by a device"
    )
    assert CHAT.go_on(hello(json=True), "{") is None
    whole = CHAT.put_together("It is déep, ", answer("and cold.", tokens=3, prompt_tokens=9))
    assert whole.manifest["text"] == "It is déep, and cold."
    assert (whole.manifest["tokens"], whole.manifest["prompt_tokens"]) == (7, 5)


def test_the_time_of_a_chat_grows_with_what_is_written_more_than_with_what_is_read():
    long = payload_of([("user", "x" * 10_000)], max_tokens=10)
    assert CHAT.effort(long, None) == 4000 + 40
    assert CHAT.effort(hello(max_tokens=TOKENS_MAX), None) < 1000, "the most that may come is not what is expected"
    assert CHAT.effort(long, answer("deep")) == 4004
    assert CHAT.effort(hello(), answer("")) > 0
