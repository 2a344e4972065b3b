"""`mesh net`: the private networks that you are in.

Touches: files of the home, sockets (through the client).
"""

from typing import Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, table

app = typer.Typer(help="Networks: make, list, show.", no_args_is_help=True)


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
    """The networks that you are in."""
    from mesh.sdk import calls

    with here.coordinator(here.home()) as client:
        found = client.do(calls.networks())
    rows = [(one.name, one.role or "", one.network) for one in found.networks]
    Out(json).result(found, lambda: table(("name", "you are", "id"), rows, empty="None. Next: mesh net create NAME"))


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
    credit_line: Annotated[
        str | None, typer.Option("--credit-line", help="friends: balances are only shown. strict: nobody goes below 0.")
    ] = None,
    permits_per_member: Annotated[
        int | None, typer.Option("--permits-per-member", min=0, help="Jobs that one person may have open; 0: no limit.")
    ] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """What a network is set to; with options, change it (for its admins)."""
    from mesh.sdk import calls

    said = {"credit_line": credit_line, "permits_per_member": permits_per_member}
    changes: dict[str, object] = {name: value for name, value in said.items() if value is not None}
    if approve_devices is not None:
        if approve_devices not in ("on", "off"):
            raise typer.BadParameter("--approve-devices is on or off.")
        changes["approve_devices"] = approve_devices == "on"
    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        if changes:
            client.do(calls.change_settings(meant, changes))
        found = client.do(calls.settings(meant))
    waits = "an admin's approval, unless an admin invited them" if found.approve_devices else "a link or a code alone"
    limit = "any number" if found.permits_per_member is None else str(found.permits_per_member)
    weights = ", ".join(f"{name} {weight:g}" for name, weight in found.weights.items())
    words = (
        f"Devices come in by:  {waits}\n"
        f"Credit line:         {found.credit_line}\n"
        f"Open jobs a person:  {limit}\n"
        f"Placement weighs:    {weights}"
    )
    Out(json).result(found, words)


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
