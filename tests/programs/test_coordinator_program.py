"""The coordinator as it really serves: sockets, TLS, its relay child, its end."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl

import httpx2
import msgspec
import psutil
import pytest

from mesh.coordinator.config import BadConfig, Config, relay_place, site, speaks_tls
from mesh.coordinator.main import serve
from mesh.protocol import links
from mesh.protocol.papers import RelayInfo
from mesh.sdk.pinning import WrongCertificate, pinned_context, trusting_nobody

pytestmark = pytest.mark.anyio
WAIT_S = 30.0


@contextlib.asynccontextmanager
async def serving(config):
    """A coordinator that serves; stopped at the end, and nothing is left of it."""
    ready = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(config, ready.set_result))
    try:
        async with asyncio.timeout(WAIT_S):
            done, _ = await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
            if task in done:
                task.result()
        yield ready.result()
    finally:
        task.cancel()
        async with asyncio.timeout(WAIT_S):
            await asyncio.wait((task,))
        assert task.cancelled()


def relays():
    """Those that run: one that was just killed is a zombie until its parent hears of it."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "mesh.relay.main" in " ".join(child.cmdline()):
                found.append(child)
    return found


async def test_it_serves_with_a_relay_keeps_both_addresses_and_leaves_nothing_behind(tmp_path):
    config = Config(tmp_path, port=0)
    async with serving(config) as ready, httpx2.AsyncClient(base_url=ready.url) as http:
        assert (await http.get("/healthz")).json() == {"ok": True}
        assert (await http.get("/v1/about")).json()["key"] == links.parse(ready.claim).coordinator
        assert ready.tls_sha256 is None and links.parse(ready.claim).tls_sha256 is None
        assert (await http.get(f"{ready.relay}/healthz")).status_code == 200
        assert len(relays()) == 1
        kept = ready
    assert relays() == []
    async with serving(config) as ready:
        assert ready.relay == kept.relay
        assert links.parse(ready.claim).secret != links.parse(kept.claim).secret
        assert links.parse(ready.claim).coordinator == links.parse(kept.claim).coordinator


async def test_a_relay_that_dies_is_started_again(tmp_path):
    async with serving(Config(tmp_path, port=0)) as ready, httpx2.AsyncClient() as http:
        (old,) = relays()
        os.kill(old.pid, signal.SIGKILL)
        async with asyncio.timeout(WAIT_S):
            while True:
                await asyncio.sleep(0.05)
                with contextlib.suppress(httpx2.TransportError):
                    if (await http.get(f"{ready.relay}/healthz")).status_code == 200:
                        break
        (new,) = relays()
        assert new.pid != old.pid


async def test_a_relay_whose_port_was_taken_meanwhile_goes_elsewhere_and_the_coordinator_lives(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        folder = tmp_path / "relay"
        folder.mkdir()
        old = RelayInfo(f"http://127.0.0.1:{taken.getsockname()[1]}")
        (folder / "reached.json").write_bytes(msgspec.json.encode(old))
        async with serving(Config(tmp_path, port=0)) as ready, httpx2.AsyncClient() as http:
            assert ready.relay and ready.relay != old.url
            assert (await http.get(f"{ready.relay}/healthz")).status_code == 200


async def test_off_loopback_it_speaks_tls_that_its_links_pin(tmp_path):
    async with serving(Config(tmp_path, host="0.0.0.0", port=0, relay=False)) as ready:
        link = links.parse(ready.claim)
        assert ready.url.startswith("https://") and link.tls_sha256 == ready.tls_sha256
        context = await asyncio.to_thread(pinned_context, link.url, link.tls_sha256, 30.0)
        async with httpx2.AsyncClient(base_url=link.url, verify=context) as http:
            assert (await http.get("/healthz")).status_code == 200
        with pytest.raises(WrongCertificate):
            await asyncio.to_thread(pinned_context, link.url, "00" * 32, 30.0)
        async with httpx2.AsyncClient(verify=trusting_nobody()) as http:
            with pytest.raises(httpx2.ConnectError):
                await http.get(f"{link.url}/healthz")
        async with httpx2.AsyncClient(verify=ssl.create_default_context()) as http:
            with pytest.raises(httpx2.ConnectError):
                await http.get(f"{link.url}/healthz")
            with pytest.raises(httpx2.TransportError):
                await http.get(f"{link.url.replace('https', 'http')}/healthz")


async def test_a_taken_port_is_named(tmp_path):
    async with serving(Config(tmp_path / "a", port=0, relay=False)) as ready:
        port = int(ready.url.rpartition(":")[2])
        with pytest.raises(BadConfig) as refused:
            await serve(Config(tmp_path / "b", port=port, relay=False), lambda ready: None)
        assert refused.value.facts["port"] == port


def test_plain_http_off_this_machine_is_refused(tmp_path):
    with pytest.raises(BadConfig):
        speaks_tls(Config(tmp_path, public_url="http://mesh.example.org"))
    assert speaks_tls(Config(tmp_path, host="192.168.1.4"))
    assert not speaks_tls(Config(tmp_path, public_url="https://mesh.example.org"))


@pytest.mark.parametrize("url", ["ftp://a", "https://a/b", "https://", "a.example.org", "https://a?b"])
def test_an_odd_public_url_is_refused(tmp_path, url):
    with pytest.raises(BadConfig):
        speaks_tls(Config(tmp_path, public_url=url))


def test_links_name_the_public_url_and_pin_only_our_own_certificate(tmp_path):
    behind_a_proxy = site(Config(tmp_path, public_url="https://Mesh.example.org/"), 8400, None)
    assert behind_a_proxy == ("https://mesh.example.org", None, ()) and behind_a_proxy.binding == behind_a_proxy.url
    open_port = site(Config(tmp_path, host="0.0.0.0", public_url="https://mesh.example.org:8400"), 8400, "ab")
    assert open_port[:2] == ("https://mesh.example.org:8400", "ab") and open_port.binding == "ab"
    assert site(Config(tmp_path, host="::1"), 8400, None).url == "http://[::1]:8400"
    for other in open_port.more:
        assert other.startswith("https://") and other.endswith(":8400") and "127." not in other
    assert site(Config(tmp_path, host="192.0.2.7"), 8400, "ab").more == (), "it listens there alone"


def test_behind_a_proxy_the_relay_listens_to_the_world_by_the_public_name(tmp_path):
    place = relay_place(Config(tmp_path, public_url="https://mesh.example.org"))
    assert (place.host, place.reached_at) == ("0.0.0.0", "mesh.example.org")
    assert relay_place(Config(tmp_path)).host == "127.0.0.1"
