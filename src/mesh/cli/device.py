"""`mesh device`: the machines of a network.

Touches: files of the home, sockets (through the client).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import here, pairing
from mesh.cli.output import Json, Out, table

if TYPE_CHECKING:
    from mesh.ids import DeviceId, NetworkId
    from mesh.sdk.answers import Device
    from mesh.sdk.client import Coordinator

app = typer.Typer(help="Devices: invite, join, pair, list, rename, approve, remove.", no_args_is_help=True)
ROTATE_S = 20.0
"""The agent waits 10 s for the coordinator."""
Named = Annotated[str, typer.Argument(metavar="DEVICE", help="A device's id, or its name where only one has it.")]


@app.command()
def invite(
    reusable: Annotated[bool, typer.Option("--reusable", help="Any number of devices may use it.")] = False,
    uses: Annotated[int, typer.Option("--uses", min=1, help="How many devices may use it.")] = 1,
    expires: Annotated[str, typer.Option("--expires", help="How long it works: 30m, 1h, 7d.")] = "1h",
    approve: Annotated[bool, typer.Option("--approve", help="Devices wait for an admin's approval.")] = False,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Devices are removed by themselves after 30 minutes offline.")
    ] = False,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="What its devices are for; repeat it for several.")
    ] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Make a link by which a machine of yours joins."""
    from mesh.networks.tokens import USES_MAX
    from mesh.sdk import calls

    place = here.home()
    count = USES_MAX if reusable else uses
    terms = calls.TokenTerms(
        "device",
        uses=count,
        expires_s=here.span_s(expires),
        approve=approve,
        tags=tuple(tag or ()),
        ephemeral=ephemeral,
    )
    with here.coordinator(place) as client:
        minted = client.do(calls.mint(here.network_of(place, client, network), terms))
    people = f"{minted.link}\n\nOn the new machine, within {expires}:\n  mesh device join 'LINK' --name NAME\n  mesh up"
    out = Out(json)
    out.result({"link": minted.link, "token": minted.token_id}, people)
    out.qr(minted.link)
    here.warn_if_unreachable(place, out)


@app.command()
def join(
    link: Annotated[
        str, typer.Argument(help="A link from `mesh device invite`, - to read it from stdin; or the coordinator's URL.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="1 to 63 of a-z, 0-9 and hyphens; else this machine's own name.")
    ] = None,
    json: Json = False,
) -> None:
    """Make this machine (this MESH_HOME) a device of a network: by a link, or by a code that a member confirms."""
    from mesh.agent.join import join as join_network
    from mesh.cli.first_run import machine

    out, place, called = Out(json), here.home(), here.named(name or machine())
    if pairing.is_address(link):
        pairing.join(place, link, called, out)
        return
    joined = join_network(place, here.link_from(link), called)
    value = {"device": joined.device, "network": joined.network, "name": called, "state": joined.state}
    waits = f" An admin must let it in: mesh device approve {joined.device}" if joined.state == "pending" else ""
    out.result(value, f"This is now the device {called}.{waits}\nNext: mesh up")


@app.command()
def pair(
    code: Annotated[
        str | None, typer.Argument(help="What the new machine shows; asked for where it is left out.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. You have looked at that machine.")] = False,
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="It may ask from another public address than you do.")
    ] = False,
    approve: Annotated[bool, typer.Option("--approve", help="It waits for an admin's approval even so.")] = False,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="It is removed by itself after 30 minutes offline.")
    ] = False,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="What it is for; repeat it for several.")] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Let in the machine that shows this code (`mesh device join URL`), as a device of yours."""
    from mesh.sdk.calls import TokenTerms

    terms = TokenTerms("device", approve=approve, tags=tuple(tag or ()), ephemeral=ephemeral)
    pairing.pair(here.home(), code, network, terms, pairing.Answers(Out(json), yes=yes, elsewhere=elsewhere))


@app.command("list")
def list_(network: here.Network = None, json: Json = False) -> None:
    """The devices of a network, and how they are."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found, people = client.do(calls.devices(meant)), client.do(calls.members(meant))
    names = {one.member: one.name for one in people.members}
    mine, called = place.read().device, {one.device: one.name for one in found.devices}
    rows = [
        (
            one.name,
            f"{one.state} ({one.held})" if one.held else one.state,
            "" if one.tier is None else str(one.tier),
            names.get(one.owner, one.owner),
            round_trip(one, called, None if mine is None else mine.id),
            " ".join((*one.tags, *(["(ephemeral)"] if one.ephemeral else []))),
            one.device,
        )
        for one in found.devices
    ]
    shown = ("name", "state", "#tier", "owner", "round trip", "tags", "id")
    Out(json).result(found, lambda: table(shown, rows, empty="None. Next: mesh device invite"))


def round_trip(device: "Device", names: Mapping["DeviceId", str], mine: "DeviceId | None") -> str:
    """How far a device is from this one, where that is known; else from the one that is nearest to it."""
    trips = sorted(device.round_trips, key=lambda trip: (trip.device != mine, trip.rtt_ms))
    return f"{trips[0].rtt_ms:.1f} ms to {names.get(trips[0].device, trips[0].device)}" if trips else ""


@app.command()
def rename(
    device: Named,
    new: Annotated[str, typer.Argument(metavar="NEW", help="1 to 63 of a-z, 0-9 and hyphens; no other has it.")],
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Call a device something else: one of yours, or any as an admin. Jobs for `device:NEW` find it at once."""
    from mesh.sdk import calls

    place, called = here.home(), here.named(new)
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = device_named(client, meant, device)
        client.do(calls.rename_device(meant, found, called))
    Out(json).result({"device": found, "name": called}, f"It is {called} now.")


@app.command()
def remove(device: Named, network: here.Network = None, json: Json = False) -> None:
    """Remove a device: it is cut off at once and needs a fresh approval to come back."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = device_named(client, meant, device)
        client.do(calls.remove_device(meant, found))
    Out(json).result({"device": found, "removed": True}, "Removed.")


@app.command()
def approve(device: Named, network: here.Network = None, json: Json = False) -> None:
    """Let a device in that waits for approval."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = device_named(client, meant, device)
        client.do(calls.approve_device(meant, found))
    Out(json).result({"device": found, "approved": True}, "Approved: it is a device of the network now.")


@app.command("rotate-key")
def rotate_key(json: Json = False) -> None:
    """Replace this device's key while its agent runs; the old one stays good for 24 hours, and no job notices."""
    from mesh.sdk import control

    answer = control.ask(here.home().control_socket, control.RotateKey(), ROTATE_S)
    assert isinstance(answer, control.KeyRotated)
    words = f"This device has a new key: {answer.key[:16]}… The one before it is good for another 24 hours."
    value = {"key": answer.key, "old": answer.old, "number": answer.number, "old_until_ms": answer.old_until_ms}
    Out(json).result(value, words)


def device_named(client: "Coordinator", network: "NetworkId", text: str) -> "DeviceId":
    """The id of a device of a network, given by id or name. Raises UnknownDevice."""
    from mesh.sdk import calls, naming

    return naming.device_named(client.do(calls.devices(network)).devices, text)
