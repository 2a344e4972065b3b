"""`mesh invite`: the join links that still work, for people and devices alike.

Touches: files of the home, sockets (through the client).
"""

from typing import Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, table
from mesh.ids import TokenId

app = typer.Typer(help="Join links: list, revoke; and one for a relay.", no_args_is_help=True)


@app.command("list")
def list_(network: here.Network = None, json: Json = False) -> None:
    """The join links of a network; their secrets are not shown again."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        found = client.do(calls.tokens(here.network_of(place, client, network)))
    rows = [
        (one.purpose, one.name, one.address, one.letter, f"{one.used} of {one.uses}", one.state, one.token_id)
        for one in found.tokens
    ]
    head = ("for", "name", "address", "letter", "used", "state", "id")
    Out(json).result(found, lambda: table(head, rows, empty="None."))


@app.command()
def relay(
    expires: Annotated[str, typer.Option("--expires", help="How long it works: 30m, 1h, 7d.")] = "1h",
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Make a link by which a further relay joins; only whoever claimed the installation may."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        terms = calls.TokenTerms("relay", expires_s=here.span_s(expires))
        minted = client.do(calls.mint(here.network_of(place, client, network), terms))
    people = f"{minted.link}\n\nOn a machine that all devices can reach, within {expires}:\n  mesh relay --join 'LINK'"
    Out(json).result({"link": minted.link, "token": minted.token_id}, people)


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="The link's id, from `mesh invite list`.")],
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Withdraw a join link: nobody can use it from now on."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        client.do(calls.withdraw(here.network_of(place, client, network), TokenId(token)))
    Out(json).result({"token": token, "revoked": True}, "The link no longer works.")
