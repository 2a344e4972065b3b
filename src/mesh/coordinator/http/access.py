"""Who may call a route: each route declares exactly one of ``public``, ``signed_in``, ``operator``, ``needs``.

The declaration stands in the route's ``dependencies`` and is what runs: there is no other check to forget.

Touches: database and clock (through the desk).
"""

from typing import NamedTuple

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from mesh.coordinator.http import cookie
from mesh.coordinator.http.desk import desk_of, token_hash
from mesh.coordinator.store import api_keys, networks, people
from mesh.coordinator.store.connection import Store
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.networks.api_keys import ApiKey, allowed, works
from mesh.networks.applicants import Waits
from mesh.networks.logins import NotFresh, is_limited
from mesh.networks.membership import MEMBER, PERMISSIONS, NotAllowed, NotMember, Permission
from mesh.protocol.values import Role
from mesh.units import HOUR

API_KEY_PREFIX = "mesh_key_"
"""How API keys begin: whoever finds one sees what it is, and scanners for secrets can look for it."""
READING = ("GET", "HEAD")
_SCHEME = "Bearer "
_USED_EVERY_MS = int(HOUR * 1000)
"""When a key was last used is kept to the hour: not every request is worth a write."""


class NotSignedIn(MeshError):
    """Sign in first: no valid session came along. `mesh auth login`, or by a link: `mesh auth claim LINK`."""

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


class KeyConfined(MeshError):
    """An API key does what its scopes name and its maker's role allows, in its own network. Sign in as a person for
    anything else, or make a key that names it: `mesh api-key create`.
    """

    code = "auth.key_confined"
    kind = "forbidden"


class NullByte(MeshError):
    """A text with a null character in it is not taken: nothing could show it. Send it without."""

    code = "request.null_byte"
    kind = "invalid"


class Caller(NamedTuple):
    """Who calls: a member, perhaps through a device's session or a key; in the route's network with ``role``.

    ``permissions``: what they may do in that network, by their role and, with a key, by its scopes. ``limited``: by a
    session that came by a code, which does nothing that only admins may. ``signed_in_ms``: since when it is open.
    """

    member: MemberId
    name: str
    device: DeviceId | None
    operator: bool
    key: ApiKey | None = None
    role: Role | None = None
    network: NetworkId | None = None
    permissions: frozenset[Permission] = frozenset()
    limited: bool = False
    signed_in_ms: int = 0

    def may(self, permission: Permission) -> bool:
        """Whether the caller may do that in the route's network."""
        return permission in self.permissions

    def need(self, permission: Permission) -> None:
        """Refuse a caller who may not do that. Raises NotAllowed, NotFresh, KeyConfined."""
        if self.may(permission):
            return
        if self.limited and self.role is not None and permission in PERMISSIONS[self.role]:
            raise NotFresh(permission=permission)
        if self.key is not None:
            raise KeyConfined(permission=permission)
        raise NotAllowed(permission=permission, role=self.role)

    def need_in_person(self) -> None:
        """Refuse what opens a further way in, or tells all, to a session by a code or of a device's key.

        Raises NotFresh, ReadOnly.
        """
        if self.limited:
            raise NotFresh
        if self.device is not None:
            raise ReadOnly

    def inside(self, network: NetworkId, role: Role | None) -> "Caller":
        """The same caller in a network. Raises NotMember, KeyConfined."""
        if role is None:
            raise NotMember
        if self.key is None:
            mine = PERMISSIONS[role] & MEMBER if self.limited else PERMISSIONS[role]
            return self._replace(role=role, network=network, permissions=mine)
        if self.key.network != network:
            raise KeyConfined
        return self._replace(role=role, network=network, permissions=allowed(role, self.key.scopes))


class Access:
    """A route's declaration. ``label`` is what it demands, in words that tests and documents can list."""

    def __init__(
        self, label: str, permission: Permission | None = None, *, keys: bool = False, in_person: bool = False
    ) -> None:
        """``keys``: API keys may call it although it names no permission. ``in_person``: no session by a code may."""
        self.label = label
        self.permission = permission
        self.public = label.startswith("public")
        self.keys = keys or permission is not None
        self._in_person = in_person

    async def __call__(self, request: Request) -> None:
        """Let the request through, with ``request.state.caller`` set unless it is public."""
        if "\0" in request.url.path or b"%00" in request.scope["query_string"] or b"\\u0000" in await request.body():
            raise NullByte
        if self.public:
            return
        caller = await _caller(request)
        if self._in_person:
            caller.need_in_person()
        if self.label == "operator" and not caller.operator:
            raise NotOperator
        if self.permission is not None:
            network = NetworkId(request.path_params["network"])
            role = desk_of(request).parts.snapshot.role(network, caller.member)
            if role is None and caller.key is None:
                await _refuse_waiting(request, network, caller.member)
            caller = caller.inside(network, role)
            caller.need(self.permission)
        elif caller.key is not None and not self.keys:
            raise KeyConfined
        request.state.caller = caller


def public(why: str) -> Dependency:
    """Anybody may call this; ``why`` that is safe."""
    return _dependency(Access(f"public: {why}"))


def signed_in(*, keys: bool = False, in_person: bool = False) -> Dependency:
    """Anybody with a session; with ``keys`` also programs with an API key, whatever its scopes.

    ``in_person``: it opens a further way in or tells all, so that a session which came by a code may not, nor a device.
    """
    who = "signed in, not by a code" if in_person else "signed in, or an API key" if keys else "signed in"
    return _dependency(Access(who, keys=keys, in_person=in_person))


def operator() -> Dependency:
    """The person who claimed the installation."""
    return _dependency(Access("operator", in_person=True))


def needs(permission: Permission) -> Dependency:
    """A member of the network in the path, whose role has the permission."""
    return _dependency(Access(permission, permission))


def caller_of(request: Request) -> Caller:
    """Who called, on a route that is not public."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


def bearer(request: Request) -> str:
    """The token that a request carries, in its header or a page's cookie. Raises NotSignedIn, NotFromPage."""
    header = request.headers.get("authorization", "")
    if header.startswith(_SCHEME):
        return header[len(_SCHEME) :].strip()
    secure = desk_of(request).parts.site.secure
    token = cookie.token_in(request.headers.raw, secure=secure)
    if token is None:
        raise NotSignedIn
    if request.method not in READING:
        cookie.check_act(request.headers.raw, secure=secure)
    return token


def _dependency(access: Access) -> Dependency:
    depends = Depends(access)
    assert isinstance(depends, Dependency)
    return depends


async def _caller(request: Request) -> Caller:
    token = bearer(request)
    if token.startswith(API_KEY_PREFIX):
        return await _program(request, token)
    parts = desk_of(request).parts
    session = await parts.database.read(people.session, token_hash(token))
    if session is None or parts.now_ms() >= session.expires_ms:
        raise NotSignedIn
    if session.scope != "full" and request.method not in READING:
        raise ReadOnly
    installation = await parts.database.read(people.installed)
    operates = installation is not None and installation.operator == session.member and session.scope == "full"
    limited = is_limited(session.admin_until_ms, parts.now_ms())
    who = (session.member, session.name, session.device, operates and not limited)
    return Caller(*who, limited=limited, signed_in_ms=session.created_ms)


async def _program(request: Request, token: str) -> Caller:
    parts = desk_of(request).parts
    found = await parts.database.read(api_keys.of_token, token_hash(token))
    now_ms = parts.now_ms()
    if found is None or not works(found[0], now_ms):
        raise NotSignedIn
    key, name = found
    if key.used_ms is None or now_ms - key.used_ms >= _USED_EVERY_MS:
        await parts.database.write(_note_use, key.id, now_ms)
    return Caller(key.member, name, None, operator=False, key=key)


async def _refuse_waiting(request: Request, network: NetworkId, member: MemberId) -> None:
    """Who waits for an admin may nothing, and is told what they wait for. Raises Waits."""
    if await desk_of(request).parts.database.read(networks.state, network, member) == "pending":
        raise Waits


def _note_use(store: Store, key: str, now_ms: int) -> None:
    api_keys.used(store, key, now_ms=now_ms)
