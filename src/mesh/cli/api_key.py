"""`mesh api-key`: what programs sign in with at the coordinator, each with a few permissions in one network.

Touches: files of the home, sockets (through the client).
"""

from typing import Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, day, foreign, table

app = typer.Typer(help="API keys for programs: make, list, revoke.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, in a few words.")],
    scope: Annotated[
        list[str], typer.Option("--scope", help="What it may do, repeatable: `read`, or a permission by name.")
    ],
    expires: Annotated[str, typer.Option("--expires", help="How long it works: 7d, 90d, 365d.")] = "365d",
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Make a key; it is shown this once. It never may more than you may."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        call = calls.make_api_key(here.network_of(place, client, network), name, scope, here.span_s(expires))
        made = client.do(call)
    people = (
        f"{made.key}\n\nIt may: {', '.join(made.scopes)}. Keep it now; it is not shown again.\n"
        "Commands use it from MESH_API_KEY, programs as `Authorization: Bearer KEY`."
    )
    Out(json).result(made, people)


@app.command("list")
def list_(network: here.Network = None, json: Json = False) -> None:
    """The keys of a network that were not revoked: yours, and for admins everybody's."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        found = client.do(calls.api_keys(here.network_of(place, client, network)))
    rows = [
        (foreign(one.name), ", ".join(one.scopes), one.state, day(one.expires_ms), day(one.used_ms), one.key_id)
        for one in found.keys
    ]
    Out(json).result(found, lambda: table(("name", "may", "state", "until", "last used", "id"), rows, empty="No keys."))


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from `mesh api-key list`.")],
    network: here.Network = None,
    json: Json = False,
) -> None:
    """A key works no more from now on."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        client.do(calls.revoke_api_key(here.network_of(place, client, network), key))
    Out(json).result({"key": key, "revoked": True}, "The key no longer works.")


@app.command()
def scopes(json: Json = False) -> None:
    """The permissions that a key can have."""
    from mesh.networks.api_keys import NEVER, READ
    from mesh.networks.membership import PERMISSIONS

    known = sorted(PERMISSIONS["admin"] - NEVER)
    rows = [(name, "read" if name in READ else "", "" if name in PERMISSIONS["member"] else "admins") for name in known]
    value = {"scopes": [{"scope": name, "reads": name in READ} for name in known]}
    Out(json).result(value, lambda: table(("scope", "in", "for"), rows, empty=""))
