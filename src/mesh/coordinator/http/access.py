"""Who may call a route: each route declares exactly one of ``public``, ``signed_in``, ``operator``, ``needs``.

The declaration stands in the route's ``dependencies`` and is what runs: there is no other check to forget.

Touches: database and clock (through the desk).
"""

from typing import NamedTuple

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from mesh.coordinator.http.desk import desk_of, token_hash
from mesh.coordinator.store import people
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.networks.membership import Permission, require
from mesh.protocol.values import Role

READING = ("GET", "HEAD")
_SCHEME = "Bearer "


class NotSignedIn(MeshError):
    """Sign in first: no valid session came with the request. Use `mesh auth claim LINK --name NAME`."""

    code = "auth.not_signed_in"
    kind = "unauthenticated"


class ReadOnly(MeshError):
    """A device's own session only reads. Sign in as a person to change something."""

    code = "auth.read_only"
    kind = "forbidden"


class NotOperator(MeshError):
    """Only the person who claimed this installation may do that. Ask them."""

    code = "auth.not_operator"
    kind = "forbidden"


class Caller(NamedTuple):
    """Who calls: a member, perhaps through a device's session; in the route's network with ``role``."""

    member: MemberId
    name: str
    device: DeviceId | None
    operator: bool
    role: Role | None = None
    network: NetworkId | None = None


class Access:
    """A route's declaration. ``label`` is what it demands, in words that tests and documents can list."""

    def __init__(self, label: str, permission: Permission | None = None) -> None:
        self.label = label
        self.permission = permission

    async def __call__(self, request: Request) -> None:
        """Let the request through, with ``request.state.caller`` set unless it is public."""
        if self.label.startswith("public"):
            return
        caller = await _caller(request)
        if self.label == "operator" and not caller.operator:
            raise NotOperator
        if self.permission is not None:
            network = NetworkId(request.path_params["network"])
            role = desk_of(request).parts.snapshot.role(network, caller.member)
            require(role, self.permission)
            caller = caller._replace(role=role, network=network)
        request.state.caller = caller


def public(why: str) -> Dependency:
    """Anybody may call this; ``why`` that is safe."""
    return _dependency(Access(f"public: {why}"))


def signed_in() -> Dependency:
    """Anybody with a session."""
    return _dependency(Access("signed in"))


def operator() -> Dependency:
    """The person who claimed the installation."""
    return _dependency(Access("operator"))


def needs(permission: Permission) -> Dependency:
    """A member of the network in the path, whose role has the permission."""
    return _dependency(Access(permission, permission))


def caller_of(request: Request) -> Caller:
    """Who called, on a route that is not public."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


def _dependency(access: Access) -> Dependency:
    depends = Depends(access)
    assert isinstance(depends, Dependency)
    return depends


async def _caller(request: Request) -> Caller:
    header = request.headers.get("authorization", "")
    if not header.startswith(_SCHEME):
        raise NotSignedIn
    parts = desk_of(request).parts
    session = await parts.database.read(people.session, token_hash(header[len(_SCHEME) :].strip()))
    if session is None or parts.now_ms() >= session.expires_ms:
        raise NotSignedIn
    if session.scope != "full" and request.method not in READING:
        raise ReadOnly
    installation = await parts.database.read(people.installed)
    operates = installation is not None and installation.operator == session.member and session.scope == "full"
    return Caller(session.member, session.name, session.device, operates)
