"""`mesh ledger give|limit|owed` and `mesh net marks|audit`: credits as admins steer them, and what was decided.

Touches: files of the home, sockets (through the client).
"""

from decimal import Decimal
from typing import Annotated, Any

import typer

from mesh.cli import here
from mesh.cli.job import clock
from mesh.cli.output import Json, Out, foreign, table
from mesh.errors import MeshError
from mesh.units import CREDIT, MICRO_LIMIT, credits_text


class BadCredits(MeshError):
    """An amount of credits is a number like 12 or 0.5, with up to six decimals, at most 9007199254; where it is a
    limit, `none` takes it away.
    """

    code = "cli.bad_credits"
    kind = "invalid"


def add_to_ledger(app: typer.Typer) -> None:
    """Put the commands below ``mesh ledger``."""
    for command in (give, limit, owed):
        app.command()(command)


def add_to_net(app: typer.Typer) -> None:
    """Put the commands below ``mesh net``."""
    for command in (marks, audit):
        app.command()(command)


def micro(text: str) -> int:
    """Credits as people write them, in micro-credits; at most what is counted exactly. Raises BadCredits."""
    try:
        amount = Decimal(text) * CREDIT
        counted = abs(amount) <= MICRO_LIMIT  # before it becomes a whole number: 1e99999999 has as many digits
    except ArithmeticError as error:
        raise BadCredits from error
    if not counted or amount != int(amount):
        raise BadCredits
    return int(amount)


def give(
    member: Annotated[str, typer.Argument(help="The person: their name or id.")],
    amount: Annotated[str, typer.Argument(help="Credits; a negative number takes back (write it after --).")],
    why: Annotated[str, typer.Option("--why", help="The reason, for everybody to read.")],
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Give somebody credits, as a named act of an admin."""
    from mesh.cli.members import member_named
    from mesh.sdk import credit

    place, given = here.home(), micro(amount)
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        who = member_named(client, meant, member)
        client.do(credit.give(meant, who, given, why))
    Out(json).result({"member": who, "amount": given}, f"{credits_text(given)} credits: done, and in the ledger.")


def limit(
    member: Annotated[str | None, typer.Argument(help="The person: their name or id.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="A device instead: its name or id.")] = None,
    floor: Annotated[str | None, typer.Option("--floor", help="How low their balance may go, or `none`.")] = None,
    daily: Annotated[str | None, typer.Option("--daily", help="What jobs may cost in 24 hours, or `none`.")] = None,
    trusted: Annotated[
        bool | None, typer.Option("--trusted/--untrusted", help="Vouch for them: their work is not checked.")
    ] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Give a person a line or a daily limit of their own or vouch for them, or a device a daily limit (for admins)."""
    from mesh.cli.members import member_named
    from mesh.sdk import credit

    if (member is None) == (device is None) or (device is not None and (floor is not None or daily is None)):
        raise typer.BadParameter("name a person with --floor, --daily or --trusted, or --device with --daily")
    place = here.home()
    changes: dict[str, int | bool | None] = {
        name: None if text == "none" else micro(text)
        for name, text in (("floor", floor), ("day_limit", daily))
        if text is not None
    }
    if trusted is not None:
        changes["trusted"] = trusted
    value: dict[str, Any]
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        if device is not None:
            from mesh.cli.device import device_named

            which = device_named(client, meant, device)
            client.do(credit.set_device_day(meant, which, micro(daily) if daily not in (None, "none") else None))
            value = {"device": which, **changes}
        else:
            assert member is not None
            who = member_named(client, meant, member)
            terms = client.do(credit.set_terms(meant, who, changes))
            value = {"member": who, "floor": terms.floor, "day_limit": terms.day_limit, "trusted": terms.trusted}
    Out(json).result(value, "Done; what is running is not touched.")


def owed(
    settle: Annotated[str | None, typer.Option("--settle", help="Pay this job's line (for admins).")] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """What could not be paid without crossing somebody's floor; it is shown, and never collected by itself."""
    from mesh.sdk import calls, credit

    place, paid = here.home(), 0
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        for line in client.do(credit.owed(meant)).owed if settle is not None else ():
            if line.job == settle:
                paid += client.do(credit.settle_owed(meant, line)).amount
        found = client.do(credit.owed(meant)).owed
        names = {one.member: one.name for one in client.do(calls.members(meant)).members}
    rows = [
        (clock(one.since_ms), names.get(one.payer, one.payer), names.get(one.earner, one.earner),
         credits_text(one.amount), one.job)
        for one in found
    ]  # fmt: skip

    def people() -> None:
        if settle is not None:
            print(f"Paid {credits_text(paid)} credits.")
        table(("since", "owes", "to", "#credits", "job"), rows, empty="Nothing is owed.")

    Out(json).result({"owed": found, "paid": paid}, people)


def marks(
    clear: Annotated[str | None, typer.Option("--clear", help="Clear all that counts against this device.")] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """What counts against your devices (for admins: all): denied work, double use. `--clear` is for admins."""
    from mesh.sdk import calls, credit

    place, cleared = here.home(), 0
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        if clear is not None:
            from mesh.cli.device import device_named

            cleared = client.do(credit.clear_marks(meant, device_named(client, meant, clear))).marks
        found = client.do(credit.marks(meant))
        names = {one.member: one.name for one in client.do(calls.members(meant)).members}
        machines = {one.device: one.name for one in client.do(calls.devices(meant)).devices}
    rows = [
        (machines.get(one.device, one.device), one.kind, str(one.times), names.get(one.other, "") if one.other else "",
         clock(one.last_ms), one.job)
        for one in found.marks
    ]  # fmt: skip
    columns = ("device", "what", "#times", "with", "last", "newest job")

    def people() -> None:
        table(columns, rows, empty="Nothing counts against anybody.")
        for one in found.unusual:
            name = foreign(machines.get(one.device, one.device))
            print(f"\n{name} earned {credits_text(one.earned)} credits in 24 hours, far more than others: look at it.")

    Out(json).result({"marks": found.marks, "unusual": found.unusual, "cleared": cleared}, people)


def audit(network: here.Network = None, json: Json = False) -> None:
    """What admins decided, newest first, from a log in which every line covers the one before it."""
    from mesh.sdk import calls, credit

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = client.do(credit.decisions(meant))
        names: dict[str, str] = {one.member: one.name for one in client.do(calls.members(meant)).members}
        machines = client.do(calls.devices(meant)).devices
    names |= {one.device: one.name for one in machines} | {str(meant): "the network"}
    rows = [
        (str(one.number), clock(one.at_ms), names.get(one.by, one.by), one.kind, names.get(one.subject, one.subject),
         " ".join(f"{key}={_fact(key, value)}" for key, value in one.facts.items()))
        for one in found.decisions
    ]  # fmt: skip

    def people() -> None:
        table(("#number", "when", "who", "what", "about", "how"), rows, empty="Nothing was decided yet.")
        if found.broken is not None:
            print(f"\nThe log is broken at number {found.broken}: keep a copy of the database, and ask its operator.")

    Out(json).result(found, people)


def _fact(name: str, value: object) -> object:
    """A fact of a decision for people: amounts in credits, as they say them themselves."""
    return credits_text(value) if name in ("amount", "floor", "day_limit") and isinstance(value, int) else value
