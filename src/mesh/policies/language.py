"""The language of a policy file: YAML or JSON in, checked grants and tests out. Nothing is guessed and nothing is run.

YAML is read as events, with everything that makes it dangerous left out: no tags, anchors or aliases, one document, few
levels. Scalars stay text until the field they belong to says what they are, so that ``no`` is never false by itself.

Touches: nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from mesh.errors import MeshError
from mesh.networks.names import hides
from mesh.policies.times import DAYS, Hours, hours_of, moment_of
from mesh.protocol.values import Grant, Phones, Policy, Role, Sensitivity

TEXT_BYTES_MAX = 64 * 1024
"""A thousand lines of rules and tests: nobody reads more."""
DEPTH_MAX = 4
"""The file, a list, a grant, a list of words."""
NODES_MAX = 10_000
GRANTS_MAX = 64
CASES_MAX = 200
WORDS_MAX = 64
"""Words in one list of a grant."""
SIGNED_BYTES_MAX = 6 * 1024
"""What the grants may take in the signed State: it travels in every session's first word, of 16 KiB."""
LABEL_LENGTH_MAX = 80
WORD_LENGTH_MAX = 63
TIER_MAX = 4

PhoneState = Literal["no", "charging", "yes"]


class BadPolicy(MeshError):
    """The policy cannot be read. Correct the line that the message names."""

    code = "policy.invalid"
    kind = "invalid"


class UnknownName(MeshError):
    """The policy names somebody or something that is not in this network. Correct the name, or use the id."""

    code = "policy.unknown_name"
    kind = "invalid"


class PolicyTooLarge(MeshError):
    """The policy is too large: 64 KiB of text, 64 grants, 200 tests. Say it in fewer grants; roles and tags help."""

    code = "policy.too_large"
    kind = "too_large"


Words = str | tuple[str, ...]


class _Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A grant as people write it: each field a word or a list of words; what is not named is not restricted."""

    name: str = ""
    role: Role | tuple[Role, ...] = ()
    member: Words = ()
    workload: Words = ()
    model: Words = ()
    sensitivity: Sensitivity | tuple[Sensitivity, ...] = ()
    device: Words = ()
    tag: Words = ()
    owner: Words = ()
    owner_role: Role | tuple[Role, ...] = ()
    tier: int = 0
    named: bool = False
    phones: Phones = "any"
    hours: Words = ()
    days: Words = ()


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A test inside the file: a request, and whether it must be allowed.

    ``member`` and ``device`` stand for what they are in the network now (role; owner, tags, tier, phone); what is
    written beside them counts instead. ``at``: a weekday and a time, in UTC.
    """

    name: str
    expect: Literal["allow", "deny"]
    role: Role | None = None
    member: str = ""
    workload: str = "embeddings"
    model: str = ""
    sensitivity: Sensitivity = "private"
    device: str = ""
    tag: Words = ()
    owner: str = ""
    owner_role: Role | None = None
    tier: int | None = None
    phone: PhoneState | None = None
    named: bool = False
    at: str = "mon 12:00"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int = 1
    grants: tuple[_Grant, ...] = ()
    tests: tuple[Case, ...] = ()


class Names(NamedTuple):
    """Who and what there is: name → ids, for members and for devices."""

    members: Mapping[str, Sequence[str]]
    devices: Mapping[str, Sequence[str]]


class Parsed(NamedTuple):
    """A file that was read. ``lines``: where each grant and each test begins, from 1; 0 where nobody knows."""

    policy: Policy
    cases: tuple[Case, ...]
    grant_lines: tuple[int, ...]
    case_lines: tuple[int, ...]


def parse(text: str, names: Names) -> Parsed:
    """Read a policy. Raises BadPolicy, UnknownName, PolicyTooLarge."""
    if len(text.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
        raise PolicyTooLarge
    tree, lines = (_json(text), {}) if text.lstrip()[:1] == "{" else _yaml(text)
    for number, line in enumerate(text.splitlines(), 1):
        if hides(line.replace("\t", " ")):
            raise BadPolicy(f"Line {number}: it has characters that nobody sees, or that reorder others. Remove them.")
    try:
        file = msgspec.convert(tree, _File, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadPolicy(f"{_where(str(error), lines)} Correct it; docs/policy.md lists every field.") from error
    if file.version != 1:
        raise BadPolicy("This version of Mesh reads policies of version 1.")
    if len(file.grants) > GRANTS_MAX or len(file.tests) > CASES_MAX:
        raise PolicyTooLarge
    grants = tuple(_grant(one, number, names, lines) for number, one in enumerate(file.grants))
    cases = tuple(_case(one, number, names, lines) for number, one in enumerate(file.tests))
    policy = Policy(grants)
    if len(msgspec.json.encode(policy)) > SIGNED_BYTES_MAX:
        raise PolicyTooLarge(f"The grants take more than {SIGNED_BYTES_MAX} bytes. Roles and tags say it shorter.")
    return Parsed(
        policy,
        cases,
        tuple(lines.get(("grants", number), 0) for number in range(len(grants))),
        tuple(lines.get(("tests", number), 0) for number in range(len(cases))),
    )


# --- text to a tree -------------------------------------------------------------------------------------------------

Lines = dict[tuple[str, int], int]


def _json(text: str) -> Any:
    depth = deepest = 0
    inside = escaped = False
    for letter in text:
        if inside:
            inside, escaped = letter != '"' or escaped, letter == "\\" and not escaped
        elif letter == '"':
            inside = True
        else:
            depth += (letter in "{[") - (letter in "}]")
            deepest = max(deepest, depth)
    if deepest > DEPTH_MAX:
        raise BadPolicy("The policy is nested too deeply.")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadPolicy(f"The policy is no JSON: {error}.") from error


def _yaml(text: str) -> tuple[Any, Lines]:
    import yaml

    try:
        events = _sound(yaml.parse(text, yaml.SafeLoader))
        lines: Lines = {}
        tree = _node(next(events), events, (), lines)
        if next(events, None) is not None:
            raise BadPolicy("A policy is a single YAML document.")
        return tree, lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"Line {mark.line + 1}: "
        raise BadPolicy(f"{where}this is no YAML: {getattr(error, 'problem', None) or 'it cannot be read'}.") from error
    except StopIteration:
        return {}, {}  # an empty file: everything is denied
    except (RecursionError, UnicodeError) as error:
        raise BadPolicy("The policy is no YAML.") from error


def _sound(events: Iterator[Any]) -> Iterator[Any]:
    """Only what a plain document has; each is checked before the next one is read."""
    import yaml

    depth = 0
    for number, event in enumerate(events):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise BadPolicy(f"Line {line}: anchors and aliases are not allowed. Write it out.")
        if getattr(event, "tag", None):
            raise BadPolicy(f"Line {line}: tags are not allowed.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX or number > NODES_MAX:
            raise BadPolicy(f"Line {line}: the policy is nested too deeply or is too long.")
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _node(event: Any, events: Iterator[Any], path: tuple[Any, ...], lines: Lines) -> Any:
    """Build a tree of texts. ``_sound`` has bounded its depth."""
    import yaml

    if len(path) == 2 and isinstance(path[1], int):
        lines[path[0], path[1]] = event.start_mark.line + 1
    if isinstance(event, yaml.ScalarEvent):
        return event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[Any] = []
        while not isinstance(inner := next(events), yaml.SequenceEndEvent):
            items.append(_node(inner, events, (*path, len(items)), lines))
        return items
    found: dict[str, Any] = {}
    while not isinstance(inner := next(events), yaml.MappingEndEvent):
        key = _node(inner, events, (*path, ""), lines)
        if not isinstance(key, str) or key in found:
            raise BadPolicy(
                f"Line {inner.start_mark.line + 1}: the field {str(key)[:63]} is there twice, or is no word."
            )
        found[key] = _node(next(events), events, (*path, key), lines)
    return found


_PLACE = re.compile(r"`\$\.(grants|tests)\[(?:\.\.\.|(\d+))?\]?(.*)`|`\$(.*)`")


def _where(message: str, lines: Lines) -> str:
    """A complaint of the converter in the words of the file."""
    what, _, at = message.partition(" - at ")
    place = at.strip("`").removeprefix("$").removeprefix(".").replace("[...]", "")
    return f"{place or 'The policy'}: {what[:1].lower()}{what[1:]}."


# --- a tree to rules ------------------------------------------------------------------------------------------------


def _grant(one: _Grant, number: int, names: Names, lines: Lines) -> Grant:
    line = lines.get(("grants", number), 0)
    label = _label(one.name or f"grant {number + 1}", line)
    if not 0 <= one.tier <= TIER_MAX:
        raise BadPolicy(_at(line, f"{label}: a tier is 0 to {TIER_MAX}."))
    for days in _words(one.days):
        if days not in DAYS:
            raise BadPolicy(_at(line, f"{label}: a day is one of {', '.join(DAYS)}."))
    return Grant(
        name=label,
        roles=_words(one.role),  # type: ignore[arg-type]
        members=_ids(_words(one.member), names.members, "member", line),
        workloads=_short(_words(one.workload), line),
        models=_short(_words(one.model), line),
        sensitivities=_words(one.sensitivity),  # type: ignore[arg-type]
        devices=_ids(_words(one.device), names.devices, "device", line),
        tags=_short(_words(one.tag), line),
        owners=_ids(_words(one.owner), names.members, "member", line),
        owner_roles=_words(one.owner_role),  # type: ignore[arg-type]
        tier_min=one.tier,
        named=one.named,
        phones=one.phones,
        hours=tuple(_hours(text, line) for text in _words(one.hours)),
        days=_words(one.days),
    )


def _case(one: Case, number: int, names: Names, lines: Lines) -> Case:
    line = lines.get(("tests", number), 0)
    _label(one.name, line)
    if one.tier is not None and not 0 <= one.tier <= TIER_MAX:
        raise BadPolicy(_at(line, f"{one.name}: a tier is 0 to {TIER_MAX}."))
    if moment_of(one.at) is None:
        raise BadPolicy(_at(line, f"{one.name}: a moment is a day and a time, for example mon 22:30."))
    [member, owner] = [_ids((who,), names.members, "member", line)[0] if who else "" for who in (one.member, one.owner)]
    device = _ids((one.device,), names.devices, "device", line)[0] if one.device else ""
    return msgspec.structs.replace(one, member=member, owner=owner, device=device)


def _hours(text: str, line: int) -> Hours:
    found = hours_of(text)
    if found is None:
        raise BadPolicy(_at(line, f"hours are written 22:00-08:00, in UTC, not {text[:40]}."))
    return found


def _words(words: Words) -> tuple[str, ...]:
    listed = (words,) if isinstance(words, str) else words
    if len(listed) > WORDS_MAX:
        raise PolicyTooLarge(f"A list in a grant has up to {WORDS_MAX} words.")
    return tuple(dict.fromkeys(listed))


def _short(words: tuple[str, ...], line: int) -> tuple[str, ...]:
    for word in words:
        if not 0 < len(word) <= WORD_LENGTH_MAX or not word.isprintable():
            raise BadPolicy(_at(line, f"a word has 1 to {WORD_LENGTH_MAX} printable characters."))
    return words


def _ids(words: tuple[str, ...], known: Mapping[str, Sequence[str]], kind: str, line: int) -> tuple[str, ...]:
    ids = {one for many in known.values() for one in many}
    found = []
    for word in words:
        meant = (word,) if word in ids else tuple(known.get(word, ()))
        if len(meant) != 1:
            why = "is not in this network" if not meant else "is the name of several: use the id"
            raise UnknownName(_at(line, f"the {kind} {word[:63]} {why}."), name=word[:63])
        found.append(meant[0])
    return tuple(found)


def _label(label: str, line: int) -> str:
    if not 0 < len(label) <= LABEL_LENGTH_MAX or not label.isprintable():
        raise BadPolicy(_at(line, f"a name has 1 to {LABEL_LENGTH_MAX} printable characters."))
    return label


def _at(line: int, words: str) -> str:
    return f"Line {line}: {words}" if line else f"{words[:1].upper()}{words[1:]}"
