"""Real networks for whole-system tests: processes, sockets and files as people have them.

Touches: processes, files, sockets (all through the `mesh` command).
"""

import asyncio
import json
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from mesh.cli.programs import Program
from mesh.cli.stage import Player, Stage
from mesh.sdk.home import write_secret
from mesh.workloads.catalogue import BUILTIN
from mesh.workloads.known import WORKLOADS
from modelfolder import shared_model_files

T = TypeVar("T")
WAIT_S = 30.0


def eventually(probe: Callable[[], T | None], what: str, timeout_s: float = WAIT_S) -> T:
    """Ask until there is an answer that counts; fail with ``what`` after the limit."""
    end = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"it did not happen within {timeout_s:.0f} s: {what}")
        time.sleep(0.05)  # between two looks at another process; what is waited for is the answer


def give_model(player: Player, workload: str = "embeddings") -> None:
    """Put a default model into a player's home; it is fetched once per checkout, by Mesh's own catalogue."""
    entry = BUILTIN.entry(workload, WORKLOADS[workload].default_model)
    shared = asyncio.run(shared_model_files().ensure(entry))
    folder = player.home / "models"
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    for path in shared.values():
        shutil.copyfile(path, folder / path.name)


def own_port() -> int:
    """A gateway port for one home: the usual ones are taken and left by whoever else runs here.

    Below 32768, where Linux begins to give ports to callers.
    """
    while True:
        port = 12_000 + secrets.randbelow(20_000)
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class PortedPlayer(Player):
    """A player whose agent gets a gateway port that no other home on this machine takes meanwhile."""

    def start(self, *arguments: str) -> Program:
        """Start a program."""
        gateway = self.home / "gateway.json"
        if arguments[0] == "up" and not gateway.exists():
            self.home.mkdir(mode=0o700, exist_ok=True)
            write_secret(gateway, json.dumps({"port": own_port(), "key": secrets.token_urlsafe(32)}).encode())
        return super().start(*arguments)


class QuickStage(Stage):
    """A stage of such players."""

    def player(self, name: str) -> Player:
        """Somebody with a home of their own."""
        return PortedPlayer(self, name)


class Network:
    """A coordinator with its relay, Ada who owns it, and whoever else is asked in."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.ada = stage.player("ada")
        self.served = self.serve()
        self.claim_link = str(self.served.ready["claim"])
        self.ada.mesh("auth", "claim", "-", "--name", "Ada", stdin=self.claim_link)
        self.id = self.ada.mesh("net", "create", "friends")["network"]
        self.people = {"ada": self.ada}
        self.devices: dict[str, str] = {}
        self.agents: dict[str, Program] = {}

    @property
    def ben(self) -> Player:
        """The second person."""
        return self.people["ben"]

    def serve(self, port: str = "0") -> Program:
        """Start the coordinator (again)."""
        return self.ada.start("serve", "--data", str(self.stage.folder / "coordinator"), "--port", port)

    @property
    def port(self) -> str:
        """The port that the coordinator listens on."""
        return str(self.served.ready["url"]).rpartition(":")[2]

    def person(self, name: str, role: str = "member") -> Player:
        """Ask somebody in: they have their own home and are signed in."""
        player = self.stage.player(name)
        self.people[name] = player
        link = self.ada.mesh("members", "invite", "--role", role)["link"]
        player.mesh("auth", "claim", "-", "--name", name.capitalize(), stdin=link)
        return player

    def join(self, player: Player, name: str | None = None) -> str:
        """Make a player's home a device of theirs; returns its id."""
        name = name or f"{player.name}-laptop"
        link = player.mesh("device", "invite")["link"]
        joined = player.mesh("device", "join", "-", "--name", name, stdin=link)
        self.devices[player.name] = joined["device"]
        return str(joined["device"])

    def up(self, player: Player, *options: str) -> Program:
        """Start a player's agent; its home has the model."""
        if not (player.home / "models").exists():
            give_model(player)
        self.agents[player.name] = player.start("up", *options)
        return self.agents[player.name]

    def second_home(self, player: Player, name: str) -> Player:
        """Another machine of the same person: it joins as their device."""
        other = self.stage.player(name)
        link = player.mesh("device", "invite")["link"]
        joined = other.mesh("device", "join", "-", "--name", name, stdin=link)
        self.devices[name] = joined["device"]
        return other

    def ready(self, *names: str) -> None:
        """Wait until the coordinator sees these players' devices ready."""
        for name in names:
            device = self.devices[name]

            def seen(device: str = device) -> bool:
                listed = self.ada.mesh("device", "list")["devices"]
                return any(one["device"] == device and one["state"] == "ready" for one in listed)

            eventually(seen, f"{name}'s device is ready")

    def linked(self, *names: str) -> None:
        """Wait until these players' agents have their link to the coordinator (again)."""
        for name in names:

            def up(player: Player = self.people[name]) -> bool:
                agent = player.mesh("status")["agent"]
                return bool(agent and agent["link"] == "up")

            eventually(up, f"{name}'s link is up", timeout_s=60)

    def leaked(self, *words: str) -> set[tuple[str, str]]:
        """Where one of these words is in what the coordinator keeps or a program logged: (word, file)."""
        files = [*self.stage.folder.glob("*.log"), *(self.stage.folder / "coordinator").rglob("*")]
        kept = {str(file): file.read_bytes() for file in files if file.is_file()}
        assert sum(name.endswith(".log") for name in kept) > 1, "each program logs into a file of its own"
        assert any(self.id.encode() in content for content in kept.values()), "this is where they would be"
        return {(word, name) for word in words for name, content in kept.items() if word.encode() in content}

    def embed(self, player: Player, *texts: str, on: str | None = None) -> dict[str, Any]:
        """Embed texts from a player's device, on somebody's device if that is said."""
        arguments = [part for text in texts for part in ("--text", text)]
        where = ("--device", self.devices[on]) if on else ()
        return player.mesh("run", "embeddings", *arguments, *where)


@contextmanager
def a_network(folder: Path) -> Iterator[Network]:
    """A fresh network; everything is stopped at the end."""
    with QuickStage(folder) as stage:
        yield Network(stage)
