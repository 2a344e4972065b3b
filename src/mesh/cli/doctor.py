"""`mesh netcheck` and `mesh doctor`: what works, what does not, and what to do about it.

Touches: the agent's control socket; what the checks touch where no agent runs; stdout.
"""

import asyncio
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, foreign
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.devices.facts import MachineFacts, NetworkFacts
    from mesh.devices.findings import Finding
    from mesh.sdk.control import Status
    from mesh.sdk.home import Home

STATUS_S = 3.0
"""A status takes milliseconds; an agent that needs this long is taken for frozen, and the rest is asked without it."""
ANSWER_S = 10.0
"""The agent's check has limits of its own below this."""
MARKS = {"ok": "  ok     ", "note": "  note   ", "warning": "! warning", "problem": "X PROBLEM"}
WIDTH = 110


def add_to(app: typer.Typer) -> None:
    """Put these commands at the top level of ``mesh``."""
    app.command()(netcheck)
    app.command()(doctor)


def netcheck(json: Json = False) -> None:
    """Check the network around this machine. Exit code 1 if something is broken."""
    place = here.home()
    _, network = _network(place)
    _tell(Out(json), network, None)


def doctor(
    report: Annotated[
        bool, typer.Option("--report", help="Print a report that is safe to post in public: no names, no addresses.")
    ] = False,
    json: Json = False,
) -> None:
    """Check network, home, disk, memory, models and engines. Exit code 1 if something is broken."""
    from mesh.agent import checkup

    place = here.home()
    status, network = _network(place)
    _tell(Out(json), network, asyncio.run(checkup.examine(place, status)), only_report=report)


def _network(place: "Home") -> "tuple[Status | None, NetworkFacts]":
    """Ask the agent; where none answers, measure what can be measured without it."""
    import msgspec

    from mesh.sdk import control

    try:
        status = control.ask(place.control_socket, control.GetStatus(), STATUS_S)
        network = control.ask(place.control_socket, control.CheckNetwork(), ANSWER_S)
        if isinstance(status, control.Status) and isinstance(network, control.Network):
            return status, network.facts
    except control.AgentAway:
        pass
    except MeshError:
        return None, msgspec.structs.replace(asyncio.run(_alone(place)), agent_broken=True)
    return None, asyncio.run(_alone(place))


async def _alone(place: "Home") -> "NetworkFacts":
    from mesh.agent import netcheck

    return await netcheck.measure(await netcheck.outside(place))


def _tell(out: Out, network: "NetworkFacts", machine: "MachineFacts | None", *, only_report: bool = False) -> None:
    """Print the findings, and leave with 1 if one of them is a problem."""
    from mesh.devices.machine_findings import machine_findings
    from mesh.devices.network_findings import network_findings
    from mesh.devices.report import as_text, public_report

    findings = network_findings(network) + (() if machine is None else machine_findings(machine))
    report = public_report(network, machine, findings)
    value: dict[str, Any] = {"findings": findings, "report": report}
    if only_report:
        out.result({"report": report}, as_text(report))
    else:
        out.result(value, lambda: _show(findings))
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


def _show(findings: "tuple[Finding, ...]") -> None:
    indent = " " * (len(MARKS["ok"]) + 2)
    for finding in findings:
        said = textwrap.wrap(foreign(f"{finding.text} [{finding.code}]"), WIDTH - len(indent), break_on_hyphens=False)
        print(f"{MARKS[finding.level]}  {said[0]}")
        for line in said[1:]:
            print(indent + line)
        if finding.next:  # in one piece: it often holds a command that is copied
            print(f"{indent}-> {foreign(finding.next)}")
    problems = sum(finding.level == "problem" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    print(f"\n{_count(problems, 'problem')}, {_count(warnings, 'warning')}.", end=" ")
    print("To show this to others: mesh doctor --report")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
