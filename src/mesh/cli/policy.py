"""`mesh policy`: who may run what, on which devices, with which data; tried before it is saved.

Touches: files (the policy), stdin, files of the home, sockets (through the client).
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli import here
from mesh.cli.job import clock
from mesh.cli.output import Json, Out, foreign, table
from mesh.cli.run import NoSuchFile

if TYPE_CHECKING:
    from mesh.ids import NetworkId
    from mesh.sdk.client import Coordinator
    from mesh.sdk.policies import PolicyTried

CHANGES_SHOWN = 30
STDIN = "-"
TEXT_CHARACTERS_MAX = 65_537
"""One more than a policy may have: the coordinator says what is wrong with it."""
_VERSION = re.compile(r"# policy version (\d{1,9})\b")
"""The line by which a text remembers what it was made from."""

app = typer.Typer(help="Who may run what where: show, set, test, why, versions.", no_args_is_help=True)
File = Annotated[str, typer.Argument(metavar="FILE|-", help="The policy in YAML or JSON; - reads stdin.")]


@app.command()
def show(
    version: Annotated[int | None, typer.Option("--version", min=0, help="An earlier one; 0: the default.")] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """The policy that holds, as a file: change it, then `mesh policy set`."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        found = client.do(calls.policy(here.network_of(place, client, network), version))
    text = _VERSION.sub("", found.text, count=1).lstrip("\n") if _VERSION.match(found.text) else found.text
    if not text.lstrip().startswith("{"):
        text = f"# policy version {found.version}\n{text}"
    Out(json).result(found, lambda: print(_readable(text), end=""))


@app.command()
def versions(network: here.Network = None, json: Json = False) -> None:
    """Who saved which version, when and why."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        found = client.do(calls.policy_versions(here.network_of(place, client, network)))
    rows = [(str(one.version), clock(one.at_ms), one.name, one.note) for one in found.versions]
    empty = "None saved: the default holds. Next: mesh policy show > policy.yaml"
    Out(json).result(found, lambda: table(("#version", "when", "who", "why"), rows, empty=empty))


@app.command("set")
def set_(
    source: File,
    note: Annotated[str, typer.Option("--note", help="Why, for those who look at it later.")] = "",
    base: Annotated[
        int | None, typer.Option("--base", min=0, help="The version it was made from; else its first line tells.")
    ] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Save a policy (for admins): refused while a test in it fails, or when somebody saved another one meanwhile."""
    from mesh.sdk import calls

    text = read(source)
    remembered = _VERSION.match(text)
    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        made_from = base
        if made_from is None:
            made_from = int(remembered[1]) if remembered else client.do(calls.policy(meant)).version
        saved = client.do(calls.save_policy(meant, text, made_from, note))
    Out(json).result(saved, f"Saved as version {saved.version}. Every device learns it now.")


@app.command()
def test(
    source: Annotated[
        str | None, typer.Argument(metavar="[FILE|-]", help="A draft; without it, the policy that holds.")
    ] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Run the tests of a policy, and say who could run what that cannot now (for admins); nothing is saved."""
    from mesh.sdk import calls

    text = None if source is None else read(source)
    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = client.do(calls.try_policy(meant, text))
        names = {} if json else _names(client, meant)
    failed = [one for one in found.tests if not one.passed]
    value = {"passed": not failed, "tests": found.tests, "changes": found.changes, "words": found.words,
             "more": found.more}  # fmt: skip
    Out(json).result(value, lambda: _show_tried(found, names))
    if failed:
        raise typer.Exit(1)


@app.command()
def why(
    member: Annotated[str | None, typer.Option("--member", help="Who would ask; else you.")] = None,
    workload: Annotated[str, typer.Option("--workload", help="What would be run.")] = "embeddings",
    model: Annotated[str | None, typer.Option("--model", help="By which model.")] = None,
    sensitivity: Annotated[str, typer.Option("--sensitivity", help="public, private or sensitive.")] = "private",
    device: Annotated[str | None, typer.Option("--device", help="Where; else each device is asked about.")] = None,
    named: Annotated[bool, typer.Option("--named", help="The asker would name that very device.")] = False,
    at: Annotated[str | None, typer.Option("--at", help="When, in UTC, such as 'mon 22:30'; else now.")] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """What the policy says of a request: allowed by which grant, or what the nearest grant lacks."""
    from mesh.sdk import calls

    said = {"member": member, "workload": workload, "model": model, "sensitivity": sensitivity, "device": device,
            "named": "true" if named else None, "at": at}  # fmt: skip
    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = client.do(calls.policy_why(meant, {key: word for key, word in said.items() if word is not None}))
        names = {} if json else _names(client, meant)
    rows = [
        (names.get(one.device, one.device), "allowed" if one.allowed else "denied", one.reason)
        for one in found.decisions
    ]
    Out(json).result(found, lambda: table(("device", "", "why"), rows, empty="No devices yet."))


def read(source: str) -> str:
    """The text of a file, or of stdin. Raises NoSuchFile."""
    try:
        if source == STDIN:
            return sys.stdin.read(TEXT_CHARACTERS_MAX)
        with Path(source).open(encoding="utf-8") as file:
            return file.read(TEXT_CHARACTERS_MAX)
    except (OSError, UnicodeDecodeError) as error:
        raise NoSuchFile(f"{source} cannot be read as UTF-8 text. Check its name and your right to read it.") from error


def _names(client: "Coordinator", network: "NetworkId") -> dict[str, str]:
    from mesh.sdk import calls

    people = {str(one.member): one.name for one in client.do(calls.members(network)).members}
    return people | {str(one.device): one.name for one in client.do(calls.devices(network)).devices}


def _show_tried(found: "PolicyTried", names: dict[str, str]) -> None:
    for words in found.words:
        print(foreign(words))
    print(f"\n{sum(one.passed for one in found.tests)} of {len(found.tests)} tests pass.")
    for test in found.tests:
        if not test.passed:
            where = f"Line {test.line}: " if test.line else ""
            by = f" (line {test.grant_line})" if test.grant_line else ""
            print(foreign(f"  {where}{test.name} must be {_must(test.expect)}, and is not: {test.reason}{by}"))
    print("\nWhat would change" if found.changes else "\nNothing would change for anybody.")
    for change in found.changes[:CHANGES_SHOWN]:
        print(foreign(f"  {_changed(change, names)}"))
    if found.more or len(found.changes) > CHANGES_SHOWN:
        print("  and more: --json has up to 500, and some may not have been compared")


def _changed(change: Any, names: dict[str, str]) -> str:
    who, where = names.get(change.member, change.member), names.get(change.device, change.device)
    sign, could = ("+", "would now run") if change.allowed else ("-", "would no longer run")
    only = "" if change.always else ", at some times"
    named = ", where it is named" if change.named else ""
    return f"{sign} {who} {could} {change.workload} on {change.sensitivity} data on {where}{named}{only}"


def _must(expect: str) -> str:
    return "allowed" if expect == "allow" else "denied"


def _readable(text: str) -> str:
    """The text without what steers terminals; its line ends stay."""
    return "".join(f"{foreign(line)}\n" for line in text.splitlines())
