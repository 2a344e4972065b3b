"""What a worker refuses: permits altered, expired, for others or shown twice; one paper for another; strangers."""

import asyncio
import contextlib
import secrets

import msgspec
import pytest

from agents import MODEL, a_town, until
from mesh.agent.identity import load
from mesh.agent.peers import sessions
from mesh.coordinator.keys import Keys
from mesh.ids import DeviceId, JobId, MemberId, PermitId, RequestId, ulid
from mesh.protocol import frames, receipt, signed
from mesh.protocol.permit import CLOCK_LEEWAY_S, START_WITHIN_S, Permit, Price
from mesh.protocol.session import Session
from mesh.protocol.values import Candidate, JobSpec
from mesh.transport.interface import Address, TransportError
from mesh.workloads import known
from mesh.workloads.chat import Chat
from mesh.workloads.chat import payload_of as chat_payload
from mesh.workloads.embeddings import payload_of
from waiting import LIMIT_S

pytestmark = pytest.mark.anyio

TEXT = "boats in the dark"
SECRET = bytes(range(32))
START_MS = int(1000 * START_WITHIN_S)


def an_id():
    return ulid(1_800_000_000_000, secrets.token_bytes(10))


class Asker:
    """A member's device that says what it likes: its papers are signed with its real key, its words are not checked."""

    def __init__(self, town, device, worker):
        self.town, self.worker = town, worker
        self.me = load(device.home)
        self.membership = device.agent.parts.membership
        self.seed = self.me.seed
        self.coordinator = Keys(town.config.data / "keys").seed
        self.session = Session("asker")
        self.raw = msgspec.msgpack.encode(payload_of([TEXT]))
        self.connection = None

    async def connect(self):
        transport = self.town.board.transport(self.me.key)
        self.connection = await transport.dial(Address(self.worker.key), 30.0)
        self.stream = await self.connection.open_stream(30.0)
        hello = frames.Hello(self.membership.certificate, self.membership.state_token)
        await self.stream.write(self.session.send(hello), 30.0)
        await self.hear(frames.Hello)
        self.session.admit()

    async def hear(self, *kinds):
        """The next frame of these kinds."""
        async with asyncio.timeout(30):
            content = b""
            while True:
                for frame in self.session.receive(content):
                    if isinstance(frame, kinds):
                        return frame
                content = await self.stream.read(30.0)
                assert content, "the worker closed the session"

    def permit(self, **changes):
        now_ms = self.membership.clock.now_ms()
        mine = Candidate(self.worker.id, self.worker.key, self.worker.agent.parts.membership.member, 1000)
        permit = Permit(
            network=self.membership.network,
            permit=PermitId(an_id()),
            request=RequestId(an_id()),
            payer=self.membership.member,
            requester=self.membership.me,
            requester_key=self.me.key,
            role="admin",
            workload="embeddings",
            model=MODEL,
            sensitivity="private",
            price=Price(1, 3700, 1000),
            candidates=(mine,),
            maximum=1000,
            job=JobId(an_id()),
            epoch=1,
            issued_ms=now_ms,
            start_by_ms=now_ms + 240_000,
            finish_by_ms=now_ms + 600_000,
        )
        return msgspec.structs.replace(permit, **changes)

    def submit(self, permit, token=None, spec=None, **changes):
        """A Submit frame under a permit; ``changes`` replace fields of the signed paper."""
        fact = receipt.Submit(
            network=self.membership.network,
            permit=permit.permit if permit else None,
            requester=self.membership.me,
            worker=self.worker.id,
            job=permit.job if permit else JobId(an_id()),
            attempt=1,
            input_digest=receipt.keyed_digest(SECRET, self.raw),
            maximum=63,
            time_ms=self.membership.clock.now_ms(),
        )
        fact = msgspec.structs.replace(fact, **changes)
        return frames.Submit(
            job=fact.job,
            attempt=fact.attempt,
            signed=signed.sign(fact, self.seed),
            spec=spec or JobSpec("embeddings", MODEL, len(TEXT)),
            secret=SECRET,
            permit=token or (signed.sign(permit, self.coordinator) if permit else None),
            payload=self.raw,
        )

    async def tell(self, frame):
        """Send a frame that nothing answers at once."""
        await self.stream.write(self.session.send(frame), 30.0)

    async def say(self, frame):
        """Send a Submit; returns the worker's last word."""
        await self.stream.write(self.session.send(frame), 30.0)
        return await self.hear(frames.Done, frames.Fault, frames.Decline, frames.Busy)


@contextlib.asynccontextmanager
async def asking(tmp_path):
    """Ann's device, free to lie, with a session at Ben's."""
    async with a_town(tmp_path) as (town, ann, ben):
        device, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        asker = Asker(town, device, worker)
        await device.stop()
        await asker.connect()
        yield asker
        await asker.connection.close()


def declined(answer, code, reason=None):
    assert isinstance(answer, frames.Decline), answer
    assert answer.error["code"] == code, answer.error
    assert reason is None or answer.error["facts"]["reason"] == reason


async def test_a_sound_permit_is_worked_on_once_and_claimed(tmp_path):
    async with asking(tmp_path) as asker:
        permit = asker.permit()
        done = await asker.say(asker.submit(permit))
        assert isinstance(done, frames.Done), done
        claim = signed.verify(done.claim, receipt.Claim, asker.worker.key, permit.network)
        assert (claim.units, claim.outcome, claim.permit) == (len(TEXT), "done", permit.permit)
        assert claim.output_digest == receipt.keyed_digest(SECRET, done.result)
        declined(await asker.say(asker.submit(permit)), "worker.repeated")
        await asker.worker.stop()
        await asker.worker.start()
        await asker.connection.close()
        asker.session = Session("asker")
        await asker.connect()
        declined(await asker.say(asker.submit(permit)), "worker.repeated")  # also after a restart


async def test_a_permits_share_is_given_once(tmp_path):
    async with asking(tmp_path) as asker:
        permit = asker.permit(maximum=100)
        assert isinstance(await asker.say(asker.submit(permit, maximum=60)), frames.Done)
        declined(await asker.say(asker.submit(permit, maximum=60, attempt=2)), "permit.refused", "share")
        assert isinstance(await asker.say(asker.submit(permit, maximum=40, attempt=3)), frames.Done)


async def test_altered_expired_and_foreign_permits_are_refused(tmp_path):
    async with asking(tmp_path) as asker:
        now_ms = asker.membership.clock.now_ms()
        other_worker = Candidate(DeviceId(an_id()), asker.me.key, MemberId(an_id()), 1000)
        sound, series = asker.permit(), asker.permit(job=None, share="each")
        other_seed = secrets.token_bytes(32)
        token = signed.sign(asker.permit(permit=sound.permit, job=sound.job), asker.coordinator)
        head, body, tail = token.split(".")
        refusals = [
            (asker.submit(sound, ".".join((head, body[:-6] + "AAAAAA", tail))), "token.invalid", None),
            (asker.submit(sound, signed.sign(sound, other_seed)), "token.invalid", "signature"),
            (asker.submit(asker.permit(network=an_id())), "token.invalid", "network"),
            (asker.submit(asker.permit(start_by_ms=now_ms - 60_000)), "permit.refused", "expired"),
            (asker.submit(asker.permit(issued_ms=now_ms + 60_000)), "permit.refused", "early"),
            (asker.submit(asker.permit(candidates=(other_worker,))), "permit.refused", "candidate"),
            (asker.submit(asker.permit(requester=DeviceId(an_id()))), "permit.refused", "requester"),
            (asker.submit(asker.permit(requester_key=asker.worker.key)), "permit.refused", "requester"),
            (asker.submit(sound, job=JobId(an_id())), "permit.refused", "job"),
            (asker.submit(asker.permit(model="other")), "permit.refused", "work"),
            (asker.submit(asker.permit(sensitivity="public")), "permit.refused", "work"),
            (asker.submit(asker.permit(), maximum=1001), "permit.refused", "maximum"),
            (asker.submit(asker.permit(), maximum=-1), "permit.refused", "maximum"),
            (asker.submit(None), "permit.missing", None),
            (asker.submit(asker.permit(), attempt=receipt.ATTEMPTS_MAX + 1), "token.invalid", "job"),
            (asker.submit(series, job=JobId("what no coordinator takes")), "token.invalid", "job"),
            (asker.submit(asker.permit(), input_digest="0" * receipt.FACT_BYTES_MAX), "token.invalid", "length"),
        ]
        for frame, code, reason in refusals:
            declined(await asker.say(frame), code, reason)
        assert asker.worker.engines.started.empty()


async def test_one_paper_never_passes_for_another(tmp_path):
    async with asking(tmp_path) as asker:
        permit = asker.permit()
        frame = asker.submit(permit)
        claim = receipt.Used(
            network=permit.network,
            permit=permit.permit,
            requester=asker.membership.me,
            worker=asker.worker.id,
            job=permit.job,
            attempt=1,
            units=17,
        )
        for signed_paper, token in (
            (signed.sign(claim, asker.seed), frame.permit),
            (asker.membership.certificate, frame.permit),
            (frame.signed, asker.membership.certificate),
            (frame.signed, asker.membership.state_token),
            (frame.signed, frame.signed),
        ):
            odd = msgspec.structs.replace(frame, signed=signed_paper, permit=token)
            declined(await asker.say(odd), "token.invalid", "typ")
        assert asker.worker.engines.started.empty()


async def test_another_input_than_was_signed_for_is_not_worked_on(tmp_path):
    async with asking(tmp_path) as asker:
        frame = asker.submit(asker.permit())
        other = msgspec.structs.replace(frame, payload=msgspec.msgpack.encode(payload_of(["something else"])))
        fault = await asker.say(other)
        assert isinstance(fault, frames.Fault)
        assert fault.error["code"] == "worker.wrong_input"
        assert asker.worker.engines.started.empty()


async def test_an_acknowledgment_of_something_else_does_not_take_the_claims_place(tmp_path):
    async with asking(tmp_path) as asker:
        await asker.town.away()  # nobody takes what waits
        permit, store = asker.permit(), asker.worker.agent.parts.store

        async def reported(kind):
            tokens = [one.content.decode() for one in await store.outbox(64) if one.kind == "fact"]
            return [token for token in tokens if token.startswith(signed.sign(kind, asker.seed).partition(".")[0])]

        done = await asker.say(asker.submit(permit))
        claim = signed.verify(done.claim, receipt.Claim, asker.worker.key, permit.network)
        about = {name: getattr(claim, name) for name in ("network", "permit", "requester", "worker", "job", "attempt")}
        sound = receipt.Used(**about, units=claim.units, claim=done.claim)
        again = asker.permit()
        other = (await asker.say(asker.submit(again))).claim
        for changes in ({"claim": None}, {"claim": other}, {"permit": again.permit}, {"units": -1}):
            permit = asker.permit()
            mine = await asker.say(asker.submit(permit))
            used = msgspec.structs.replace(sound, job=permit.job, permit=permit.permit, claim=mine.claim)
            odd = signed.sign(msgspec.structs.replace(used, **changes), asker.seed)
            await asker.tell(frames.Acknowledged(permit.job, 1, odd))
        await asker.tell(frames.Acknowledged(sound.job, 1, signed.sign(sound, asker.seed)))

        async def taken():
            return await reported(sound) == [signed.sign(sound, asker.seed)]

        await until(taken)
        assert len(await reported(claim)) == 5, "and it alone took its claim's place"


async def test_a_count_that_would_spoil_the_claim_lets_nothing_more_out(tmp_path, monkeypatch):
    monkeypatch.setitem(known.WORKLOADS, "chat", Chat())
    async with asking(tmp_path) as asker:
        asker.raw = msgspec.msgpack.encode(chat_payload([("user", TEXT)]))
        spec, permit = JobSpec("chat", MODEL, len(TEXT)), asker.permit(workload="chat", maximum=10**6)
        permit = msgspec.structs.replace(permit, candidates=(msgspec.structs.replace(permit.candidates[0], cap=10**6),))
        frame = asker.submit(permit, spec=spec, maximum=10**6)
        await asker.tell(frame)
        asker.worker.engines.words.put_nowait(b"deep")
        await asker.hear(frames.Chunk)
        sound = receipt.Count(
            network=permit.network,
            permit=permit.permit,
            requester=permit.requester,
            worker=asker.worker.id,
            job=permit.job,
            attempt=1,
            units=len(TEXT) + 4,
        )
        delivery = asker.worker.agent.parts.worker._attempts[permit.requester, permit.job, 1].delivery
        odd = ({"requester": asker.worker.id}, {"permit": None}, {"worker": permit.requester}, {"units": 10**30})
        tokens = [signed.sign(msgspec.structs.replace(sound, **changes), asker.seed) for changes in odd]
        await asker.tell(frames.Beat(counts=tuple(tokens)))
        await asker.tell(frames.Beat(counts=(signed.sign(sound, asker.seed),)))
        await until(lambda: delivery.count is not None)
        assert delivery.count == signed.sign(sound, asker.seed)
        asker.worker.engines.words.put_nowait(None)
        done = await asker.hear(frames.Done)
        claim = signed.verify(done.claim, receipt.Claim, asker.worker.key, permit.network)
        assert claim.count == signed.sign(sound, asker.seed)


async def test_11_a_closed_permit_stays_closed_after_a_restart(tmp_path):
    async with asking(tmp_path) as asker:
        permit = asker.permit()
        await asker.worker.agent.parts.worker.close_permit(permit.permit)
        declined(await asker.say(asker.submit(permit)), "permit.refused", "closed")
        await asker.worker.stop()
        await asker.worker.start()
        await asker.connection.close()
        asker.session = Session("asker")
        await asker.connect()
        declined(await asker.say(asker.submit(permit)), "permit.refused", "closed")


async def test_a_stranger_is_closed_before_anything_is_read(tmp_path):
    async with a_town(tmp_path) as (town, _, ben):
        worker = await ben.device("ben-box")
        for _ in range(20):
            stranger = town.board.transport(signed.public_key(secrets.token_bytes(32)))
            with pytest.raises(TransportError):
                connection = await stranger.dial(Address(worker.key), 30.0)
                async with asyncio.timeout(LIMIT_S):
                    await connection.wait_closed()
                stream = await connection.open_stream(1.0)
                await stream.write(b"\xff" * 100, 1.0)
                await stream.read(1.0)
            await stranger.close()
        assert worker.agent.parts.sessions.connected(worker.key) is None


async def test_without_the_coordinator_a_permit_is_worked_on_for_less_than_five_minutes(tmp_path):
    """Of a removal that no link and no peer tells, a worker knows by then: what it could be shown is over."""
    async with asking(tmp_path) as asker:
        series = asker.permit(job=None, share="each", start_by_ms=asker.membership.clock.now_ms() + START_MS)
        assert 1000 * (START_WITHIN_S + CLOCK_LEEWAY_S) <= 5 * 60_000
        await asker.town.away()
        clock = asker.worker.agent.parts.membership.clock
        assert isinstance(await asker.say(asker.submit(series, job=JobId(an_id()))), frames.Done)
        clock._offset_s += START_WITHIN_S - 20  # the session stands, and each Submit is looked at
        assert isinstance(await asker.say(asker.submit(series, job=JobId(an_id()))), frames.Done)
        clock._offset_s += 20 + CLOCK_LEEWAY_S
        declined(await asker.say(asker.submit(series, job=JobId(an_id()))), "permit.refused", "expired")


async def test_who_says_half_a_hello_or_none_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "HELLO_S", 0.3)
    async with asking(tmp_path) as asker:
        await asker.connection.close()
        for word in (b"\x00", (frames.HELLO_BYTES_MAX - 1).to_bytes(4) + b"x" * 100):
            connection = await asker.town.board.transport(asker.me.key).dial(Address(asker.worker.key), 30.0)
            stream = await connection.open_stream(30.0)
            await stream.write(word, 30.0)
            async with asyncio.timeout(LIMIT_S):
                await connection.wait_closed()


async def test_a_removed_device_is_cut_off_and_stays_out(tmp_path):
    from mesh.sdk import calls

    async with asking(tmp_path) as asker:
        assert isinstance(await asker.say(asker.submit(asker.permit())), frames.Done)
        await asker.town.owner.do(calls.remove_device(asker.town.network, asker.membership.me))
        async with asyncio.timeout(LIMIT_S):
            await asker.connection.wait_closed()
        assert not asker.worker.agent.parts.membership.known(asker.me.key)


async def test_what_is_no_frame_ends_the_connection_and_nothing_else(tmp_path):
    async with asking(tmp_path) as asker:
        await asker.stream.write(b"\x00\x00\x00\x04\xff\xff\xff\xff", 30.0)
        async with asyncio.timeout(LIMIT_S):
            await asker.connection.wait_closed()
        asker.session = Session("asker")
        await asker.connect()
        assert isinstance(await asker.say(asker.submit(asker.permit())), frames.Done)
