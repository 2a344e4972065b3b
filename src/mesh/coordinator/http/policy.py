"""A network's policy: read it and its versions, try a draft, save it, ask what it says of one request.

Touches: database (through the desk), threads (trying a draft).
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mesh.coordinator.acts import policy as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.policy import Draft, NoSuchVersion
from mesh.coordinator.http.access import caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.store import networks
from mesh.coordinator.store import policies as kept
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.policies.cases import CHANGES_MAX, Change, Tried, World, changes, question, tried
from mesh.policies.decide import Place, decide
from mesh.policies.default import DEFAULT_TEXT
from mesh.policies.language import Case, Names, Parsed, UnknownName, parse
from mesh.policies.stored import policy_of
from mesh.policies.times import minute_of_week, moment_of, moment_text
from mesh.policies.words import sentence
from mesh.protocol.values import Role, Sensitivity
from mesh.sdk import policies as answers

router = APIRouter()
VERSION_MAX = 2**31 - 1
"""Nobody saves as often; a database has no room for larger numbers there."""


class TestsFail(MeshError):
    """A test inside the policy fails, so it was not saved. Correct the grants, or the test."""

    code = "policy.tests_fail"
    kind = "invalid"


class BadMoment(MeshError):
    """A moment is a day and a time in UTC, for example mon 22:30."""

    code = "policy.bad_moment"
    kind = "invalid"


class DraftBody(BaseModel):
    """A policy to be saved: its text, the version it was made from, and why."""

    model_config = ConfigDict(extra="forbid")
    text: str
    base_version: int = Field(ge=0, le=VERSION_MAX)
    note: str = ""


class TryBody(BaseModel):
    """A policy to be tried; without a text, the one that holds."""

    model_config = ConfigDict(extra="forbid")
    text: str | None = None


class WhyQuery(BaseModel):
    """A request that might be made: whose, what, with which data, where, when."""

    model_config = ConfigDict(extra="forbid")
    member: str | None = None
    workload: str = "embeddings"
    model: str = ""
    sensitivity: Sensitivity = "private"
    device: str | None = None
    named: bool = False
    at: str | None = None


@router.get("/v1/networks/{network}/policy", dependencies=[needs("network.read")])
async def read(
    network: str, request: Request, version: Annotated[int | None, Query(ge=0, le=VERSION_MAX)] = None
) -> Response:
    """The policy that holds, or an earlier version."""
    now = policy_of(desk_of(request).parts.snapshot.networks[NetworkId(network)].settings).version
    wanted = now if version is None else version
    if wanted == 0:
        return answer(answers.PolicyText(0, DEFAULT_TEXT, current=now == 0))
    found = await desk_of(request).parts.database.read(kept.get, NetworkId(network), wanted)
    if found is None:
        raise NoSuchVersion
    about = (found.version, found.text, found.note, found.by, found.name, found.at_ms)
    return answer(answers.PolicyText(*about, current=found.version == now))


@router.get("/v1/networks/{network}/policy/versions", dependencies=[needs("network.read")])
async def versions(network: str, request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """Its versions, newest first, without their texts."""
    found = await desk_of(request).parts.database.read(kept.versions, NetworkId(network))
    lines = [answers.PolicyVersion(one.version, one.note, one.by, one.name, one.at_ms) for one in found]
    return answer(answers.PolicyVersions(*page(lines, lambda one: str(one.version), limit=limit, cursor=cursor)))


@router.put("/v1/networks/{network}/policy", dependencies=[needs("network.change")])
async def save(network: str, body: DraftBody, request: Request) -> Response:
    """Save a policy: refused while a test in it fails, or when somebody saved another one meanwhile."""
    desk, caller, meant = desk_of(request), caller_of(request), NetworkId(network)
    parsed, world, _ = await _parsed(request, meant, body.text)
    failing = [one for one in tried(parsed.policy, parsed.cases, world) if not one.passed]
    if failing:
        shown = [msgspec.to_builtins(_shown(one, parsed)) for one in failing]
        raise TestsFail(f"{_failure(shown[0])} It was not saved.", tests=shown)
    draft = Draft(body.text, parsed.policy, body.base_version, body.note)

    def act(store: Store, moment: Moment) -> tuple[answers.PolicySaved, Network]:
        saved = acts.save(store, meant, draft, by=caller.member, moment=moment)
        return answers.PolicySaved(policy_of(saved.settings).version), saved

    response, saved = await desk.act(request, act)
    if saved is not None:
        await desk.news.network_changed(saved)
    return response


@router.post("/v1/networks/{network}/policy/try", dependencies=[needs("network.change")])
async def try_out(network: str, body: TryBody, request: Request) -> Response:
    """Run a draft's tests, and say who could run what that cannot now; nothing is saved."""
    meant = NetworkId(network)
    text = body.text
    if text is None:
        version = policy_of(desk_of(request).parts.snapshot.networks[meant].settings).version
        saved = await desk_of(request).parts.database.read(kept.get, meant, version)
        text = DEFAULT_TEXT if saved is None else saved.text
    parsed, world, called = await _parsed(request, meant, text)
    before = desk_of(request).parts.snapshot.policy(meant)
    found, more = await asyncio.to_thread(changes, before, parsed.policy, world)
    tests = [_shown(one, parsed) for one in tried(parsed.policy, parsed.cases, world)]
    words = [sentence(grant, called) for grant in parsed.policy.grants]
    lines = [_changed(one) for one in found[:CHANGES_MAX]]
    return answer(answers.PolicyTried(tuple(tests), tuple(lines), tuple(words), more))


@router.get("/v1/networks/{network}/policy/why", dependencies=[needs("network.read")])
async def why(network: str, request: Request, query: Annotated[WhyQuery, Query()]) -> Response:
    """What the policy says of a request, on one device or on each. Who asks for nobody asks for themselves."""
    parts, caller, meant = desk_of(request).parts, caller_of(request), NetworkId(network)
    if query.at is not None and moment_of(query.at) is None:
        raise BadMoment
    world, names, _ = await _world(request, meant)
    who = _one(names.members, query.member, "member") if query.member else str(caller.member)
    at = query.at or moment_text(minute_of_week(parts.now_ms()))
    policy = parts.snapshot.policy(meant)
    lines = []
    for device in [_one(names.devices, query.device, "device")] if query.device else list(world.places):
        case = Case(
            "", "allow", member=who, workload=query.workload, model=query.model, sensitivity=query.sensitivity,
            device=device, named=query.named, at=at,
        )  # fmt: skip
        decision = decide(policy, *question(case, world))
        lines.append(answers.PolicyDecision(DeviceId(device), decision.allowed, decision.rule, decision.reason))
    return answer(answers.PolicyWhy(MemberId(who), tuple(lines)))


# --- what there is ----------------------------------------------------------------------------------------------------


async def _parsed(request: Request, network: NetworkId, text: str) -> tuple[Parsed, World, dict[str, str]]:
    world, names, called = await _world(request, network)
    return await asyncio.to_thread(parse, text, names), world, called


async def _world(request: Request, network: NetworkId) -> tuple[World, Names, dict[str, str]]:
    """The network as the policy sees it: members, devices, offers; names to ids and back."""
    parts = desk_of(request).parts
    people = await parts.database.read(networks.people, network)
    members: dict[str, list[str]] = defaultdict(list)
    machines: dict[str, list[str]] = defaultdict(list)
    called: dict[str, str] = {}
    roles: dict[MemberId, Role] = {}
    for person in people:
        members[person.name].append(person.member)
        called[person.member], roles[person.member] = person.name, person.role
    places: dict[DeviceId, Place] = {}
    offers: set[tuple[str, str]] = set()
    for seen in parts.snapshot.devices(network):
        kept, capability = seen.kept, seen.capability
        machines[kept.name].append(kept.id)
        called[kept.id] = kept.name
        offers |= {(offer.workload, offer.model) for offer in capability.offers}
        places[kept.id] = Place(
            kept.id, kept.owner, roles.get(kept.owner, "guest"), kept.tags, capability.tier,
            phone=capability.phone, charging=seen.condition.plugged_in is True,
        )  # fmt: skip
    return World(roles, places, sorted(offers) or [("embeddings", "")]), Names(members, machines), called


def _one(known: Mapping[str, Sequence[str]], word: str, kind: str) -> str:
    """An id, or the one id of a name. Raises UnknownName."""
    meant = [word] if any(word in many for many in known.values()) else list(known.get(word, ()))
    if len(meant) != 1:
        raise UnknownName(f"The {kind} {word[:63]} is not in this network, or several have that name.", name=word[:63])
    return meant[0]


def _shown(one: Tried, parsed: Parsed) -> answers.PolicyTest:
    number = parsed.cases.index(one.case)
    rule = next((at for at, grant in enumerate(parsed.policy.grants) if grant.name == one.decision.rule), None)
    return answers.PolicyTest(
        one.case.name,
        one.case.expect,
        one.passed,
        one.decision.reason,
        parsed.case_lines[number],
        0 if rule is None else parsed.grant_lines[rule],
    )


def _failure(test: dict[str, object]) -> str:
    """A failing test as a sentence."""
    got = "allows" if test["expect"] == "deny" else "denies"
    where = f"Line {test['grant_line']} {got}" if test.get("grant_line") else f"The policy {got}"
    return f'{where} what test "{test["name"]}" says {_must(str(test["expect"]))} ({test["reason"]}).'


def _must(expect: str) -> Literal["must be allowed", "must be denied"]:
    return "must be allowed" if expect == "allow" else "must be denied"


def _changed(change: Change) -> answers.PolicyChange:
    return answers.PolicyChange(
        change.member, change.workload, change.model, change.sensitivity, change.device, change.named, change.allowed,
        change.always,
    )  # fmt: skip
