"""Devices behind NAT find each other: direct where the routers allow it, relayed where not; work goes on meanwhile."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from mesh.cli.stage import Player
from mesh.protocol import link
from mesh.protocol.link import Admission, Admissions
from mesh.protocol.signed import public_key
from namespaces import SERVER, Internet, an_internet
from whole.network import QuickStage, eventually, give_model

PEER = Path(__file__).with_name("nat_peer.py")
SEEDS = {name: bytes([number]) * 32 for number, name in enumerate(("ann", "amy", "bob", "cid", "dan"), 1)}
AWAY_S = 10.0
BUSY_S = 20.0
"""What a busy machine may take longer than a quiet one; how many seconds it costs there is for benchmarks to say."""
MOVED_BYTES = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    """Two homes behind ordinary routers (two machines in the first), two behind symmetric ones."""
    with an_internet() as made:
        made.router("home-a")
        made.router("home-b")
        made.router("home-c", "symmetric")
        made.router("home-d", "symmetric")
        for name, home in (("ann", "a"), ("bob", "b"), ("cid", "c"), ("dan", "d")):
            made.machine(name, f"home-{home}", 2)
        made.machine("amy", "home-a", 3)
        yield made


class Child:
    """A process in a namespace that says JSON lines and is told lines."""

    def __init__(self, internet: Internet, where: str, errors: Path, *command: str) -> None:
        with internet.inside(where), errors.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def tell(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "it ended without a word"
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        self.process.kill()
        self.process.wait(60)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="module")
def relay(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A relay with its observer, in public; where it is, as JSON."""
    folder = tmp_path_factory.mktemp("relay")
    child = Child(internet, "pub", folder / "log", "-m", "mesh.relay.main")
    try:
        child.tell(json.dumps({"folder": str(folder), "host": SERVER}))
        everybody = tuple(Admission(public_key(seed), (1,)) for seed in SEEDS.values())
        child.tell(link.encode(Admissions(everybody, full=True)).decode())
        said = child.hear()
        yield json.dumps({name: said[name] for name in ("url", "key", "observer")})
    finally:
        child.close()


@contextmanager
def two_peers(
    internet: Internet, relay: str, pair: tuple[str, str], folder: Path, direct_within_s: float = BUSY_S
) -> Iterator[dict[str, Any]]:
    """Two machines that have heard from the observer exchange 64 MiB; what the asking one saw.

    It waits so many seconds for a direct path before.
    """
    asker, answerer = pair
    with ExitStack() as stack:
        ends = []
        for name, other in ((answerer, []), (asker, [public_key(SEEDS[answerer])])):
            end = Child(internet, name, folder / f"{name}.log", str(PEER), SEEDS[name].hex(), relay, *other)
            stack.callback(end.close)
            ends.append(end)
        heard = {name: end.hear()["observed"] for name, end in zip((answerer, asker), ends, strict=True)}
        ends[1].tell(str(direct_within_s))
        yield {**ends[1].hear(), "heard": heard}


def test_two_ordinary_homes_speak_directly_at_once(internet: Internet, relay: str, tmp_path: Path) -> None:
    with two_peers(internet, relay, ("ann", "bob"), tmp_path) as seen:
        assert [address.partition(":")[0] for address in seen["heard"]["ann"]] == [internet.public("home-a")]
        assert seen["direct_s"] is not None
        assert (seen["kind"], seen["address"]) == ("direct", "public")
        assert seen["direct_bytes"] > MOVED_BYTES
        assert seen["direct_bytes"] > 0.95 * (seen["direct_bytes"] + seen["relayed_bytes"])
        assert seen["slowest_s"] < 20.0, "no request waited until a path was given up"


def test_two_symmetric_homes_stay_relayed_and_work(internet: Internet, relay: str, tmp_path: Path) -> None:
    with two_peers(internet, relay, ("cid", "dan"), tmp_path, 3.0) as seen:
        assert seen["kind"] == "relayed"
        assert seen["relayed_bytes"] > MOVED_BYTES


def test_neighbours_speak_directly_by_their_private_addresses(internet: Internet, relay: str, tmp_path: Path) -> None:
    with two_peers(internet, relay, ("ann", "amy"), tmp_path) as seen:
        assert (seen["kind"], seen["address"]) == ("direct", "private")
        assert seen["direct_bytes"] > 0.95 * (seen["direct_bytes"] + seen["relayed_bytes"])


# --- the whole product ------------------------------------------------------------------------------------------------


class World:
    """A network whose coordinator is in public; ann and cid ask, bob works."""

    def __init__(self, internet: Internet, stage: QuickStage) -> None:
        self.internet = internet
        self.ann, self.bob, self.cid = (stage.player(name) for name in ("ann", "bob", "cid"))
        with internet.inside("pub"):
            data = str(stage.folder / "coordinator")
            self.served = self.ann.start("serve", "--data", data, "--host", SERVER, "--port", "0")
            self.ann.mesh("auth", "claim", "-", "--name", "Ann", stdin=str(self.served.ready["claim"]))
            self.ann.mesh("net", "create", "friends")
            for player in (self.bob, self.cid):
                invite = self.ann.mesh("members", "invite", "--role", "member")["link"]
                player.mesh("auth", "claim", "-", "--name", player.name.capitalize(), stdin=invite)
            for player in (self.ann, self.bob, self.cid):
                invite = player.mesh("device", "invite")["link"]
                player.mesh("device", "join", "-", "--name", player.name, stdin=invite)
        give_model(self.bob)
        for player, options in ((self.bob, ()), (self.ann, ("--only-ask",)), (self.cid, ("--only-ask",))):
            with internet.inside(player.name):
                player.start("up", *options)
        eventually(lambda: self.ping(self.ann) and self.ping(self.cid), "both reach bob")

    def ping(self, player: Player) -> dict[str, Any] | None:
        """One ping to bob; None while there is no answer."""
        outcome = player.attempt("ping", "bob", "--count", "1")
        return outcome.value if outcome.exit_code == 0 else None

    def embed(self, player: Player) -> tuple[str, float]:
        """A job on bob's machine: its path, and the seconds that it took."""
        started = time.monotonic()
        ran = player.mesh("run", "embeddings", "--text", "a harbour at night")
        return ran["path"], time.monotonic() - started

    def relay_process(self) -> psutil.Process:
        children = psutil.Process(self.served.process.pid).children()
        (found,) = [child for child in children if "mesh.relay.main" in " ".join(child.cmdline())]
        return found


@pytest.fixture(scope="module")
def world(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with QuickStage(tmp_path_factory.mktemp("world")) as stage:
        yield World(internet, stage)


def test_jobs_go_directly_between_ordinary_homes_and_relayed_from_a_symmetric_one(world: World) -> None:
    eventually(lambda: (world.ping(world.ann) or {}).get("path") == "direct", "ann speaks to bob directly")
    assert world.embed(world.ann)[0] == "direct"
    assert world.embed(world.cid)[0] == "relayed"


def test_a_relay_that_is_killed_costs_no_job(world: World) -> None:
    ended = threading.Event()

    def kill() -> None:
        world.relay_process().send_signal(signal.SIGKILL)
        ended.set()

    threading.Timer(0.2, kill).start()
    jobs = [world.embed(world.cid) for _ in range(4)]
    assert ended.wait(20.0)
    jobs += [world.embed(world.cid) for _ in range(4)]
    assert [path for path, _ in jobs] == ["relayed"] * 8


def test_a_relay_that_is_away_for_ten_seconds_costs_no_job(world: World) -> None:
    frozen = world.relay_process()
    frozen.send_signal(signal.SIGSTOP)
    threading.Timer(AWAY_S, frozen.send_signal, [signal.SIGCONT]).start()
    path, took_s = world.embed(world.cid)
    assert path == "relayed"
    assert took_s < AWAY_S + BUSY_S


def test_a_direct_path_that_goes_silent_in_mid_work_costs_seconds(world: World, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(f"{number}: the ferry leaves at nine and is back before dark" for number in range(600)))
    eventually(lambda: (world.ping(world.ann) or {}).get("path") == "direct", "ann speaks to bob directly")

    def work() -> tuple[str, float]:
        started = time.monotonic()
        ran = world.ann.mesh("run", "embeddings", "--file", str(lines), "--max-cost", str(10**9))
        assert len(ran["embeddings"]) == 600, "one job: with a limit of cost it is not spread"
        return ran["path"], time.monotonic() - started

    path, undisturbed_s = work()
    assert path == "direct"
    home = world.internet.public("home-b")
    cut = threading.Event()

    def blackhole() -> None:
        for rule in (f"ip daddr {home} drop", f"ip saddr {home} drop"):
            world.internet.run("home-a", "nft", "insert", "rule", "ip", "home", "through", *rule.split())
        cut.set()

    threading.Timer(undisturbed_s / 3, blackhole).start()
    path, took_s = work()
    assert cut.is_set() and path == "relayed"
    assert took_s < undisturbed_s / 3 + 8.0 + undisturbed_s + BUSY_S, "8 s, and the work itself once more"
    path, took_s = world.embed(world.ann)
    assert path == "relayed"
    assert took_s < 8.0 + BUSY_S


def test_nothing_is_left_of_a_small_internet() -> None:
    before = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
    with an_internet() as made:
        made.router("home")
        made.machine("away", "home", 2)
    assert set(os.listdir("/run/netns")) == before
