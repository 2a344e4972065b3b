"""Cookies of our pages, and what a request must show beside one to act.

Scripts cannot read them. Over https they are ``__Host-`` cookies, and no others count: a neighbour who answers for our
name over plain http, or a site beside ours, can plant any other. Over plain http, which is for loopback only, they have
plain names and no ``Secure``: some browsers refuse the prefix there. What acts needs our own page as its Origin and a
header that only a page's own script can set: neither a form nor an image of another site has both.

Touches: nothing.
"""

from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie

from mesh.errors import MeshError

SESSION = "mesh"
MAIL = "mesh-mail"
"""The cookie of a browser that asked for a link by mail: the link works there alone."""
PAGE_HEADER = "x-mesh-page"
LIFE_S = 30 * 86400
"""A browser forgets its session after a month; the session itself may end before."""
Headers = Iterable[tuple[bytes, bytes]]


class NotFromPage(MeshError):
    """This request did not come from the dashboard itself. Open the dashboard and do it there."""

    code = "auth.not_from_page"
    kind = "forbidden"


def token_in(headers: Headers, *, secure: bool) -> str | None:
    """The session token in a request's cookies (header names in lower case)."""
    return cookie_in(headers, SESSION, secure=secure)


def cookie_in(headers: Headers, name: str, *, secure: bool) -> str | None:
    """The cookie of a request that we set under a name; ``secure``: our pages are reached over https."""
    for header, value in headers:
        if header == b"cookie":
            cookies: SimpleCookie = SimpleCookie()
            try:
                cookies.load(value.decode("latin-1"))
            except CookieError:
                return None
            found = cookies.get(_full(name, secure=secure))
            return None if found is None else found.value
    return None


def from_same_page(headers: Headers, *, secure: bool) -> bool:
    """Whether a request's Origin is the very host that it was sent to, over https where our pages are."""
    origins = [value for name, value in headers if name == b"origin"]
    hosts = [value for name, value in headers if name == b"host"]
    if len(origins) != 1 or len(hosts) != 1 or not hosts[0]:
        return False
    return origins[0].lower() == (b"https://" if secure else b"http://") + hosts[0].lower()


def check_act(headers: Headers, *, secure: bool) -> None:
    """A request that acts by a cookie comes from our own page. Raises NotFromPage."""
    listed = list(headers)
    if not from_same_page(listed, secure=secure) or not any(name == PAGE_HEADER.encode() for name, _ in listed):
        raise NotFromPage


def set_cookie(token: str, *, secure: bool) -> str:
    """The value of a Set-Cookie header that signs a page in; an empty token signs it out."""
    return kept_by_browser(SESSION, token, LIFE_S if token else 0, secure=secure)


def kept_by_browser(name: str, value: str, life_s: int, *, secure: bool) -> str:
    """The value of a Set-Cookie header; 0 seconds take the cookie away."""
    more = "; Secure" if secure else ""
    return f"{_full(name, secure=secure)}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={life_s}{more}"


def _full(name: str, *, secure: bool) -> str:
    return f"__Host-{name}" if secure else name
