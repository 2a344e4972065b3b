"""`mesh net`: the private networks that you are in.

Touches: files of the home, sockets (through the client).
"""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, table
from mesh.cli.weighing import WEIGHED, try_weights
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.sdk.answers import Settings

app = typer.Typer(help="Networks: make, list, show, settings.", no_args_is_help=True)


class BadWeight(MeshError):
    """A weight is written as NAME=NUMBER from 0 to 1, for example seconds=0.4. `mesh net settings` lists the names."""

    code = "usage.weight"
    kind = "invalid"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="1 to 63 of a-z, 0-9 and hyphens.")],
    json: Json = False,
) -> None:
    """Make a network; you become its admin, and later commands mean it."""
    import msgspec

    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        made = client.do(calls.create_network(here.named(name)))
    place.write(msgspec.structs.replace(place.read(), network=made.network))
    Out(json).result({"network": made.network, "name": name}, f"Network {name} is made. Next: mesh device invite")


@app.command("list")
def list_(json: Json = False) -> None:
    """The networks that you are in, and those where you wait for an admin to let you in."""
    from mesh.cli.applicants import mine, said
    from mesh.sdk import calls

    with here.coordinator(here.home()) as client:
        found, asked = client.do(calls.networks()), mine(client)
    rows = [(one.name, str(one.role or ""), str(one.network)) for one in found.networks]
    rows += [(one.name, said(one), one.network) for one in asked]

    def show() -> None:
        table(("name", "you are", "id"), rows, empty="None. Next: mesh net create NAME")

    Out(json).result({"networks": found.networks, "cursor": found.cursor, "asked": asked}, show)


@app.command()
def withdraw(
    named: Annotated[str | None, typer.Argument(metavar="NETWORK", help="Its id or name; needed with several.")] = None,
    json: Json = False,
) -> None:
    """Wait no more to be let into a network."""
    from mesh.cli.applicants import mine, waits_in
    from mesh.sdk import calls

    with here.coordinator(here.home()) as client:
        found = waits_in(mine(client), named)
        client.do(calls.withdraw_request(found.network))
    Out(json).result({"network": found.network, "withdrawn": True}, f"You wait no more to be let into {found.name}.")


@app.command("rotate-key")
def rotate_key(
    coordinator: Annotated[
        bool, typer.Option("--coordinator", help="The coordinator's own key instead, for all its networks (operator).")
    ] = False,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Replace a network's key (for its admins); the old one stays good for 24 hours, and everything keeps running."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        call = calls.rotate_coordinator_key()
        if not coordinator:
            call = calls.rotate_network_key(here.network_of(place, client, network))
        rotated = client.do(call)
    whose = "coordinator" if coordinator else "network"
    words = f"The {whose} has a new key: {rotated.key[:16]}… The one before it is good for another 24 hours."
    Out(json).result(rotated, words)


@app.command()
def settings(
    approve_devices: Annotated[
        str | None, typer.Option("--approve-devices", help="on: devices that no admin invited wait for an admin.")
    ] = None,
    approve_people: Annotated[
        str | None, typer.Option("--approve-people", help="on: people wait for an admin, however they come.")
    ] = None,
    credit_line: Annotated[
        str | None,
        typer.Option("--credit-line", help="friends may go below 0, strict may not; each has own balances."),
    ] = None,
    keep_jobs: Annotated[
        int | None, typer.Option("--keep-jobs", help="Days that job records are kept: 15 to 3650.")
    ] = None,
    keep_decisions: Annotated[
        int | None, typer.Option("--keep-decisions", help="Days that the log of decisions is kept; 0: for good.")
    ] = None,
    permits_per_member: Annotated[
        int | None, typer.Option("--permits-per-member", min=0, help="Jobs that one person may have open; 0: no limit.")
    ] = None,
    weight: Annotated[
        list[str] | None, typer.Option("--weight", help="What placement weighs: NAME=NUMBER; all six sum to 1.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --weight: replay the newest placements with it; save nothing.")
    ] = False,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """What a network is set to; with options, change it (for its admins)."""
    from mesh.sdk import calls

    said = {
        "credit_line": credit_line,
        "permits_per_member": permits_per_member,
        "keep_jobs_days": keep_jobs,
        "keep_decisions_days": keep_decisions,
    }
    changes: dict[str, object] = {name: value for name, value in said.items() if value is not None}
    for name, switch in (("approve_devices", approve_devices), ("approve_people", approve_people)):
        if switch is not None:
            if switch not in ("on", "off"):
                raise typer.BadParameter(f"--{name.replace('_', '-')} is on or off.")
            changes[name] = switch == "on"
    if weight:
        changes["weights"] = dict(_weight(one) for one in weight)
    place = here.home()
    if dry_run:
        if set(changes) != {"weights"}:
            raise typer.BadParameter("--dry-run says what weights would change: give it --weight, and nothing else.")
        try_weights(place, dict(_weight(one) for one in weight or ()), network, Out(json))
        return
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        if changes:
            client.do(calls.change_settings(meant, changes))
        found = client.do(calls.settings(meant))
    Out(json).result(found, lambda: _show_settings(found))


@app.command()
def domains(
    add: Annotated[
        str | None, typer.Option("--add", help="Let in whoever shows an e-mail address in this domain: example.org.")
    ] = None,
    role: Annotated[Literal["member", "guest"], typer.Option("--role", help="With --add: as what.")] = "member",
    remove: Annotated[str | None, typer.Option("--remove", help="Let nobody in by this domain any more.")] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Domains whose people come in without an invite; with options, change them (for its admins).

    List only one whose addresses your own people alone get: whoever gets an address there comes in.
    """
    from mesh.sdk import domains as calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        if add is not None:
            client.do(calls.list_domain(meant, add, role))
        if remove is not None:
            client.do(calls.drop_domain(meant, remove))
        found = client.do(calls.domains(meant))
    rows = [(one.domain, one.role, "" if one.by else "by the operator") for one in found.domains]
    Out(json).result(found, lambda: table(("domain", "come in as", ""), rows, empty="None: people come by an invite."))


@app.command()
def show(network: here.Network = None, json: Json = False) -> None:
    """A network's people and devices."""
    from mesh.sdk import calls

    place, out = here.home(), Out(json)
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        people, machines = client.do(calls.members(meant)), client.do(calls.devices(meant))
    value = {"network": meant, "members": people.members, "devices": machines.devices}
    names = {one.member: one.name for one in people.members}

    def show_people() -> None:
        table(("person", "role"), [(one.name, one.role) for one in people.members])
        rows = [(one.name, one.state, names.get(one.owner, one.owner), one.device) for one in machines.devices]
        table(("device", "state", "owner", "id"), rows, empty="No devices yet. Next: mesh device invite")

    out.result(value, show_people)


def _weight(text: str) -> tuple[str, float]:
    """Read NAME=NUMBER. Raises BadWeight; whether the name is one, and the sum, the coordinator says."""
    name, _, number = text.partition("=")
    try:
        weight = float(number)
    except ValueError as error:
        raise BadWeight from error
    if not 0 <= weight <= 1:  # false for what is no number, too
        raise BadWeight
    return name.strip(), weight


def _show_settings(found: "Settings") -> None:
    waits = "with an admin's approval, unless an admin invited them" if found.approve_devices else "by a link or a code"
    print(f"Devices come in {waits}.")
    come = "with an admin's approval" if found.approve_people else "by an invite, or by a domain (`mesh net domains`)"
    print(f"People come in {come}.")
    line = "balances may go below zero" if found.credit_line == "friends" else "nobody goes below zero"
    print(f"Credit line {found.credit_line}: {line}.")
    most = found.permits_per_member
    each = "Each person may have as many permits open as they like" if most is None else _most(most)
    print(f"{each}: a permit is open from its grant until its job, or its series, is settled.")
    if found.keep_jobs_days is not None:
        long = f"for {found.keep_decisions_days} days" if found.keep_decisions_days else "for good"
        print(
            f"Job records are kept for {found.keep_jobs_days} days, the log of decisions {long}, the ledger for good."
        )
    print("What placement weighs (the weights sum to 1; the device with the highest sum is chosen)")
    rows = [(name, WEIGHED.get(name, ""), f"{weight:.3f}") for name, weight in found.weights.items()]
    table(("weight", "favours", "#"), rows)


def _most(permits: int) -> str:
    return f"Each person may have {permits} permit{'' if permits == 1 else 's'} open at a time"
