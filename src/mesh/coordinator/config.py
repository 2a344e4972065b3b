"""What a coordinator is told at its start, and where that puts it: socket, TLS, the URL that links carry.

Off loopback it always speaks TLS, by a self-made certificate that every link pins. Plain http is for loopback only: for
this machine alone, or behind a proxy on it that ``public_url`` names.

Touches: sockets (asks the system for its own address; sends nothing).
"""

import ipaddress
import socket
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import psutil

from mesh.coordinator.settings import WaySettings
from mesh.errors import MeshError
from mesh.protocol.links import MORE_MAX

PORT_DEFAULT = 8400
_ROUTED = ("192.0.2.1", 9)  # a documentation address: connecting a datagram socket only asks for a route


UNSPECIFIED = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


class BadConfig(MeshError):
    """The coordinator cannot start like this. See the message."""

    code = "coordinator.config"
    kind = "invalid"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``data``: the folder of database and keys. ``port`` 0 picks a free one; ``relay`` False starts none beside it."""

    data: Path
    host: str = "127.0.0.1"
    port: int = PORT_DEFAULT
    public_url: str | None = None
    database: str | None = None
    relay: bool = True
    relay_port: int = 0
    ways: WaySettings = WaySettings()


class Site(NamedTuple):
    """Where devices find this coordinator. ``tls_sha256`` is what links pin, None where nothing is pinned.

    ``more``: its other addresses, named by links that pin a certificate.
    """

    url: str
    tls_sha256: str | None
    more: tuple[str, ...] = ()

    @property
    def binding(self) -> str:
        """What link proofs are bound to: the pinned hash, or the origin."""
        return self.tls_sha256 or self.url

    @property
    def secure(self) -> bool:
        """Whether browsers reach it over https: by its own certificate, or by a proxy's."""
        return self.url.startswith("https:")


class RelayPlace(NamedTuple):
    """Where the relay beside the coordinator keeps its state and listens, and by which host devices reach it.

    ``port`` 0 takes the one of the last run, or a free one.
    """

    folder: Path
    host: str
    port: int
    reached_at: str


def relay_place(config: Config) -> RelayPlace:
    """The relay's place. Its packets are sealed, so that it may listen to the world where the coordinator hides
    behind a proxy on this machine: a proxy for web pages forwards no relay.
    """
    public = public_url(config)
    reached_at = reachable_host(config.host) if public is None else urlsplit(public).hostname or ""
    outside = public is not None and not is_loopback(reached_at)
    host = ("::" if ":" in config.host else "0.0.0.0") if outside else config.host  # noqa: S104 - meant for all
    return RelayPlace(config.data / "relay", host, config.relay_port, reached_at)


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def speaks_tls(config: Config) -> bool:
    """Whether the socket itself speaks TLS. Raises BadConfig."""
    public = public_url(config)
    if public is not None and public.startswith("http:") and not is_loopback(urlsplit(public).hostname or ""):
        raise BadConfig("Plain http off this machine is refused. Give an https:// address as --public-url.")
    return not is_loopback(config.host)


def public_url(config: Config) -> str | None:
    """The public URL without a path, in lower case. Raises BadConfig."""
    if config.public_url is None:
        return None
    parts = urlsplit(config.public_url.strip().lower())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise BadConfig("--public-url must look like https://mesh.example.org, with nothing after the name.")
    return f"{parts.scheme}://{parts.netloc}"


def site(config: Config, port: int, tls_sha256: str | None) -> Site:
    """Where devices find a coordinator that listens on ``port``; links use this and never a Host header."""
    url = public_url(config) or _url(reachable_host(config.host), port, tls=tls_sha256 is not None)
    if tls_sha256 is None or config.host not in UNSPECIFIED:
        return Site(url, tls_sha256)
    others = [_url(host, port, tls=True) for host in own_addresses()]
    return Site(url, tls_sha256, tuple(other for other in others if other != url)[:MORE_MAX])


def _url(host: str, port: int, *, tls: bool) -> str:
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def own_addresses() -> list[str]:
    """This machine's addresses that other machines can try, IPv4 first."""
    found = []
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(each.address.partition("%")[0])
                if not (address.is_loopback or address.is_link_local or address.is_unspecified):
                    found.append(address)
    return [str(address) for address in sorted(set(found), key=lambda address: (address.version, int(address)))]


def reachable_host(host: str) -> str:
    """The address by which others reach a bound host: itself, or for all interfaces the one towards the world."""
    if host not in UNSPECIFIED:
        return host.lower()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(_ROUTED)
        except OSError:
            return "127.0.0.1"  # no network at all: only this machine can come
        return str(asking.getsockname()[0])
