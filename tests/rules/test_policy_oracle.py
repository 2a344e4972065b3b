"""An independent reading of policy files decides the same as Mesh, on 10,000 random files and requests.

The oracle reads the file as it was written (words, names, clock times) and shares no code with the rules.
"""

import json
import random
from typing import Any

import pytest

from mesh.ids import DeviceId, MemberId
from mesh.policies.decide import Asked, Place, Rules, decide
from mesh.policies.language import Names, parse

MEMBERS = {"Ann": "01ANN", "Ben": "01BEN", "Cleo": "01CLEO"}
DEVICES = {"attic": "01ATTIC", "desk": "01DESK", "phone": "01PHONE"}
NAMES = Names({name: [one] for name, one in MEMBERS.items()}, {name: [one] for name, one in DEVICES.items()})
ROLES = ("admin", "member", "guest")
DATA = ("public", "private", "sensitive")
WORK = ("embeddings", "chat", "ocr")
MODELS = ("small", "large")
TAGS = ("blue", "red", "fast")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
REQUESTS_EACH = 10


def some(draw: random.Random, words: tuple[str, ...]) -> Any:
    """Nothing, a word, or a list of words."""
    picked = draw.sample(words, draw.randint(1, len(words)))
    return draw.choice((picked, picked[0]))


def a_clock(draw: random.Random) -> str:
    return f"{draw.randrange(24):02}:{draw.choice((0, 15, 59)):02}"


def a_grant(draw: random.Random) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "role": some(draw, ROLES),
        "member": some(draw, (*MEMBERS, "01BEN")),
        "workload": some(draw, WORK),
        "model": some(draw, MODELS),
        "sensitivity": some(draw, DATA),
        "device": some(draw, (*DEVICES, "01DESK")),
        "tag": some(draw, TAGS),
        "owner": some(draw, tuple(MEMBERS)),
        "owner_role": some(draw, ROLES),
        "tier": draw.randint(0, 4),
        "named": draw.random() < 0.5,
        "phones": draw.choice(("any", "charging", "never")),
        "hours": [f"{a_clock(draw)}-{a_clock(draw)}" for _ in range(draw.randint(1, 2))],
        "days": some(draw, DAYS),
    }
    kept = draw.sample(sorted(fields), draw.choice((0, 1, 1, 2, 2, 3, 4)))
    return {name: fields[name] for name in kept}


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def in_hours(spans: list[str], days: list[str], day: int, clock: str) -> bool:
    for span in spans:
        begin, end = span.split("-")
        tonight = clock >= begin and (clock < end or end <= begin)
        since_yesterday = end <= begin and clock < end
        if tonight and (not days or DAYS[day] in days):
            return True
        if since_yesterday and not tonight and (not days or DAYS[day - 1] in days):
            return True
    return False


def granted(grant: dict[str, Any], asked: dict[str, Any]) -> bool:
    for field in ("role", "workload", "model", "sensitivity", "owner_role"):
        if field in grant and asked[field] not in listed(grant[field]):
            return False
    for field, ids in (("member", MEMBERS), ("owner", MEMBERS), ("device", DEVICES)):
        if field in grant and asked[field] not in [ids.get(word, word) for word in listed(grant[field])]:
            return False
    if "tag" in grant and not set(listed(grant["tag"])) & set(asked["tags"]):
        return False
    if asked["tier"] < grant.get("tier", 0) or (grant.get("named") and not asked["named"]):
        return False
    phones = grant.get("phones", "any")
    if asked["phone"] and (phones == "never" or (phones == "charging" and not asked["charging"])):
        return False
    days = listed(grant.get("days", []))
    if "hours" in grant:
        return in_hours(listed(grant["hours"]), days, asked["day"], asked["clock"])
    return not days or DAYS[asked["day"]] in days


def oracle(grants: list[dict[str, Any]], asked: dict[str, Any]) -> bool:
    if asked["member"] == asked["owner"]:
        return not (asked["sensitivity"] == "sensitive" and asked["phone"] and not asked["named"])
    if asked["sensitivity"] == "sensitive" and asked["owner_role"] != "admin":
        return False
    return any(granted(grant, asked) for grant in grants)


def a_request(draw: random.Random) -> dict[str, Any]:
    return {
        "member": draw.choice(list(MEMBERS.values())),
        "role": draw.choice(ROLES),
        "workload": draw.choice(WORK),
        "model": draw.choice(MODELS),
        "sensitivity": draw.choice(DATA),
        "device": draw.choice(list(DEVICES.values())),
        "owner": draw.choice(list(MEMBERS.values())),
        "owner_role": draw.choice(ROLES),
        "tags": tuple(draw.sample(TAGS, draw.randint(0, 2))),
        "tier": draw.randint(0, 4),
        "phone": draw.random() < 0.4,
        "charging": draw.random() < 0.5,
        "named": draw.random() < 0.5,
        "day": draw.randrange(7),
        "clock": a_clock(draw),
    }


def as_facts(asked: dict[str, Any]) -> tuple[Asked, Place]:
    hour, minute = asked["clock"].split(":")
    at = asked["day"] * 1440 + int(hour) * 60 + int(minute)
    work = (asked["workload"], asked["model"], asked["sensitivity"], at)
    place = Place(
        DeviceId(asked["device"]), MemberId(asked["owner"]), asked["owner_role"], asked["tags"], asked["tier"],
        phone=asked["phone"], charging=asked["charging"], named=asked["named"],
    )  # fmt: skip
    return Asked(MemberId(asked["member"]), asked["role"], *work), place


@pytest.mark.parametrize("seed", range(10))
def test_the_rules_decide_as_the_file_says(seed: int) -> None:
    draw = random.Random(seed)
    allowed = 0
    for _ in range(100):
        grants = [a_grant(draw) for _ in range(draw.randint(0, 5))]
        policy = parse(json.dumps({"version": 1, "grants": grants}), NAMES).policy
        for _ in range(REQUESTS_EACH):
            request = a_request(draw)
            asked, place = as_facts(request)
            decision = decide(policy, asked, place)
            assert decision.allowed == oracle(grants, request), (grants, request, decision)
            assert decision.rule and decision.reason
            allowed += decision.allowed
    assert 200 < allowed < 800, "the draw tries both answers"


def test_devices_of_one_kind_are_decided_alike_and_for_the_same_reason() -> None:
    """Placement asks once for each kind of device."""
    draw = random.Random(77)
    alike = 0
    for _ in range(300):
        policy = parse(json.dumps({"grants": [a_grant(draw) for _ in range(draw.randint(1, 2))]}), NAMES).policy
        asked, _ = as_facts(a_request(draw))
        rules, known = Rules(policy, asked), {}
        for _ in range(40):
            _, place = as_facts(a_request(draw))
            own = place.owner == asked.member
            looked_at = None if own else rules.kind(place.device, place.owner, place.tags, place.tier)
            kind = (own, place.owner_role, place.phone, place.charging, place.named, looked_at)
            alike += kind in known
            assert known.setdefault(kind, rules.decide(place)) == rules.decide(place)
    assert alike > 1000
