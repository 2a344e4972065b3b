"""The demo: two people, two devices, one real job each way a packet can go, and a ledger that adds up.

Everything runs in a temporary folder as ordinary `mesh` commands; what is shown is what they answered. It ends with
exit code 0 and nothing left running, also on Ctrl-C; with --keep it leaves the network up and says how to go on.

Touches: processes, files below a temporary folder, argv, stdout.
"""

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from mesh.cli.output import INTERRUPTED, show_error
from mesh.cli.programs import Program
from mesh.cli.stage import Player, Stage, cosine
from mesh.errors import MeshError

TEXTS = (
    "The ferry to the island was cancelled because of the storm.",
    "Bad weather stopped the boat that goes to the island.",
    "Whisk two eggs with sugar until the mixture is pale.",
)
ALIKE_MIN = 0.6
"""Cosine of the two paraphrases: 0.79 with the default model."""
STRANGE_MAX = 0.3
"""Cosine of either with the stranger: below 0.1 with the default model."""


class DemoFailed(MeshError):
    """The demo did not show what it should. Please report the lines above."""

    code = "demo.failed"


class Story:
    """Tells what happens, each step with the seconds since the person pressed return."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._interrupted = False

    def interrupt(self, number: int, frame: Any) -> NoReturn:
        """A signal asks to stop. Whatever code it meets may swallow the exception: the next step raises it again."""
        self._interrupted = True
        raise KeyboardInterrupt

    def step(self, text: str) -> None:
        """A new step begins. Raises KeyboardInterrupt after a signal."""
        if self._interrupted:
            raise KeyboardInterrupt
        print(
            f"\n\033[1m[{time.time() - self._started:5.1f} s]\033[0m {text}"
            if sys.stdout.isatty()
            else f"\n[{time.time() - self._started:5.1f} s] {text}",
            flush=True,
        )

    def tell(self, text: str) -> None:
        """A line below the step."""
        print(f"          {text}", flush=True)


class People:
    """Ada and Ben, their homes, and the programs that run for them."""

    def __init__(self, stage: Stage) -> None:
        self.ada = stage.player("ada")
        self.ben = stage.player("ben")
        self.agents: dict[str, Program] = {}
        self.devices: dict[str, str] = {}

    def up(self, player: Player, *options: str) -> None:
        """Start a player's agent."""
        self.agents[player.name] = player.start("up", *options)


def perform(story: Story, stage: Stage) -> People:
    """Play the whole story. Raises what fails on the way."""
    people = People(stage)
    _gather(story, people)
    _join(story, stage, people)
    story.step("Ada embeds three sentences on Ben's device. Direct paths are refused, so packets go through the relay.")
    stage.at_once(lambda: people.up(people.ada), lambda: people.up(people.ben, "--no-direct"))
    _embed(story, people, "relayed")
    story.step("Ben's device takes direct paths again: the same job, without the relay.")
    people.agents["ben"].stop()
    people.up(people.ben)
    job = _embed(story, people, "direct")
    _account(story, people, job)
    return people


def _gather(story: Story, people: People) -> None:
    story.step("Ada starts a coordinator with a relay beside it, and claims it. Ben is invited as a person.")
    served = people.ada.start("serve", "--port", "0")
    claimed = people.ada.mesh("auth", "claim", "-", "--name", "Ada", stdin=served.ready["claim"])
    people.ada.mesh("net", "create", "friends")
    invite = people.ada.mesh("members", "invite", "--role", "member", "--name", "Ben")
    people.ben.mesh("auth", "claim", "-", "--name", "Ben", stdin=invite["link"])
    story.tell(f"coordinator {served.ready['url']}, relay {served.ready['relay']}, first person {claimed['name']}")
    story.step("The embedding model is fetched and checked against its pinned SHA-256 (23 MB, once per machine).")
    people.ada.mesh("models", "pull")
    shutil.copytree(people.ada.home / "models", people.ben.home / "models")


def _join(story: Story, stage: Stage, people: People) -> None:
    story.step("Each brings a device of their own: a link is made, and used.")

    def bring(player: Player) -> None:
        link = player.mesh("device", "invite")["link"]
        joined = player.mesh("device", "join", "-", "--name", f"{player.name}-laptop", stdin=link)
        people.devices[player.name] = joined["device"]

    stage.at_once(lambda: bring(people.ada), lambda: bring(people.ben))
    for name, device in sorted(people.devices.items()):
        story.tell(f"{name}-laptop is in: {device}")


def _embed(story: Story, people: People, path: str) -> str:
    arguments = [part for text in TEXTS for part in ("--text", text)]
    ran = people.ada.mesh("run", "embeddings", *arguments, "--device", people.devices["ben"])
    one, two, three = ran["embeddings"]
    alike, strange = cosine(one, two), max(cosine(one, three), cosine(two, three))
    for number, text in enumerate(TEXTS, 1):
        story.tell(f"{number}. {text}")
    story.tell(f"path: {ran['path']}   charge: {ran['charge']} micro-credits   job: {ran['job']}")
    story.tell(f"cosine of 1 and 2 (a paraphrase): {alike:.3f}   highest with 3 (a stranger): {strange:.3f}")
    if ran["path"] != path:
        raise DemoFailed(f"The job took the path {ran['path']}, not {path}.")
    if ran["device"] != people.devices["ben"]:
        raise DemoFailed("The job did not run on Ben's device.")
    if alike < ALIKE_MIN or strange > STRANGE_MAX:
        raise DemoFailed("The vectors do not tell a paraphrase from a stranger.")
    return str(ran["job"])


def _account(story: Story, people: People, job: str) -> None:
    story.step("Why there? Every device's gates, and the score of those that may:")
    people.ada.show("job", "why", job)
    for player in (people.ada, people.ben):
        story.step(f"What {player.name.capitalize()} sees of the ledger:")
        player.show("ledger", "show")
    story.step("Does it all add up? Every posting must sum to zero, every balance to its lines:")
    people.ada.show("ledger", "verify")


def keep(story: Story, stage: Stage, people: People) -> None:
    """Leave everything running and say what to try, and how to stop it."""
    story.step("The network stays up. Try:")
    for player, command in (
        (people.ada, ["run", "embeddings", "--text", "a harbour at night", "--text", "boats in the dark"]),
        (people.ada, ["status"]),
        (people.ada, ["ping", "ben-laptop"]),
        (people.ben, ["job", "list"]),
        (people.ben, ["ledger", "show"]),
    ):
        mesh = Path(sys.executable).with_name("mesh")
        print(f"  MESH_HOME={shlex.quote(str(player.home))} {mesh} {shlex.join(command)}")
    groups = " ".join(f"-{running.process.pid}" for running in stage.programs if running.process.poll() is None)
    print(f"\nStop it and remove its folder:\n  kill -- {groups}; rm -r {shlex.quote(str(stage.folder))}")
    stage.programs.clear()


def main(arguments: list[str]) -> int:
    """The demo as a program: ``--keep`` leaves the network running, ``--started`` is when the clock began."""
    parser = argparse.ArgumentParser(prog="dev.py demo", description="Watch a private network form and a job travel.")
    parser.add_argument("--keep", action="store_true", help="leave the network running, with commands to try next")
    parser.add_argument("--started", type=float, default=time.time(), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="mesh-demo-"))
    story, stage = Story(options.started), Stage(folder)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, story.interrupt)
    kept = False
    try:
        people = perform(story, stage)
        if options.keep:
            kept = True
            keep(story, stage, people)
        else:
            stage.close()
            story.step("Done; nothing is left running. To keep it: python3 dev.py demo --keep")
        return 0
    except MeshError as error:
        show_error(error, as_json=False)
        _show_logs(stage)
        return 1
    except KeyboardInterrupt:
        print("\nStopping …", file=sys.stderr)
        return INTERRUPTED
    finally:
        if not kept:
            stage.close()
            shutil.rmtree(folder, ignore_errors=True)


def _show_logs(stage: Stage) -> None:
    for log in sorted(stage.folder.glob("*.log")):
        text = log.read_text(errors="replace").strip()
        if text:
            print(f"--- {log.name}\n{os.linesep.join(text.splitlines()[-15:])}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
