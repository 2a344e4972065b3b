"""`mesh auth`: who is signed in here.

Touches: files of the home, sockets (through the client), the machine's name.
"""

import platform
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, day, foreign, table
from mesh.errors import RemoteError

if TYPE_CHECKING:
    from mesh.protocol.links import JoinLink
    from mesh.sdk.answers import Network
    from mesh.sdk.home import Home

app = typer.Typer(help="Sign in as a person.", no_args_is_help=True)


WAITS = "An admin must let you in first. `mesh net list` shows how it stands, `mesh net withdraw` takes it back."


@app.command()
def claim(
    link: Annotated[str, typer.Argument(help="The link from `mesh serve` or `mesh members invite`; - reads stdin.")],
    name: Annotated[str, typer.Option("--name", help="What others call you; a link for yourself knows it.")] = "",
    json: Json = False,
) -> None:
    """Sign in with a claim link (the first person) or a member invite; every link works as often as it says.

    Who is signed in here comes into the invite's network as who they are, unless another name is given.
    """
    import msgspec

    from mesh.sdk import calls
    from mesh.sdk.client import Coordinator
    from mesh.sdk.home import CoordinatorRecord, SessionRecord

    place, parsed = here.home(), here.link_from(link)
    record = place.read()
    known = CoordinatorRecord(parsed.url, parsed.coordinator, parsed.tls_sha256, parsed.more)
    if record.session is not None and name in ("", record.session.name):
        joined = _accepted(place, parsed)
        if joined is not None:
            place.write(msgspec.structs.replace(record, network=joined.network))
            mine = {"member": record.session.member, "name": record.session.name, "network": joined.network}
            words = f"You are in {foreign(joined.name)} now, as {foreign(record.session.name)}."
            if joined.state == "pending":
                words = f"You asked to come into {foreign(joined.name)} as {foreign(record.session.name)}. {WAITS}"
            Out(json).result({**mine, "state": joined.state}, words)
            return
    with Coordinator(known) as client:
        if record.coordinator is not None and record.coordinator.key != known.key:
            here.check_follows(record.coordinator.key, client.do(calls.about()))
        claimed = client.do(calls.claim(parsed.secret, name, platform.node()))
    session = SessionRecord(claimed.token, claimed.member, claimed.name)
    network = claimed.network or record.network
    place.write(msgspec.structs.replace(record, coordinator=known, session=session, network=network))
    value = {"member": claimed.member, "name": claimed.name, "network": claimed.network, "state": claimed.state}
    hint = f"Next: {'mesh device invite' if claimed.network else 'mesh net create NAME'}"
    Out(json).result(value, f"Signed in as {foreign(claimed.name)}. {WAITS if claimed.state == 'pending' else hint}")


_AS_SOMEBODY_NEW = ("auth.not_signed_in", "request.no_such_address", "token.unknown", "token.wrong_purpose")
"""The session here is over, the coordinator is older, or the link is none that invites to a network."""


def _accepted(place: "Home", link: "JoinLink") -> "Network | None":
    """Come into a network as who is signed in here; None where the link or the session is not for that."""
    from mesh.sdk import calls

    known = place.read().coordinator
    if known is None or known.key != link.coordinator:
        return None
    try:
        with here.coordinator(place) as client:
            return client.do(calls.accept(link.secret))
    except RemoteError as error:
        if error.wire_code in _AS_SOMEBODY_NEW:
            return None
        raise


@app.command()
def login(
    address: Annotated[
        str | None, typer.Argument(help="The coordinator, like https://192.168.1.5:8400; a home that joined knows it.")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Also for what only admins may, for ten minutes.")] = False,
    json: Json = False,
) -> None:
    """Sign in here by a code that you confirm where you are signed in already: in a browser, or a command line."""
    from mesh.cli import login as logins

    logins.login(here.home(), address, Out(json), admin=admin)


@app.command()
def confirm(
    code: Annotated[str, typer.Argument(help="The code that `mesh auth login` shows on the other machine.")],
    yes: Annotated[bool, typer.Option("--yes", help="Confirm without being asked.")] = False,
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="Also if that machine is at another public address.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign another machine of yours in by the code that it shows. Only if you started that yourself, just now."""
    from mesh.cli import login as logins
    from mesh.cli.pairing import Answers

    logins.confirm(here.home(), code, Answers(Out(json), yes=yes, elsewhere=elsewhere))


@app.command()
def link(json: Json = False) -> None:
    """Make a link that signs you in on another machine of yours, once, within ten minutes."""
    from mesh.sdk import calls

    out, place = Out(json), here.home()
    with here.coordinator(place) as client:
        made = client.do(calls.sign_in_link())
    out.result(made, f"{made.link}\n\nOn the other machine, within ten minutes:\n  mesh auth claim 'LINK'")
    out.qr(made.link)
    here.warn_if_unreachable(place, out)


@app.command()
def sessions(json: Json = False) -> None:
    """Where you are signed in as a person."""
    from mesh.sdk import calls

    with here.coordinator(here.home()) as client:
        found = client.do(calls.sessions())
    rows = [
        (
            foreign(one.label or ""),
            ("this one" if one.current else "") + (" by a code" if one.by_code else ""),
            day(one.created_ms),
            day(one.expires_ms),
            one.session,
        )
        for one in found.sessions
    ]
    Out(json).result(found, lambda: table(("on", "", "since", "until", "id"), rows, empty="Nowhere."))


@app.command()
def revoke(
    session: Annotated[str, typer.Argument(metavar="ID", help="The sign-in's id, from `mesh auth sessions`.")],
    json: Json = False,
) -> None:
    """Sign out in another place: what is kept there is worth nothing from now on."""
    from mesh.sdk import calls

    with here.coordinator(here.home()) as client:
        client.do(calls.end_session(session))
    Out(json).result({"session": session, "revoked": True}, "Signed out there.")


@app.command("hand-over")
def hand_over(
    person: Annotated[
        str, typer.Argument(metavar="PERSON", help="A member's name or id: they operate it from now on.")
    ],
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Hand the whole installation over to somebody else (for its operator); you stay what you are in its networks."""
    from mesh.cli.members import member_named
    from mesh.sdk import privacy

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        found = member_named(client, meant, person)
        client.do(privacy.hand_over(found))
    Out(json).result({"operator": found}, f"{foreign(person)} operates this installation now.")


@app.command()
def logout(json: Json = False) -> None:
    """Sign out here. A device in this home stays a device."""
    import msgspec

    from mesh.sdk import calls
    from mesh.sdk.client import Coordinator

    place = here.home()
    with Coordinator.of(place) as client:
        current = next((one for one in client.do(calls.sessions()).sessions if one.current), None)
        if current is not None:
            client.do(calls.end_session(current.session))
    place.write(msgspec.structs.replace(place.read(), session=None))
    Out(json).result({"signed_out": True}, "Signed out. Sign in again: mesh auth login")
