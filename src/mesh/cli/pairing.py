"""`mesh device join URL` and `mesh device pair CODE`: joining by a code, from both sides.

Touches: files of the home, sockets (through the client), stdin.
"""

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mesh.cli import here
from mesh.cli.output import Out, foreign, line
from mesh.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.sdk.answers import PairingShown
    from mesh.sdk.calls import TokenTerms
    from mesh.sdk.home import Home
    from mesh.sdk.pairing import Waiting
    from mesh.sdk.ways_in import LoginShown

AGO_S = 90
"""Up to here a time is said in seconds."""


class NotConfirmed(MeshError):
    """Nothing was confirmed. In a program, say yes beforehand with --yes; --elsewhere for another public address."""

    code = "pairing.not_confirmed"
    kind = "invalid"


def join(place: "Home", address: str, name: str, out: Out) -> None:
    """Show a code, wait until a member says yes, and be a device."""
    from mesh.agent.join import join_by_code
    from mesh.sdk.pairing import coordinator_url

    url = coordinator_url(address)
    with ExitStack() as showing:
        joined, state = join_by_code(place, url, name, Shower(out, showing))
    value = {"device": joined.device, "network": joined.network, "name": name, "state": joined.state, "by": state.by}
    waits = f"\nAn admin must let it in: mesh device approve {joined.device}" if joined.state == "pending" else ""
    who = f"{foreign(state.by)}'s device {name} in the network {foreign(state.network_name)}"
    out.result(value, f"This is now {who}.{waits}\nNext: mesh up")


class Shower:
    """Shows the code once, then how long it still works."""

    def __init__(self, out: Out, showing: ExitStack) -> None:
        self._out = out
        self._showing = showing
        self._progress: Callable[[str, float], None] | None = None

    def __call__(self, waiting: "Waiting", waited_s: float) -> None:
        """Called over and over while the machine waits."""
        if self._progress is None:
            self._tell(waiting)
            self._progress = self._showing.enter_context(self._out.progress("waiting for a yes"))
        left_min = int(waiting.life_s - waited_s) // 60
        left = f"{left_min} minutes left" if left_min > 1 else "less than two minutes left"
        self._progress(left, min(1.0, waited_s / waiting.life_s))

    def _tell(self, waiting: "Waiting") -> None:
        event = {
            "event": "code",
            "code": waiting.code,
            "fingerprint": waiting.fingerprint,
            "expires_s": waiting.life_s,
        }
        if self._out.as_json:
            line(event)
            return
        print(
            f"Code:         {waiting.code}\n"
            f"This machine: {waiting.name}, key {waiting.fingerprint}\n\n"
            f"Where you are signed in already, within {round(waiting.life_s / 60)} minutes:\n"
            f"  mesh device pair {waiting.code}\n"
            "If that says that the code does not fit although it was typed right, somebody sits in between: stop here.",
            flush=True,
        )


def pair(place: "Home", code: str | None, wanted: str | None, terms: "TokenTerms", answers: "Answers") -> None:
    """Show which machine has a code, ask, and let it in."""
    from mesh.sdk import calls

    out = answers.out
    with here.coordinator(place) as client:
        network = here.network_of(place, client, wanted)
        typed = code or answers.ask_code(place.coordinator().url)
        shown = client.do(calls.look_at_pairing(network, typed))
        if not out.as_json or not answers.yes:
            out.note(described(shown, terms))
        if not answers.first():
            answers.leave_or_refuse(lambda: client.do(calls.refuse_pairing(network, typed)))
            return
        elsewhere = shown.elsewhere and answers.second(shown)
        confirmed = client.do(calls.confirm_pairing(network, typed, shown.key, terms, elsewhere=elsewhere))
    waits = f" Then an admin must let it in: mesh device approve {shown.name}" if confirmed.state == "pending" else ""
    value = {"confirmed": True, "name": shown.name, "state": confirmed.state, "token": confirmed.token}
    more = {"fingerprint": shown.fingerprint, "address": shown.address, "network": network}
    out.result({**value, **more}, f"Yes was said: {shown.name} comes in within seconds.{waits}")


class Answers:
    """A person's answers, given beforehand or asked for."""

    def __init__(self, out: Out, *, yes: bool, elsewhere: bool) -> None:
        self.out = out
        self.yes = yes
        self._elsewhere = elsewhere

    def ask_code(self, url: str) -> str:
        """The code, where the command did not say it."""
        self.out.note(f"On the new machine: mesh device join {url} --name NAME")
        return _typed("Its code: ")

    def first(self, question: str = "Let it in? [y/N] ") -> bool:
        """Whether to let it in."""
        return self.yes or _typed(question).lower() in ("y", "yes")

    def second(self, shown: "PairingShown | LoginShown") -> bool:
        """Whether to let it in although it is elsewhere: the machine's name must be typed. Raises NotConfirmed."""
        if self._elsewhere:
            return True
        if self.yes:
            return False  # the coordinator refuses, and its words say what to do
        name = shown.label if hasattr(shown, "label") else shown.name
        if _typed(f"It is elsewhere. Are you sure? Type its name, {foreign(name)}: ") != name:
            raise NotConfirmed("The name was another one: nothing was confirmed.")
        return True

    def leave_or_refuse(self, refuse: "Callable[[], object]") -> None:
        """After a no: its code can be ended at once. Without a further answer nothing changes. Raises NotConfirmed."""
        if _typed("Refuse it, so that this code is worth nothing? [y/N] ").lower() not in ("y", "yes"):
            raise NotConfirmed
        refuse()
        self.out.result({"confirmed": False, "refused": True}, "Refused: that machine is told so.")


def described(shown: "PairingShown", terms: "TokenTerms") -> str:
    """The machine, what a yes grants, and when to say no."""
    ago = since(shown)
    tags = f"\n  tags         {' '.join(terms.tags)}" if terms.tags else ""
    away = " It is removed by itself after 30 minutes offline." if terms.ephemeral else ""
    waits = terms.approve or shown.state == "pending"
    grant = "once an admin has approved it too, it runs" if waits else "it runs"
    return (
        f"A machine asks to join the network {foreign(shown.network_name)} as a device of yours.\n\n"
        f"  name         {foreign(shown.name)}\n"
        f"  it says      {foreign(shown.machine)}\n"
        f"  key          {shown.fingerprint}   (the same must stand on its screen)\n"
        f"  asks from    {whence(shown)}, {ago}{tags}\n\n"
        f"If you say yes, it is your device: {grant} jobs in your name and at your cost, sees who and what is in the\n"
        f"network, and may work for others there.{away}\n"
        "Say yes only if you started this yourself, on that machine, just now."
    )


def since(shown: "PairingShown | LoginShown") -> str:
    """How long ago it asked."""
    age_s = max(0, (shown.time_ms - shown.asked_ms) // 1000)
    return f"{age_s} seconds ago" if age_s < AGO_S else f"{age_s // 60} minutes ago"


def whence(shown: "PairingShown | LoginShown") -> str:
    """From where it asks, beside where the person is."""
    if shown.address is None:
        return "an address that the proxy before the coordinator hides"
    if not shown.elsewhere:
        return f"{shown.address}, near you" if shown.address != shown.your_address else f"{shown.address}, as you do"
    return f"{shown.address}, ELSEWHERE: you ask from {shown.your_address or 'an address that a proxy hides'}"


def _typed(question: str) -> str:
    """A line of a person; nothing where there is none, so that no program says yes by accident."""
    print(question, end="", file=sys.stderr, flush=True)
    answer: Any = sys.stdin.readline(128)
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return str(answer).strip()


def is_address(text: str) -> bool:
    """Whether this is where a coordinator is, and no join link, not even one that lost its end."""
    return text.strip() != "-" and "#" not in text and not text.rstrip("/ ").endswith("/join")
