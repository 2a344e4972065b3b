"""Small internets made of network namespaces: one public network, and homes behind routers that translate addresses.

Every router drops what comes in unasked, as home routers do. Names are unique to the process, and all is taken down at
the end, whatever happened. Needs root, ``ip`` and ``nft``; nothing in here can reach the real network.

Touches: network namespaces, processes (ip, nft).
"""

import ctypes
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

Nat = Literal["plain", "symmetric"]
PUBLIC = "5.5.5"
"""Looks like the world to the rules about addresses; the packets never leave the namespaces."""
SERVER = f"{PUBLIC}.1"
CLONE_NEWNET = 0x40000000

RULES = """
table ip home {{
  chain out {{
    type nat hook postrouting priority 100
    oifname "wan" masquerade{how}
  }}
  chain in {{
    type filter hook input priority 0; policy drop
    iifname != "wan" accept
    ct state established accept
  }}
  chain through {{
    type filter hook forward priority 0; policy drop
    iifname != "wan" accept
    ct state established accept
  }}
}}
"""

_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


def need_namespaces() -> None:
    """Skip where one may not make them (never in CI); as root get the tools where the system can, or fail."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        assert "CI" not in os.environ, "network namespaces need root, and CI has to test them"
        pytest.skip("network namespaces need root")
    missing = [package for tool, package in (("ip", "iproute2"), ("nft", "nftables")) if shutil.which(tool) is None]
    if missing:
        subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True, timeout=120)
        subprocess.run(["apt-get", "install", "-qq", "-y", *missing], check=True, capture_output=True, timeout=120)


class Internet:
    """Namespaces by name. ``pub`` is the public network's machine, at ``SERVER``."""

    def __init__(self) -> None:
        self._prefix = f"mesh{os.getpid()}-{next(_numbers)}-"
        self._made: list[str] = []
        self._links = 0
        self._public: dict[str, str] = {}
        self._make("pub")
        self._ip("pub", "link add name world type bridge", f"addr add {SERVER}/24 dev world", "link set world up")

    def router(self, name: str, nat: Nat = "plain") -> None:
        """A home's router: its public address is ``public(name)``, its own network 192.168.N.0/24."""
        number = len(self._public) + 1
        self._public[name] = f"{PUBLIC}.{10 + number}"
        self._make(name)
        outer = self._cable("pub", name, "wan")
        self._ip("pub", f"link set {outer} master world", f"link set {outer} up")
        self._ip(name, f"addr add {self._public[name]}/24 dev wan", "link set wan up")
        self._ip(name, "link add name lan type bridge", f"addr add 192.168.{number}.1/24 dev lan")
        self._ip(name, "link set lan up", f"route add default via {SERVER}")
        how = " random,fully-random" if nat == "symmetric" else ""
        self.run(name, "nft", "-f", "-", text=RULES.format(how=how))
        self.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def machine(self, name: str, router: str, number: int) -> None:
        """A machine at home: 192.168.N.``number``, and out through its router."""
        home = self.run(router, "ip", "-o", "-4", "addr", "show", "dev", "lan").split()[3].rpartition(".")[0]
        self._make(name)
        inner = self._cable(router, name, "eth")
        self._ip(router, f"link set {inner} master lan", f"link set {inner} up")
        self._ip(name, f"addr add {home}.{number}/24 dev eth", "link set eth up", f"route add default via {home}.1")

    def run(self, name: str, *command: str, text: str = "") -> str:
        """Run a program in a namespace; returns what it printed."""
        done = subprocess.run(
            ["ip", "netns", "exec", self._prefix + name, *command],
            input=text,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, f"{name}: {command}: {done.stderr}"
        return done.stdout

    def public(self, router: str) -> str:
        """A router's public address."""
        return self._public[router]

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """This thread, and whatever it starts, is in a namespace."""
        with open("/proc/self/ns/net") as here, open(f"/run/netns/{self._prefix}{name}") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    def close(self) -> None:
        """Take everything down."""
        for name in reversed(self._made):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=30)

    def _make(self, name: str) -> None:
        full = self._prefix + name
        subprocess.run(["ip", "netns", "add", full], check=True, capture_output=True, timeout=30)
        self._made.append(full)
        self._ip(name, "link set lo up")

    def _cable(self, near: str, far: str, far_name: str) -> str:
        """A cable between two namespaces; returns the name of its near end."""
        self._links += 1
        near_name = f"port{self._links}"
        self._ip(near, f"link add {near_name} type veth peer name {far_name} netns {self._prefix}{far}")
        return near_name

    def _ip(self, name: str, *lines: str) -> None:
        done = subprocess.run(
            ["ip", "-n", self._prefix + name, "-batch", "-"],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, f"{name}: {lines}: {done.stderr}"


@contextmanager
def an_internet() -> Iterator[Internet]:
    """A public network without homes yet."""
    need_namespaces()
    made = Internet()
    try:
        yield made
    finally:
        made.close()


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
