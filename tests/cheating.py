"""A simulated network of ten owners with a device each, some of whom cheat: seed by seed, by the rules as they are.

Each job has a random requester and a random worker of another owner, and costs one credit. One owner is an admin.
Honest requesters find what is made up whenever it is drawn; colluders pass each other, and call nobody else wrong. A
device is watched from its first false answer on: after how many of its jobs it is in quarantine, and what of its false
pay it could ever spend. Rules and numbers are those of ``credits.checks``.
"""

import random
from typing import NamedTuple

from mesh.credits.checks import Miss, Pending, drawn, may_be_spent, proven, weighs
from mesh.ids import MemberId

OWNERS = 10
JOBS_MAX = 30_000
"""Of the whole network: 3,000 for each device."""


class Cheat(NamedTuple):
    """How a device cheats: from which of its jobs on, and which part of them."""

    name: str
    after: int
    share: float


CHEATS = (
    Cheat("from the start, always", 0, 1.0),
    Cheat("from the start, every second", 0, 0.5),
    Cheat("after 100 honest jobs, always", 100, 1.0),
    Cheat("after 100 honest jobs, every second", 100, 0.5),
)


class Device:
    """One device: its jobs, its pay that waits (false or not), what it may spend, and what is known against it."""

    def __init__(self) -> None:
        self.jobs = self.streak = self.passes = 0
        self.pending: list[tuple[bool, str]] = []
        self.spent_false = self.spent_true = self.lost_true = 0
        self.misses: list[Miss] = []
        self.out = False
        self.false_jobs = 0
        self.since_first: int | None = None


def work(device: Device, cheat: Cheat | None, requester: int, admin: int, friend: bool, chance: random.Random) -> None:
    """One job of a device for a requester; ``friend``: they collude."""
    false = cheat is not None and not friend and device.jobs >= cheat.after and chance.random() < cheat.share
    device.jobs += 1
    if false:
        device.false_jobs += 1
    if device.false_jobs:
        device.since_first = (device.since_first or 0) + 1
    check = "none"
    if drawn(device.streak, chance.randrange(1_000_000)):
        check = "missed" if false else "passed"
    device.streak += 1
    device.pending.append((false, check))
    if check == "passed" and weighs(checker_admin=requester == admin, same_owner=False):
        device.passes += 1
    if check == "missed":
        device.streak = device.passes = 0
        device.misses.append(Miss(MemberId(str(requester)), requester == admin))
        if proven(device.misses):
            device.out = True
            device.lost_true = sum(not one for one, _ in device.pending)
            device.pending.clear()
            return
    # The oldest may be spent once so many later ones are there; one that missed blocks nobody but itself.
    while device.pending:
        waits = Pending(len(device.pending) - 1, 0, "missed" if device.pending[0][1] == "missed" else "none")
        if not may_be_spent(waits, device.passes):
            break
        was_false, _ = device.pending.pop(0)
        device.spent_false += was_false
        device.spent_true += not was_false


def one_seed(seed: int, cheat: Cheat, cheats: int) -> list[Device]:
    """A network with so many cheats, who collude where there are several; the cheats' devices at the end."""
    chance = random.Random(seed)
    devices = [Device() for _ in range(OWNERS)]
    bad, admin = set(range(1, cheats + 1)), 0
    for _ in range(JOBS_MAX):
        requester, worker = chance.sample(range(OWNERS), 2)
        if devices[worker].out:
            continue
        friend = worker in bad and requester in bad
        work(devices[worker], cheat if worker in bad else None, requester, admin, friend, chance)
        if all(devices[one].out for one in bad):
            break
    return [devices[one] for one in sorted(bad)]
