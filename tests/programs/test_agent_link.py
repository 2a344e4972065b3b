"""The device's end of the link: proofs, pins, reconnects; and what a device believes of its network."""

import asyncio
import hashlib
import secrets

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from agents import WAIT_S, a_town, until
from mesh.agent.identity import load
from mesh.agent.membership import Membership, PeerRefused, StateMissing
from mesh.coordinator import tls
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.protocol import link, signed
from mesh.protocol.papers import Certificate, LinkProof, NetworkKey, PeerCertificate, State
from mesh.protocol.signed import BadToken
from mesh.protocol.values import Condition
from mesh.sdk.home import DeviceRecord
from mesh.transport.clock import CoordinatorClock
from mesh.transport.link import Down, LinkClient, LinkTarget, PinMismatch, Up

pytestmark = pytest.mark.anyio

SEED, COORDINATOR, STRANGER = (bytes([number]) * 32 for number in (1, 2, 3))
DEVICE = DeviceId("01JAAAAAAAAAAAAAAAAAAAAAAA")


class Ends:
    """Collects what a link client tells, until it has been down."""

    def __init__(self, url, tls_sha256=None):
        target = LinkTarget(url, signed.public_key(COORDINATOR), tls_sha256, DEVICE)
        self.client = LinkClient(target, SEED, CoordinatorClock(), Condition)
        self.events = asyncio.Queue()

    async def first(self, *kinds):
        running = asyncio.create_task(self.client.run(self.events.put_nowait))
        try:
            async with asyncio.timeout(WAIT_S):
                while not isinstance(event := await self.events.get(), kinds):
                    pass
                return event
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def answering(seed=COORDINATOR, key=None, **changes):
    """A coordinator's end that proves itself with ``seed``; ``changes`` replace fields of its proof."""

    async def talk(socket):
        nonce = secrets.token_hex(32)
        await socket.send(link.encode(link.Challenge(key or signed.public_key(COORDINATOR), nonce)).decode())
        prove = link.decode_from_device(await socket.recv())
        theirs = signed.verify(prove.proof, LinkProof, signed.public_key(SEED), "")
        mine = msgspec.structs.replace(theirs, **{"side": "coordinator", **changes})
        welcome = link.Welcome(signed.sign(mine, seed), 1_900_000_000_000, NetworkId("N"))
        await socket.send(link.encode(welcome).decode())
        async for raw in socket:
            message = link.decode_from_device(raw)
            if isinstance(message, link.Beat):
                await socket.send(link.encode(link.BeatAnswer(message.number, 1_900_000_000_000)).decode())

    return talk


def url_of(server, scheme="http"):
    return f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_both_sides_prove_and_the_clock_follows():
    async with serve(answering(), "127.0.0.1", 0) as server:
        ends = Ends(url_of(server))
        assert isinstance(await ends.first(Up), Up)
        assert abs(ends.client.clock.now_ms() - 1_900_000_000_000) < 30_000
        assert ends.client.clock.fresh


@pytest.mark.parametrize(
    ("talk", "code"),
    [
        (answering(seed=STRANGER), "token.invalid"),
        (answering(key=signed.public_key(STRANGER)), "link.pin_mismatch"),
        (answering(side="device"), "link.pin_mismatch"),
        (answering(binding="http://other"), "link.pin_mismatch"),
        (answering(device_nonce="0" * 64), "link.pin_mismatch"),
    ],
)
async def test_a_coordinator_that_cannot_prove_itself_is_not_believed(talk, code):
    async with serve(talk, "127.0.0.1", 0) as server:
        ends = Ends(url_of(server))
        event = await ends.first(Up, Down)
        assert isinstance(event, Down)
        assert event.code == code


async def test_what_comes_before_the_proof_is_bounded():
    async def shout(socket):
        await socket.send("x" * (link.HANDSHAKE_BYTES_MAX + 1))
        await socket.wait_closed()

    async with serve(shout, "127.0.0.1", 0) as server:
        assert isinstance(await Ends(url_of(server)).first(Up, Down), Down)


async def test_another_certificate_than_the_pinned_one_gets_not_a_byte(tmp_path):
    identity = tls.identity(tmp_path)
    heard, ended = [], asyncio.Event()

    async def listen(reader, writer):
        heard.append(await reader.read(100))
        writer.close()
        ended.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=tls.server_context(identity.path))
    async with server:
        wrong = Ends(url_of(server, "https"), hashlib.sha256(b"another").hexdigest())
        assert (await wrong.first(Up, Down)).code == PinMismatch.code
    assert heard in ([], [b""])


async def test_the_pinned_certificate_is_enough(tmp_path):
    identity = tls.identity(tmp_path)
    async with serve(answering(), "127.0.0.1", 0, ssl=tls.server_context(identity.path)) as server:
        ends = Ends(url_of(server, "https"), identity.sha256)
        assert isinstance(await ends.first(Up), Up)
        downgraded = Ends(url_of(server, "http"), identity.sha256)
        assert (await downgraded.first(Up, Down)).code == PinMismatch.code
        unpinned = Ends(url_of(server, "https"))  # self-made, and nothing pins it: the public roots do not know it
        assert isinstance(await unpinned.first(Up, Down), Down)


async def test_the_link_comes_back_with_the_coordinator(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, _ = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await town.away()
        await until(lambda: not asker.agent.parts.coordination.up)
        await town.serve()
        await until(lambda: asker.agent.parts.coordination.up)
        assert (await asker.run()).charge > 0


# --- what a device believes -------------------------------------------------------------------------------------------

NETWORK_SEED = bytes([7]) * 32
FAR_MS = 4_000_000_000_000


def a_state(epoch, seed=NETWORK_SEED, network="N", **changes):
    keys = (NetworkKey(signed.public_key(NETWORK_SEED), 0, FAR_MS),)
    state = State(network=network, epoch=epoch, name="home", time_ms=0, network_keys=keys, coordinator_keys=keys)
    return signed.sign(msgspec.structs.replace(state, **changes), seed)


def a_certificate(seed, device, owner="M1", expires_ms=FAR_MS, signer=NETWORK_SEED):
    paper = Certificate(
        network="N",
        device=DeviceId(device),
        name="box",
        key=signed.public_key(seed),
        owner=MemberId(owner),
        serial=1,
        epoch=1,
        issued_ms=0,
        expires_ms=expires_ms,
    )
    return signed.sign(paper, signer)


def a_membership():
    record = DeviceRecord(DEVICE, "box", NetworkId("N"), MemberId("M1"))
    membership = Membership(record, signed.public_key(SEED), CoordinatorClock())
    membership.adopt_state(a_state(5), trusted=True)
    return membership


def test_a_state_never_gives_way_to_an_older_a_forked_or_a_foreign_one():
    membership = a_membership()
    assert not membership.adopt_state(a_state(4), trusted=True)
    assert not membership.adopt_state(a_state(5, name="forked"), trusted=True)
    for bad in (a_state(6, seed=STRANGER), a_state(6, network="other")):
        with pytest.raises(BadToken):
            membership.adopt_state(bad, trusted=True)
    assert membership.epoch == 5
    assert membership.adopt_state(a_state(6), trusted=False)  # a peer's Hello may bring a newer one


def test_the_network_key_is_not_learned_from_a_peer():
    record = DeviceRecord(DEVICE, "box", NetworkId("N"), MemberId("M1"))
    membership = Membership(record, signed.public_key(SEED), CoordinatorClock())
    with pytest.raises(BadToken):
        membership.adopt_state(a_state(1), trusted=False)
    with pytest.raises(StateMissing):
        membership.check_certificate(a_certificate(STRANGER, "D2"), signed.public_key(STRANGER))


def test_a_removed_device_is_forgotten_and_its_connections_are_cut():
    membership, cut = a_membership(), []
    membership.on_revoked = cut.append
    key, token = signed.public_key(STRANGER), a_certificate(STRANGER, "D2")
    membership.take_peers(link.Peers((PeerCertificate(token),), full=True))
    assert membership.known(key)
    assert membership.check_certificate(token, key).device == "D2"
    membership.adopt_state(a_state(6, revoked=(key,)), trusted=False)
    assert not membership.known(key)
    assert cut == [frozenset({key})]
    membership.take_peers(link.Peers((PeerCertificate(token),), full=True))  # an old list does not bring it back
    assert not membership.known(key)
    with pytest.raises(PeerRefused):
        membership.check_certificate(token, key)


def test_certificates_of_others_expired_or_by_another_key_are_refused():
    membership = a_membership()
    key = signed.public_key(STRANGER)
    for token in (a_certificate(COORDINATOR, "D2"), a_certificate(STRANGER, "D2", expires_ms=1)):
        with pytest.raises(PeerRefused):
            membership.check_certificate(token, key)
    with pytest.raises(BadToken):
        membership.check_certificate(a_certificate(STRANGER, "D2", signer=SEED), key)
    with pytest.raises(PeerRefused):
        membership.take_certificate(a_certificate(STRANGER, DEVICE))


def test_a_clock_that_slept_is_not_sure_until_it_hears_again():
    now = {"wall": 50.0, "boot": 100.0, "awake": 100.0}
    clock = CoordinatorClock(lambda: now["wall"], lambda: now["boot"], lambda: now["awake"])
    assert (clock.now_ms(), clock.fresh) == (50_000, False)
    clock.sample(1_000_000, 100.0)
    assert (clock.now_ms(), clock.fresh) == (1_000_000, True)
    now["wall"] += 3600  # somebody set the wall clock: nothing changes
    now["boot"] += 600  # ten minutes of sleep: the time went on, but it is to be confirmed
    assert (clock.now_ms(), clock.fresh) == (1_600_000, False)
    clock.sample(1_600_500, now["boot"])
    assert (clock.now_ms(), clock.fresh) == (1_600_500, True)


async def test_who_is_stopped_in_the_moment_in_which_the_link_ends_stops():
    async def leave(socket):
        talk = asyncio.create_task(answering()(socket))
        await leaving.wait()
        talk.cancel()
        await asyncio.gather(talk, return_exceptions=True)

    async with serve(leave, "127.0.0.1", 0) as server:
        leaving, ends = asyncio.Event(), Ends(url_of(server))
        keep_beating = ends.client._keep_beating

        async def stopped_at_its_end(socket):
            try:
                await keep_beating(socket)
            finally:
                running.cancel()

        ends.client._keep_beating = stopped_at_its_end
        running = asyncio.create_task(ends.client.run(ends.events.put_nowait))
        async with asyncio.timeout(WAIT_S):
            assert isinstance(await ends.events.get(), Up)
        leaving.set()
        done, _ = await asyncio.wait([running], timeout=WAIT_S)
        assert done, "it goes on"
        assert running.cancelled()


async def test_a_stranger_says_no_more_than_a_proof_takes_and_a_device_says_what_it_must(tmp_path):
    async with a_town(tmp_path) as (town, ann, _):
        url = f"ws://127.0.0.1:{town.config.port}{link.LINK_PATH}"
        for word in ("x" * (link.HANDSHAKE_BYTES_MAX + 1), ["x" * 3000] * 3):  # in one piece, and in several
            async with connect(url, compression=None, proxy=None) as stranger, asyncio.timeout(WAIT_S):
                assert isinstance(link.decode_from_coordinator(await stranger.recv()), link.Challenge)
                await stranger.send(word)
                with pytest.raises(ConnectionClosed) as closed:
                    await stranger.recv()
                assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009, "it was not even kept"
        box = await ann.device("box", work=False)
        await box.stop()
        ends = Ends(town.owner.record.url)
        target = ends.client.target._replace(coordinator=town.owner.record.key, device=box.id)
        ends.client = LinkClient(target, load(box.home).seed, CoordinatorClock(), Condition)
        running = asyncio.create_task(ends.client.run(ends.events.put_nowait))
        try:
            async with asyncio.timeout(WAIT_S):
                while not isinstance(await ends.events.get(), Up):
                    pass
                await ends.client.send(link.Report(7, ("no paper" * 1000,) * 5))
                while not isinstance(event := await ends.events.get(), link.ReportAck):
                    assert not isinstance(event, Down)
        finally:
            running.cancel()
            await asyncio.wait((running,))
        assert [one.index for one in event.refused] == [0, 1, 2, 3, 4]
