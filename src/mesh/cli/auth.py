"""`mesh auth`: who is signed in here.

Touches: files of the home, sockets (through the client).
"""

from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, foreign
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.ids import DeviceKey
    from mesh.sdk.answers import About

app = typer.Typer(help="Sign in as a person.", no_args_is_help=True)


class OtherCoordinator(MeshError):
    """This MESH_HOME belongs to another coordinator. Set MESH_HOME to another folder for this link."""

    code = "home.other_coordinator"
    kind = "conflict"


@app.command()
def claim(
    link: Annotated[str, typer.Argument(help="The link from `mesh serve` or `mesh members invite`; - reads stdin.")],
    name: Annotated[str, typer.Option("--name", help="What others call you.")],
    json: Json = False,
) -> None:
    """Sign in with a claim link (the first person) or a member invite; every link works as often as it says."""
    from mesh.sdk import calls
    from mesh.sdk.client import Coordinator
    from mesh.sdk.home import CoordinatorRecord, SessionRecord

    place, parsed = here.home(), here.link_from(link)
    record = place.read()
    known = CoordinatorRecord(parsed.url, parsed.coordinator, parsed.tls_sha256, parsed.more)
    with Coordinator(known) as client:
        if record.coordinator is not None and record.coordinator.key != known.key:
            _check_follows(record.coordinator.key, client.do(calls.about()))
        claimed = client.do(calls.claim(parsed.secret, name))
    import msgspec

    session = SessionRecord(claimed.token, claimed.member, claimed.name)
    network = claimed.network or record.network
    place.write(msgspec.structs.replace(record, coordinator=known, session=session, network=network))
    value = {"member": claimed.member, "name": claimed.name, "network": claimed.network}
    hint = "mesh device invite" if claimed.network else "mesh net create NAME"
    Out(json).result(value, f"Signed in as {foreign(claimed.name)}. Next: {hint}")


def _check_follows(known: "DeviceKey", about: "About") -> None:
    """The coordinator of the link is the one of this home, under a newer key. Raises OtherCoordinator."""
    from mesh.sdk.following import the_same
    from mesh.sdk.pinning import WrongCertificate

    try:
        the_same(known, about)
    except WrongCertificate as error:
        raise OtherCoordinator from error
