"""`mesh members`: the people of a network.

Touches: files of the home, sockets (through the client).
"""

from typing import Annotated, Literal

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, foreign, table

app = typer.Typer(help="People: invite, list.", no_args_is_help=True)


@app.command()
def invite(
    role: Annotated[Literal["admin", "member", "guest"], typer.Option("--role", help="What they may do.")] = "member",
    name: Annotated[str | None, typer.Option("--name", help="Who it is for: shown to you, not binding.")] = None,
    uses: Annotated[int, typer.Option("--uses", min=1, help="How many people may use it.")] = 1,
    expires: Annotated[str, typer.Option("--expires", help="How long it works: 30m, 1h, 7d.")] = "1d",
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Make a link by which somebody joins as a person."""
    from mesh.sdk import calls

    place = here.home()
    terms = calls.TokenTerms("member", uses=uses, expires_s=here.span_s(expires), role=role, name=name)
    with here.coordinator(place) as client:
        minted = client.do(calls.mint(here.network_of(place, client, network), terms))
    whom = foreign(name) if name else "them"
    steps = f"Send it to {whom}; it works for {expires}. They type:\n  mesh auth claim 'LINK' --name NAME"
    Out(json).result({"link": minted.link, "token": minted.token_id}, f"{minted.link}\n\n{steps}")


@app.command("list")
def list_(network: here.Network = None, json: Json = False) -> None:
    """The people of a network."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        found = client.do(calls.members(here.network_of(place, client, network)))
    rows = [(one.name, one.role, one.member) for one in found.members]
    Out(json).result(found, lambda: table(("name", "role", "id"), rows))
