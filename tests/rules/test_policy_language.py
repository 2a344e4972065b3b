"""Policy files: what is read, what is refused with its line, and that nothing dangerous is even built."""

import json

import pytest

from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId
from mesh.policies.cases import World, changes, tried
from mesh.policies.decide import DEFAULT_POLICY, Place
from mesh.policies.default import DEFAULT_TEXT
from mesh.policies.language import Names, parse
from mesh.policies.times import hours_of, minute_of_week, moment_of, moment_text, within
from mesh.policies.words import sentence
from mesh.protocol.values import Grant

ANN, BEN, LEA = MemberId("01ANN"), MemberId("01BEN"), MemberId("01LEA")
DESK, BOX = DeviceId("01DESK"), DeviceId("01BOX")
NAMES = Names({"Ann": [ANN], "Ben": [BEN], "Lea": [LEA], "Twin": ["01T1", "01T2"]}, {"desk": [DESK], "box": [BOX]})
WORLD = World(
    {ANN: "admin", BEN: "member", LEA: "guest"},
    {DESK: Place(DESK, ANN, "admin", ("fast",), 2), BOX: Place(BOX, BEN, "member", (), 1)},
    [("embeddings", "small")],
)


def refused(text: str) -> MeshError:
    with pytest.raises(MeshError) as error:
        parse(text, NAMES)
    return error.value


def test_the_default_text_says_what_the_default_policy_is() -> None:
    parsed = parse(DEFAULT_TEXT, NAMES)
    assert parsed.policy == DEFAULT_POLICY
    assert all(one.passed for one in tried(parsed.policy, parsed.cases, WORLD))
    assert DEFAULT_TEXT.splitlines()[parsed.grant_lines[2] - 1].strip() == "- name: guests run public data"
    assert "guests stay public" in DEFAULT_TEXT.splitlines()[parsed.case_lines[1] - 1]


def test_json_and_yaml_say_the_same() -> None:
    grants = [{"name": "a", "role": ["member"], "tier": 2, "named": True, "hours": "22:00-08:00", "device": "desk"}]
    text = "grants:\n- name: a\n  role: [member]\n  tier: 2\n  named: true\n  hours: 22:00-08:00\n  device: desk\n"
    assert parse(json.dumps({"grants": grants}), NAMES).policy == parse(text, NAMES).policy
    assert parse(text, NAMES).policy.grants[0].devices == (DESK,)


@pytest.mark.parametrize("text", ["", "# nothing\n", "version: 1\n", "grants: []\n", "{}"])
def test_an_empty_policy_grants_nothing(text: str) -> None:
    assert parse(text, NAMES).policy.grants == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("grants:\n- rolle: member\n", "rolle"),
        ("grants:\n- role: owner\n", "grants"),
        ("grants:\n- tier: 7\n", "Line 2"),
        ("grants:\n- tier: many\n", "tier"),
        ("grants:\n- hours: 8-9\n", "Line 2: hours"),
        ("grants:\n- hours: 24:00-25:00\n", "hours"),
        ("grants:\n- days: monday\n", "Line 2"),
        ("grants:\n- name: ''\n  role: admin\n  role: guest\n", "twice"),
        ("grants:\n- name: \"a\\x07\"\n", "printable"),
        ("grants: {role: admin}\n", "grants"),
        ("- role: admin\n", "The policy"),
        ("version: 2\n", "version 1"),
        ("grants:\n- role: [admin\n", "Line"),
        ("a: b: c\n", "Line 1"),
        ("grants: &x []\ntests: *x\n", "anchors"),
        ("tests: *x\n", "anchors"),
        ("!!python/object/apply:os.system ['true']\n", "tags"),
        ("grants: !!set {a}\n", "tags"),
        ("grants: [[[[[[admin]]]]]]\n", "deeply"),
        ("{" + '"a":{' * 50 + "}" * 51, "deeply"),
        ("--- {}\n--- {}\n", "single"),
        ("{\"grants\": [}", "no JSON"),
        ("tests:\n- {name: x, expect: maybe}\n", "tests"),
        ("tests:\n- {name: x, expect: deny, at: noon}\n", "Line 2"),
        ("tests:\n- {expect: deny}\n", "name"),
        ("\x00", "YAML"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(text: str, says: str) -> None:
    error = refused(text)
    assert error.wire_code == "policy.invalid"
    assert says in error.message


@pytest.mark.parametrize(
    "text",
    [
        "#" * 70_000,
        "grants:\n" + "- role: admin\n" * 65,
        "grants:\n- tag: [" + ", ".join(f"t{number}" for number in range(65)) + "]\n",
        "tests:\n" + "- {name: x, expect: deny}\n" * 201,
        "grants:\n" + "".join(f"- name: {'x' * 80}\n  tag: [{', '.join('t' * 20 + str(n) for n in range(20))}]\n"
                              for _ in range(60)),
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused(text: str) -> None:
    assert refused(text).wire_code == "policy.too_large"


@pytest.mark.parametrize("text", ["[" * 60_000, "{" * 60_000, "- " * 30_000, "? " * 30_000, "a: " * 20_000])
def test_deep_files_end_at_once(text: str) -> None:
    assert refused(text).wire_code == "policy.invalid"


def test_a_billion_laughs_are_none() -> None:
    bomb = "a: &a [x,x,x]\n" + "".join(f"{b}: &{b} [*{a},*{a},*{a}]\n" for a, b in zip("abcdef", "bcdefg", strict=True))
    assert "anchors" in refused(bomb).message


@pytest.mark.parametrize("who", ["Nobody", "Twin", "01XX"])
def test_names_must_be_of_this_network(who: str) -> None:
    error = refused(f"grants:\n- role: admin\n- member: {who}\n")
    assert error.wire_code == "policy.unknown_name"
    assert who in error.message and "Line 3" in error.message


def test_no_is_a_word_and_true_is_a_truth() -> None:
    grant = parse("grants:\n- {name: no, tag: [no, yes, null], named: true}\n", NAMES).policy.grants[0]
    assert (grant.name, grant.tags, grant.named) == ("no", ("no", "yes", "null"), True)


def test_hours_over_midnight_belong_to_the_evening() -> None:
    night = hours_of("22:00-06:00")
    assert night is not None
    friday_night, saturday_early, saturday_night = (moment_of(text) for text in ("fri 23:00", "sat 05:59", "sat 22:00"))
    assert within(friday_night or 0, (night,), ("fri",)) and within(saturday_early or 0, (night,), ("fri",))
    assert not within(saturday_night or 0, (night,), ("fri",))
    assert not within(moment_of("fri 21:59") or 0, (night,), ("fri",))
    assert within(moment_of("fri 12:00") or 0, (hours_of("08:00-08:00") or (0, 0),), ())
    assert moment_text(minute_of_week(1_764_000_000_000)) == "mon 16:00"


def test_a_test_stands_for_who_and_what_the_network_knows() -> None:
    text = (
        "grants:\n- {name: fast, role: member, tag: fast, tier: 2}\n"
        "tests:\n"
        "- {name: Ben at the desk, member: Ben, device: desk, expect: allow}\n"
        "- {name: Lea is a guest, member: Lea, device: desk, expect: deny}\n"
        "- {name: what is written counts, member: Ben, device: desk, tier: 1, expect: allow}\n"
        "- {name: one's own, member: Ben, device: box, expect: allow}\n"
    )
    parsed = parse(text, NAMES)
    found = tried(parsed.policy, parsed.cases, WORLD)
    assert [one.passed for one in found] == [True, True, False, True]
    assert "needs tier 2" in found[2].decision.reason
    assert parsed.case_lines == (4, 5, 6, 7)


def test_what_would_change_names_who_what_and_where() -> None:
    draft = parse("grants:\n- {name: all, sensitivity: [public, private]}\n", NAMES).policy
    found, more = changes(DEFAULT_POLICY, draft, WORLD)
    gained = {(one.member, one.sensitivity, one.device) for one in found if one.allowed}
    lost = {(one.member, one.sensitivity, one.device, one.named) for one in found if not one.allowed}
    assert gained == {(LEA, "private", DESK), (LEA, "private", BOX)}
    assert lost == {(BEN, "sensitive", DESK, True)}
    assert not more
    assert changes(draft, draft, WORLD) == ([], False)


def test_a_change_that_holds_at_night_alone_says_so() -> None:
    draft = parse(DEFAULT_TEXT + "", NAMES).policy
    night = parse("grants:\n- {name: night, sensitivity: private, hours: 22:00-06:00}\n", NAMES).policy
    [one] = [one for one in changes(DEFAULT_POLICY, night, WORLD)[0] if one.member == LEA and one.allowed
             and one.device == DESK]  # fmt: skip
    assert (one.sensitivity, one.always) == ("private", False)
    assert changes(DEFAULT_POLICY, draft, WORLD) == ([], False)


def test_a_grant_reads_as_a_sentence() -> None:
    grant = Grant("x", roles=("guest",), sensitivities=("public",), owners=(ANN,), phones="charging", hours=((0, 90),))
    assert sentence(grant, {ANN: "Ann"}) == (
        "Guests may run everything on public data on any device of Ann, phones only on their charger "
        "from 00:00 to 01:30 (UTC)."
    )
