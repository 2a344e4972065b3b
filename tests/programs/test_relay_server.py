"""The relay's sockets: HTTP answers, the handshake, forwarding, isolation, and limits under bad clients."""

import asyncio
import json
import socket
import time
from collections.abc import Callable

import pytest
from nacl.signing import SigningKey

from mesh.ids import DeviceKey
from mesh.protocol import relayed
from mesh.relay.door import ESTABLISH_S, HALF_OPEN_PER_SOURCE_MAX, source_of
from mesh.relay.server import BACKLOG_BYTES_MAX, CannotListen, Relay
from mesh.units import MIB
from relay_client import Denied, a_key, a_relay, connected, derive_key, public, upgraded

pytestmark = pytest.mark.anyio

A, B, C = a_key("a"), a_key("b"), a_key("c")
NETWORKS = {A: (1,), B: (1,), C: (2,)}
LIMIT_S = 30.0


def to(key: SigningKey, content: bytes = b"packet") -> bytes:
    return relayed.send_datagrams(public(key), content)


def from_(key: SigningKey, content: bytes = b"packet") -> relayed.Datagrams:
    return relayed.Datagrams(public(key), 0, content)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that the relay's loop (this very loop) will bring about."""
    async with asyncio.timeout(LIMIT_S):
        while not true():  # noqa: ASYNC110 - the relay has no event for it
            await asyncio.sleep(0.005)


async def get(url: str, path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """A plain HTTP/1.1 request; the relay closes after each."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        request = "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""))
        writer.write(request.encode(errors="surrogateescape"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


# --- HTTP -------------------------------------------------------------------------------------------------------------


async def test_ping_answers_anybody_with_nothing() -> None:
    async with a_relay({}) as (_, url):
        status, headers, body = await get(url, "/ping")
        assert (status, headers["access-control-allow-origin"], body) == (200, "*", b"")


async def test_healthz_counts_and_names_no_key() -> None:
    async with a_relay(NETWORKS) as (_, url), connected(url, A) as a, connected(url, B) as b:
        await a.send(to(B))
        await a.send(to(C))
        assert await b.hear() == from_(A)
        await a.heard()
        status, headers, body = await get(url, "/healthz")
        health = json.loads(body)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert health["status"] == "ok"
        assert health["connections"] == 2
        assert health["handshakes"] == {"accepted": 2, "denied": 0}
        assert health["frames_forwarded"] == 1
        assert health["bytes_forwarded"] == len(to(B))
        assert health["dropped"] == {"no_route": 1}
        assert not any(public(key).hex() in body.decode() for key in NETWORKS)


@pytest.mark.parametrize(
    ("challenge", "answered"), [("abc-._9", "response abc-._9"), ("a" * 64, None), ("a b", None), ("", None)]
)
async def test_generate_204_proves_who_answered(challenge: str, answered: str | None) -> None:
    async with a_relay({}) as (_, url):
        status, headers, body = await get(url, "/generate_204", f"X-Iroh-Challenge: {challenge}")
        assert (status, headers.get("x-iroh-response"), body) == (204, answered, b"")


@pytest.mark.parametrize("path", ["/", "/relay/", "/admin", "/healthz/x", "/../ping"])
async def test_everything_else_is_not_found(path: str) -> None:
    async with a_relay({}) as (_, url):
        assert (await get(url, path))[0] == 404


async def test_a_bad_upgrade_is_a_bad_request() -> None:
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    async with a_relay({}) as (relay, url):
        assert (await get(url, "/relay"))[0] == 400
        assert (await get(url, "/relay", *upgrade, key))[0] == 400
        assert (await get(url, "/relay", *upgrade, key, "Sec-WebSocket-Protocol: chat"))[0] == 400
        assert (await get(url, "/relay", *upgrade, "Sec-WebSocket-Protocol: iroh-relay-v2"))[0] == 400
        no_text = (*upgrade[:2], key, "Sec-WebSocket-Protocol: iroh-relay-v2", "Sec-WebSocket-Version: \udc8e3")
        assert (await get(url, "/relay", *no_text))[0] == 400
        assert (await get(url, "/relay", method="POST"))[0] == 400
        await until(lambda: relay.door.half_open == 0)


async def test_a_taken_port_is_an_error_with_its_code() -> None:
    async with a_relay({}) as (_, url):
        with pytest.raises(CannotListen) as refused:
            await Relay().start("127.0.0.1", int(url.rpartition(":")[2]))
        assert refused.value.facts["port"] == int(url.rpartition(":")[2])


# --- handshake --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
async def test_an_admitted_key_is_accepted(version: relayed.Version) -> None:
    async with a_relay(NETWORKS) as (relay, url), connected(url, A, version) as a:
        assert await a.heard() == []
        assert relay.pairing.connections == 1
        assert relay.door.half_open == 0


async def test_a_stranger_and_a_liar_hear_the_same_refusal() -> None:
    reasons = []
    async with a_relay(NETWORKS) as (relay, url):
        with pytest.raises(Denied) as stranger:
            async with connected(url, a_key("stranger")):
                pass
        reasons.append(str(stranger.value))
        async with upgraded(url) as liar:
            digest = relayed.challenge_digest(await liar.challenge(), derive_key)
            with pytest.raises(Denied) as refused:
                await liar.prove(public(A), a_key("stranger").sign(digest).signature)
            reasons.append(str(refused.value))
            assert await liar.ended() == 1008
        assert len(set(reasons)) == 1
        assert relay.handshakes == {"accepted": 0, "denied": 2}
        assert relay.pairing.counters.closed == {"unknown_key": 1, "bad_proof": 1}, "the operator sees which was which"
        await until(lambda: relay.door.half_open == 0)


async def test_the_answer_to_one_challenge_is_worthless_for_another() -> None:
    async with a_relay(NETWORKS) as (_, url), upgraded(url) as first, upgraded(url) as second:
        digest = relayed.challenge_digest(await first.challenge(), derive_key)
        assert await second.challenge()
        with pytest.raises(Denied):
            await second.prove(public(A), A.sign(digest).signature)


# The points of small order in the forms that verifiers may read: with them, one signature fits many messages.
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@pytest.mark.parametrize("key", SMALL_ORDER)
async def test_a_key_of_small_order_is_refused_even_if_it_were_admitted(key: str) -> None:
    async with a_relay({}) as (relay, url):
        relay.admissions([(DeviceKey(key), (1,))], full=True)
        identity = (1).to_bytes(32, "little")
        for signature in (bytes(64), identity + bytes(32), bytes.fromhex(key) + bytes(32)):
            async with upgraded(url) as client:
                await client.challenge()
                with pytest.raises(Denied):
                    await client.prove(bytes.fromhex(key), signature)
        assert relay.handshakes["accepted"] == 0


@pytest.mark.parametrize("first", [relayed.ping(b"12345678"), b"", b"\x01", bytes(5000), "text"])
async def test_anything_but_an_answer_ends_the_handshake(first: bytes | str) -> None:
    async with a_relay(NETWORKS) as (relay, url), upgraded(url) as client:
        await client.challenge()
        await client.socket.send(first)
        assert await client.ended() in (1002, 1006)
        await until(lambda: relay.door.half_open == 0)


# --- forwarding -------------------------------------------------------------------------------------------------------


async def test_packets_pass_both_ways_as_they_are() -> None:
    async with a_relay(NETWORKS) as (_, url), connected(url, A) as a, connected(url, B, 1) as b:
        longest = bytes(range(256)) * 255
        await a.send(to(B, longest))
        assert await b.hear() == from_(A, longest)
        await b.send(relayed.send_datagrams(public(A), b"aabbc", segment=2, ecn=3))
        assert await a.hear() == relayed.Datagrams(public(B), 3, b"aabbc", 2)


async def test_order_is_kept_over_many_frames() -> None:
    async with a_relay(NETWORKS) as (_, url), connected(url, A) as a, connected(url, B) as b:
        for number in range(500):
            await a.send(to(B, number.to_bytes(2)))
        assert [await b.hear() for _ in range(500)] == [from_(A, number.to_bytes(2)) for number in range(500)]


async def test_a_message_in_fragments_is_one_frame_and_texts_are_nothing() -> None:
    async with a_relay(NETWORKS) as (_, url), connected(url, A) as a, connected(url, B) as b:
        await a.socket.send("not a frame")
        await a.socket.send(["not ", "a frame ", "either"])
        await a.socket.send([to(B)[:10], to(B)[10:36], to(B)[36:]])
        assert await b.hear() == from_(A)
        assert await a.heard() == []


@pytest.mark.parametrize("too_long", [bytes(70_000), [bytes(40_000), bytes(40_000)]])
async def test_a_frame_above_the_limit_ends_its_connection_only(too_long: bytes | list[bytes]) -> None:
    async with a_relay(NETWORKS) as (_, url), connected(url, A) as a, connected(url, B) as b:
        await a.socket.send(too_long)
        assert await a.ended() in (1009, 1006)
        assert await b.heard() == []


async def test_a_malformed_frame_ends_its_connection_only() -> None:
    async with a_relay(NETWORKS) as (relay, url), connected(url, A) as a, connected(url, B) as b:
        await a.send(b"\x3fnonsense")
        await a.ended()
        assert await b.heard() == []
        assert relay.pairing.counters.closed == {"malformed": 1}


async def test_websocket_pings_are_answered() -> None:
    async with a_relay(NETWORKS) as (_, url), connected(url, A) as a:
        async with asyncio.timeout(LIMIT_S):
            await (await a.socket.ping(b"are you there"))


# --- networks ---------------------------------------------------------------------------------------------------------


async def test_nothing_crosses_from_one_network_to_another_not_even_presence() -> None:
    async with a_relay(NETWORKS) as (relay, url), connected(url, C) as c:
        async with connected(url, A) as a:
            for _ in range(20):
                await a.send(to(C))
                await c.send(to(A))
            assert await a.heard() == []
            assert await c.heard() == []
            await a.send(to(a_key("nobody")))  # absent and forbidden look the same to the sender
            assert await a.heard() == []
        await until(lambda: relay.pairing.connections == 1)
        assert await c.heard() == []  # that A has gone is not C's news
        assert relay.pairing.counters.frames_forwarded == 0
        assert relay.pairing.counters.dropped == {"no_route": 41}


async def test_a_departure_is_told_within_the_network() -> None:
    async with a_relay(NETWORKS) as (_, url), connected(url, B) as b:
        async with connected(url, A) as a:
            await a.send(to(B))
            assert await b.hear() == from_(A)
        assert await b.hear() == relayed.EndpointGone(public(A))


async def test_a_removed_key_is_cut_at_once_and_cannot_come_back() -> None:
    async with a_relay(NETWORKS) as (relay, url), connected(url, A) as a, connected(url, B) as b:
        await a.send(to(B))
        assert await b.hear() == from_(A)
        relay.admissions([(DeviceKey(public(A).hex()), ())], full=False)
        await a.ended()
        assert await b.hear() == relayed.EndpointGone(public(A))
        with pytest.raises(Denied):
            async with connected(url, A):
                pass
        await b.send(to(A))
        assert await b.heard() == []


async def test_the_newest_connection_of_a_key_hears_and_the_spare_takes_over() -> None:
    async with a_relay(NETWORKS) as (_, url), connected(url, A) as a, connected(url, B) as old:
        async with connected(url, B) as new:
            assert await old.hear() == relayed.Status(relayed.STATUS_CONNECTED_ELSEWHERE)
            await a.send(to(B))
            assert await new.hear() == from_(A)
        assert await old.hear() == relayed.Status(relayed.STATUS_HEALTHY)
        await a.send(to(B))
        assert await old.hear() == from_(A)


async def test_a_relay_that_stops_says_so_and_closes() -> None:
    async with a_relay(NETWORKS) as (relay, url), connected(url, A) as a:
        await relay.stop()
        assert isinstance(await a.hear(), relayed.Restarting)
        await a.ended()
        with pytest.raises(OSError):
            await get(url, "/ping")


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_a_client_above_its_byte_rate_is_slowed_and_told() -> None:
    rate = 4 * 1024 * 1024
    async with (
        a_relay(NETWORKS, Relay(bytes_per_s=rate)) as (relay, url),
        connected(url, A) as a,
        connected(url, B) as b,
    ):
        frame = to(B, bytes(60_000))
        begin = time.monotonic()

        async def pour() -> None:
            for _ in range(60):
                await a.send(frame)

        async with asyncio.TaskGroup() as group:
            group.create_task(pour())
            for _ in range(60):
                assert isinstance(await b.hear(), relayed.Datagrams)
        assert time.monotonic() - begin > 0.8 * (60 * len(frame) / rate - 0.2)
        assert await a.hear() == relayed.Status(relayed.STATUS_RATE_LIMITED)
        assert relay.pairing.counters.limited > 0
        assert await a.hear() == relayed.Status(relayed.STATUS_HEALTHY)


async def test_a_receiver_that_does_not_read_costs_its_sender_nothing() -> None:
    async with a_relay(NETWORKS) as (relay, url), connected(url, A) as a, connected(url, B) as b:
        b.socket.transport.pause_reading()
        frame = to(B, bytes(60_000))
        async with asyncio.timeout(60):
            # A relay that waited for the receiver would read nothing more of the sender, and so drop nothing of it.
            while relay.pairing.counters.dropped["full"] < 50:
                for _ in range(20):
                    await a.send(frame)
                assert await a.heard() == []
        [backlog] = [link._socket.get_write_buffer_size() for link in relay._links.values() if link._sent > 2**20]
        assert backlog <= BACKLOG_BYTES_MAX + 2 * len(frame)
        await until(lambda: relay.pairing.counters.closed["stalled"] == 1)  # it took nothing for 2 s
        assert await a.heard() == []
        b.socket.transport.resume_reading()
        assert await b.ended() == 1006


async def test_receivers_that_do_not_read_share_a_bound() -> None:
    relay = Relay(backlog_total=1 * MIB)
    async with a_relay({A: (1,), B: (1,), C: (1,)}, relay) as (_, url), connected(url, A) as a:
        async with connected(url, B) as b, connected(url, C) as c:
            b.socket.transport.pause_reading()
            c.socket.transport.pause_reading()
            async with asyncio.timeout(LIMIT_S):
                while relay.backlog_max != MIB // 2:
                    await a.send(to(B, bytes(60_000)))
                    await a.send(to(C, bytes(60_000)))
                    await a.heard()
        await until(lambda: relay.backlog_max == BACKLOG_BYTES_MAX)  # they have gone: all is as before


async def silent_connections(url: str, count: int) -> list[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    sockets = []
    for _ in range(count):
        connection = socket.create_connection((host, int(port)))
        connection.setblocking(False)
        sockets.append(connection)
        await asyncio.sleep(0)
    return sockets


async def test_half_open_connections_are_bounded_and_honest_ones_still_get_in() -> None:
    async with a_relay(NETWORKS) as (relay, url):
        sockets = await silent_connections(url, HALF_OPEN_PER_SOURCE_MAX + 40)
        try:
            await until(lambda: relay.door.cut == 40)
            assert relay.door.half_open == HALF_OPEN_PER_SOURCE_MAX
            assert await asyncio.get_running_loop().sock_recv(sockets[0], 1) == b""  # the oldest were cut
            async with connected(url, A) as a:
                assert await a.heard() == []
        finally:
            for connection in sockets:
                connection.close()
        await until(lambda: relay.door.half_open == 0)


async def test_who_does_not_prove_a_key_in_30_seconds_is_cut() -> None:
    now = [0.0]
    async with a_relay(NETWORKS, Relay(clock=lambda: now[0])) as (relay, url), upgraded(url) as slow:
        await slow.challenge()
        [silent] = await silent_connections(url, 1)
        await until(lambda: relay.door.half_open == 2)
        now[0] = ESTABLISH_S - 0.1
        async with connected(url, A) as a:
            relay.door.tick(now[0])
            assert relay.door.half_open == 2
            now[0] = ESTABLISH_S + 0.1
            await slow.ended()
            assert await asyncio.get_running_loop().sock_recv(silent, 1) == b""
            assert await a.heard() == []
        silent.close()
        assert relay.door.cut == 2


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_ipv6_counts_by_household(address: str, source: str) -> None:
    assert source_of(address) == source
