"""`mesh members`: the people of a network.

Touches: files of the home, sockets (through the client), stdin, clock.
"""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, foreign, table
from mesh.errors import MeshError
from mesh.units import credits_text

if TYPE_CHECKING:
    from mesh.ids import MemberId, NetworkId
    from mesh.sdk.client import Coordinator
    from mesh.sdk.join_links import Minted

app = typer.Typer(help="People: invite, list, approve, role, remove.", no_args_is_help=True)
Named = Annotated[str, typer.Argument(metavar="MEMBER", help="A person's id, or their name where only one has it.")]

LETTER_S, LETTER_LOOK_S = 10.0, 0.2
"""How long to wait for a letter to be taken: most mail servers need a second or two; the list of links tells later."""
LETTERS = {
    "sent": "It was mailed, too.",
    "waiting": "A letter with it is on its way: `mesh invite list` tells when it has left.",
    "failed": "The mail server did not take it: send it to {} yourself.",
    "": "No mail is sent from here: send it to {} yourself.",
}


class UnknownMember(MeshError):
    """There is no such person in this network, or several have that name. `mesh members list` shows names and ids."""

    code = "members.unknown"
    kind = "not_found"


@app.command()
def invite(
    role: Annotated[Literal["admin", "member", "guest"], typer.Option("--role", help="What they may do.")] = "member",
    name: Annotated[str | None, typer.Option("--name", help="Who it is for: shown to you, not binding.")] = None,
    uses: Annotated[int, typer.Option("--uses", min=1, help="How many people may use it.")] = 1,
    expires: Annotated[str, typer.Option("--expires", help="How long it works: 30m, 1h, 7d.")] = "1d",
    email: Annotated[
        str | None, typer.Option("--email", help="Only for whoever shows that this address is theirs; mailed to it.")
    ] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Who comes by it waits for an admin: `mesh members approve`.")
    ] = False,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Make a link by which somebody joins as a person."""
    from mesh.sdk import calls

    place, out = here.home(), Out(json)
    life_s = here.span_s(expires)
    terms = calls.TokenTerms(
        "member", uses=uses, expires_s=life_s, approve=approve, role=role, name=name, address=email
    )
    with here.coordinator(place) as client:
        where = here.network_of(place, client, network)
        minted = client.do(calls.mint(where, terms))
        letter = _sent(client, where, minted, out)
    whom = foreign(name) if name else "them"
    steps = f"Send it to {whom}; it works for {expires}. They type:\n  mesh auth claim 'LINK' --name NAME"
    if email is not None:
        only = f"It works for {expires}, and only for {foreign(email)}: they open it in a browser."
        steps = f"{LETTERS[letter].format(whom)} {only}"
    value = {"link": minted.link, "token": minted.token_id, "letter": letter}
    out.result(value, f"{minted.link}\n\n{steps}")
    out.qr(minted.link)
    here.warn_if_unreachable(place, out)


def _sent(client: "Coordinator", network: "NetworkId", minted: "Minted", out: Out) -> str:
    """What became of the letter, as far as it is known within the time that a mail server usually takes."""
    from mesh.sdk import calls

    letter, until = minted.letter, time.monotonic() + LETTER_S
    if letter == "waiting":
        out.note("Sending the letter…")
    while letter == "waiting" and time.monotonic() < until:
        time.sleep(LETTER_LOOK_S)
        listed = client.do(calls.tokens(network)).tokens
        letter = next((one.letter for one in listed if one.token_id == minted.token_id), letter)
    return letter


@app.command("list")
def list_(network: here.Network = None, json: Json = False) -> None:
    """The people of a network; for its admins also who waits to be let in."""
    from mesh.cli.applicants import show_waiting, waiting_in
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found, waiting = client.do(calls.members(meant)), waiting_in(client, meant)

    def show() -> None:
        table(("name", "role", "id"), [(one.name, one.role, one.member) for one in found.members])
        show_waiting(waiting, {one.member: one.name for one in found.members})

    Out(json).result({"members": found.members, "cursor": found.cursor, "waiting": waiting}, show)


@app.command()
def approve(
    member: Named,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Let somebody in who waits (for admins)."""
    from mesh.cli.applicants import applicant_named
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = applicant_named(client, meant, member)
        decided = client.do(calls.approve_applicant(meant, found))
    Out(json).result(decided, f"{foreign(member)} is in now.")


@app.command()
def refuse(
    member: Named,
    why: Annotated[str, typer.Option("--why", help="The reason, one line; they read it.")] = "",
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Do not let somebody in who waits; they are told, and need a fresh invite to ask again (for admins)."""
    from mesh.cli.applicants import applicant_named
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = applicant_named(client, meant, member)
        decided = client.do(calls.refuse_applicant(meant, found, why))
    Out(json).result(decided, f"{foreign(member)} was not let in, and is told so.")


@app.command()
def role(
    member: Named,
    role: Annotated[Literal["admin", "member", "guest"], typer.Argument(help="What they may do from now on.")],
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Give a person another role; the last admin stays one."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = member_named(client, meant, member)
        client.do(calls.change_role(meant, found, role))
    Out(json).result({"member": found, "role": role}, f"They are {role} now.")


@app.command()
def remove(
    member: Named,
    yes: Annotated[bool, typer.Option("--yes", help="At a terminal: without being asked.")] = False,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Let a person go: all their devices are cut off at once. One's own name leaves the network.

    Says before what becomes of their balance, and at a terminal asks.
    """
    from mesh.sdk import calls

    place, out = here.home(), Out(json)
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = member_named(client, meant, member)
        accounts = client.do(calls.balances(meant)).accounts
        left = {one.kind: one.amount for one in accounts if one.member == found}
        out.note(f"{foreign(member)} goes, with all their devices. {left_behind(left)}")
        if sys.stdin.isatty() and not yes and not json and not typer.confirm("Go on?"):
            raise typer.Abort
        client.do(calls.remove_member(meant, found))
    value = {"member": found, "removed": True, "balance": left.get("balance", 0)}
    out.result(value, "Removed, with all their devices.")


def left_behind(amounts: "Mapping[str, int]") -> str:
    """What becomes of a person's money who goes, in words; amounts in micro-credits by kind of account."""
    balance, pending = amounts.get("balance", 0), amounts.get("pending", 0)
    words = "They have no credits to lose."
    if balance > 0:
        words = f"Their {credits_text(balance)} credits are burnt."
    elif balance < 0:
        words = f"Their debt of {credits_text(-balance)} credits stays in the ledger until an admin closes it."
    return words + (f" {credits_text(pending)} pending credits are burnt when they come." if pending > 0 else "")


def member_named(client: "Coordinator", network: "NetworkId", text: str) -> "MemberId":
    """The member with an id or a name. Raises UnknownMember."""
    from mesh.sdk import calls

    known = client.do(calls.members(network)).members
    matching = [one.member for one in known if text == one.member] or [one.member for one in known if text == one.name]
    if len(matching) != 1:
        raise UnknownMember
    return matching[0]
