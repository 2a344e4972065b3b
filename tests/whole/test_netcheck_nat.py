"""What netcheck says behind real address translation: it tells routers apart, and a closed UDP from an open one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mesh.protocol import link
from mesh.protocol.link import Admission, Admissions
from mesh.protocol.signed import public_key
from namespaces import PUBLIC, SERVER, Internet, an_internet

PEER = Path(__file__).with_name("netcheck_peer.py")
SEED = bytes([7]) * 32
SECOND = f"{PUBLIC}.2"
NO_UDP = "table ip deaf { chain through { type filter hook forward priority -1; meta l4proto udp drop; }; }"


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    with an_internet() as made:
        made.run("pub", "ip", "addr", "add", f"{SECOND}/24", "dev", "world")
        for name, nat in (("plain", "plain"), ("symmetric", "symmetric"), ("deaf", "plain")):
            made.router(f"{name}-home", "symmetric" if nat == "symmetric" else "plain")
            made.machine(name, f"{name}-home", 2)
        made.run("deaf-home", "nft", "-f", "-", text=NO_UDP)
        yield made


@pytest.fixture(scope="module")
def relays(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """Two relays with observers, at two public addresses."""
    with ExitStack() as stack:
        found = []
        for host in (SERVER, SECOND):
            folder = tmp_path_factory.mktemp("relay")
            log = stack.enter_context((folder / "log").open("ab"))
            with internet.inside("pub"):
                relay = stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-m", "mesh.relay.main"],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        text=True,
                    )
                )
            stack.callback(relay.kill)
            assert relay.stdin is not None and relay.stdout is not None
            everybody = Admissions((Admission(public_key(SEED), (1,)),), full=True)
            relay.stdin.write(json.dumps({"folder": str(folder), "host": host}) + "\n")
            relay.stdin.write(link.encode(everybody).decode() + "\n")
            relay.stdin.flush()
            said = json.loads(relay.stdout.readline())
            found.append({name: said[name] for name in ("url", "key", "observer")})
        yield found


def check(internet: Internet, where: str, relays: list[dict[str, Any]]) -> tuple[dict[str, Any], set[str]]:
    """Run a check in a namespace: the report about the network, and the codes found."""
    said = json.loads(internet.run(where, sys.executable, str(PEER), SEED.hex(), json.dumps(relays)))
    return said["network"], {finding["code"] for finding in said["findings"]}


def test_an_ordinary_router_keeps_one_port(internet: Internet, relays: list[dict[str, Any]]) -> None:
    network, codes = check(internet, "plain", relays)
    assert network["nat"] == "same_for_all" and network["seen_under"] == ["public"]
    assert {"udp.open", "nat.same_for_all", "relay.plain_http"} <= codes


def test_a_router_that_maps_by_destination_is_told(internet: Internet, relays: list[dict[str, Any]]) -> None:
    network, codes = check(internet, "symmetric", relays)
    assert network["nat"] == "by_destination" and "nat.by_destination" in codes


def test_with_one_relay_it_is_said_that_the_router_cannot_be_told(
    internet: Internet, relays: list[dict[str, Any]]
) -> None:
    assert check(internet, "symmetric", relays[:1])[0]["nat"] == "one_observer"


def test_a_firewall_that_drops_udp_is_told(internet: Internet, relays: list[dict[str, Any]]) -> None:
    network, codes = check(internet, "deaf", relays)
    assert network["nat"] == "unknown" and "udp.closed" in codes and "relay.reached" in codes


def test_a_machine_with_a_public_address_has_no_router_in_between(
    internet: Internet, relays: list[dict[str, Any]]
) -> None:
    assert check(internet, "pub", relays)[0]["nat"] == "none"
