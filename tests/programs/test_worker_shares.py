"""Shares of permits on a worker: used up once, whatever is shown again, also after the worker was killed."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.agent.store import Store, Taken
from mesh.agent.working.checks import PermitRefused
from mesh.agent.working.shares import STEPS, Shares
from mesh.ids import DeviceId, DeviceKey, JobId, MemberId, NetworkId, PermitId, RequestId
from mesh.protocol.permit import Permit, Price
from mesh.protocol.values import Candidate

pytestmark = pytest.mark.anyio

ME = DeviceId("ME")
UNTIL_MS = 10**12


def a_permit(share="each", cap=1000, name="P"):
    return Permit(
        network=NetworkId("N"),
        permit=PermitId(name),
        request=RequestId("R"),
        payer=MemberId("payer"),
        requester=DeviceId("A"),
        requester_key=DeviceKey("00"),
        role="member",
        workload="embeddings",
        model="m",
        sensitivity="private",
        price=Price(1, 3700, 1000),
        candidates=(Candidate(ME, DeviceKey("11"), MemberId("worker"), cap),),
        maximum=cap,
        share=share,
        epoch=1,
        issued_ms=0,
        start_by_ms=UNTIL_MS,
        finish_by_ms=UNTIL_MS,
    )


class Device:
    """A worker's shares and store; ``killed`` is what another life finds on its disk after a kill -9."""

    def __init__(self, folder, me=ME):
        self.folder, self.lives, self.me = folder, 0, me
        self.store: Store
        self.shares: Shares

    async def start(self):
        self.store = Store(self.folder / str(self.lives) / "agent.db")
        self.store._path.parent.mkdir(parents=True, exist_ok=True)
        self.store.open()
        self.shares = Shares(self.store, self.me)
        self.shares.recall(await self.store.remembered(0))
        return self

    async def kill(self):
        """What was committed is copied away, then the life goes on elsewhere: nothing posted later is in the copy."""
        here, there = self.folder / str(self.lives), self.folder / str(self.lives + 1)
        shutil.copytree(here, there)
        await self.store.close()
        self.lives += 1
        return await self.start()

    def take(self, permit, amount):
        self.shares.refuse(permit, amount)
        self.shares.take(permit, amount, UNTIL_MS)

    async def deliver(self, permit, number, amount):
        """The claim, durable before the result leaves."""
        await self.store.claim(Taken(DeviceId("A"), JobId(f"J{number}"), 1, permit.permit, amount, UNTIL_MS), b"c")
        return amount


@pytest.mark.parametrize("share", ["one", "each"])
async def test_what_was_delivered_is_never_more_than_the_share_over_many_kills(tmp_path, share):
    device, permit, delivered, number = await Device(tmp_path).start(), a_permit(share), 0, 0
    for _ in range(12):
        for _ in range(4):
            number += 1
            try:
                device.take(permit, 30)
            except PermitRefused:
                break
            delivered += await device.deliver(permit, number, 30)
        await device.kill()
    assert 600 <= delivered <= 1000  # a kill costs a begun step at most
    with pytest.raises(PermitRefused):
        device.take(permit, 300)
    await device.store.close()


async def test_a_series_is_written_in_ten_steps_and_a_begun_one_counts_after_a_kill(tmp_path):
    device, permit = await Device(tmp_path).start(), a_permit()
    writes = []
    reserve = device.store.reserve
    device.store.reserve = lambda reserved: (writes.append(reserved.amount), reserve(reserved))
    for _ in range(100):
        device.take(permit, 10)
    assert writes == [100 * step for step in range(1, STEPS + 1)]
    other = a_permit(name="Q")
    device.take(other, 10)
    await device.store.kept("anything")  # an awaited act: what was posted before it is on the disk
    await device.kill()
    with pytest.raises(PermitRefused):
        device.take(permit, 1)
    with pytest.raises(PermitRefused):
        device.take(other, 901)
    device.take(other, 900)
    await device.store.close()


async def test_what_gave_no_result_is_free_again_and_a_closed_permit_stays_closed(tmp_path):
    device, permit = await Device(tmp_path).start(), a_permit()
    device.take(permit, 1000)
    device.shares.give_back(permit.permit, 1000)
    device.take(permit, 1000)
    assert await device.shares.close(permit.permit, 5) == 0
    with pytest.raises(PermitRefused) as refused:
        device.take(permit, 0)
    assert refused.value.facts["reason"] == "closed"
    await device.kill()
    with pytest.raises(PermitRefused):
        device.take(permit, 0)
    await device.store.close()


class Silent:
    """A store that takes notes and forgets them."""

    def reserve(self, reserved):
        self.last = reserved


@settings(max_examples=200)
@given(st.integers(0, 5000), st.lists(st.tuples(st.integers(0, 700), st.booleans()), max_size=60))
def test_the_share_is_never_exceeded_and_what_is_reserved_covers_what_is_used(cap, jobs):
    shares, permit, used, most = Shares(Silent(), ME), a_permit(cap=cap), 0, 0
    for amount, fails in jobs:
        try:
            shares.refuse(permit, amount)
        except PermitRefused:
            assert used + amount > cap
            continue
        shares.take(permit, amount, UNTIL_MS)
        used += amount
        most = max(most, used)
        assert used <= cap
        if most:
            assert used <= shares._store.last.amount <= cap
        if fails:
            shares.give_back(permit.permit, amount)
            used -= amount
