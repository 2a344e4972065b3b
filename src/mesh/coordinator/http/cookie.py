"""The session of a page: a cookie that scripts cannot read, and what a request must show beside it to act.

Over https it is a ``__Host-`` cookie. Over plain http, which is for loopback only, it has a plain name and no
``Secure``: some browsers refuse the prefix there. What acts needs our own page as its Origin and a header that only a
page's own script can set: neither a form nor an image of another site has both.

Touches: nothing.
"""

from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from mesh.errors import MeshError

SECURE_NAME = "__Host-mesh"
PLAIN_NAME = "mesh"
MAIL_NAMES = ("__Host-mesh-mail", "mesh-mail")
"""The cookie of a browser that asked for a link by mail: the link works there alone."""
PAGE_HEADER = "x-mesh-page"
LIFE_S = 30 * 86400
"""A browser forgets it after a month; the session itself may end before."""
Headers = Iterable[tuple[bytes, bytes]]


class NotFromPage(MeshError):
    """This request did not come from the dashboard itself. Open the dashboard and do it there."""

    code = "auth.not_from_page"
    kind = "forbidden"


def token_in(headers: Headers) -> str | None:
    """The session token in a request's cookies (header names in lower case)."""
    return cookie_in(headers, (SECURE_NAME, PLAIN_NAME))


def cookie_in(headers: Headers, names: tuple[str, str]) -> str | None:
    """A cookie of a request, by the first of its names that is there."""
    for name, value in headers:
        if name == b"cookie":
            cookies: SimpleCookie = SimpleCookie()
            try:
                cookies.load(value.decode("latin-1"))
            except CookieError:
                return None
            found = cookies.get(names[0]) or cookies.get(names[1])
            return None if found is None else found.value
    return None


def from_same_page(headers: Headers) -> bool:
    """Whether a request's Origin is the very host that it was sent to."""
    origins = [value for name, value in headers if name == b"origin"]
    hosts = [value for name, value in headers if name == b"host"]
    if len(origins) != 1 or len(hosts) != 1:
        return False
    return urlsplit(origins[0].decode("latin-1")).netloc.lower() == hosts[0].decode("latin-1").lower() != ""


def check_act(headers: Headers) -> None:
    """A request that acts by a cookie comes from our own page. Raises NotFromPage."""
    listed = list(headers)
    if not from_same_page(listed) or not any(name == PAGE_HEADER.encode() for name, _ in listed):
        raise NotFromPage


def set_cookie(token: str, *, secure: bool) -> str:
    """The value of a Set-Cookie header that signs a page in; an empty token signs it out."""
    name, more = (SECURE_NAME, "; Secure") if secure else (PLAIN_NAME, "")
    life = LIFE_S if token else 0
    return f"{name}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={life}{more}"
