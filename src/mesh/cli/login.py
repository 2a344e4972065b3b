"""`mesh auth login` and `mesh auth confirm CODE`: signing a command line in by a code, from both sides.

Touches: files of the home, sockets (through the client), stdin, the machine's name.
"""

import platform
from typing import TYPE_CHECKING

from mesh.cli import here
from mesh.cli.output import Out, foreign, line
from mesh.cli.pairing import Answers, since, whence
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.sdk.home import CoordinatorRecord, Home, SessionRecord
    from mesh.sdk.login import Waiting
    from mesh.sdk.ways_in import LoginShown


class NoAddress(MeshError):
    """This home knows no coordinator yet. Name it: `mesh auth login https://…`, as its dashboard's address begins."""

    code = "login.no_address"
    kind = "invalid"


def login(place: "Home", address: str | None, out: Out, *, admin: bool) -> None:
    """Show a code, wait until it is confirmed, and keep the session; one that was here before ends."""
    import msgspec

    from mesh.sdk import login as flow
    from mesh.sdk.home import SessionRecord

    waiting = flow.ask(_coordinator(place, address), (platform.node() or "a machine")[:63], admin=admin)

    def left(waited_s: float) -> str:
        minutes = int(waiting.life_s - waited_s) // 60
        return f"{minutes} minutes left" if minutes > 1 else "less than two minutes left"

    with flow.ended_without_a_yes(waiting):
        _tell(waiting, out)
        with out.progress("waiting for a yes") as show:
            state = flow.wait(waiting, lambda waited_s: show(left(waited_s), min(1.0, waited_s / waiting.life_s)))
    record = place.read()
    session = SessionRecord(waiting.token, state.member, state.name)
    coordinator = record.coordinator or waiting.where
    place.write(msgspec.structs.replace(record, coordinator=coordinator, session=session))
    if record.session is not None:
        _end(coordinator, record.session)
    limits = "\nFor ten minutes this may also do what only admins may." if admin else ""
    value = {"member": state.member, "name": state.name, "admin": admin}
    out.result(value, f"Signed in as {foreign(state.name)}.{limits}")


def confirm(place: "Home", code: str, answers: Answers) -> None:
    """Show which machine has a code, ask, and sign it in."""
    from mesh.sdk import calls

    out = answers.out
    with here.coordinator(place) as client:
        shown = client.do(calls.look_at_login(code))
        if not out.as_json or not answers.yes:
            out.note(described(shown))
        if not answers.first("Sign it in? [y/N] "):
            answers.leave_or_refuse(lambda: client.do(calls.refuse_login(code)))
            return
        elsewhere = shown.elsewhere and answers.second(shown)
        client.do(calls.confirm_login(code, shown.secret_sha256, elsewhere=elsewhere))
    value = {"confirmed": True, "label": shown.label, "admin": shown.admin, "address": shown.address}
    out.result(value, f"Yes was said: {foreign(shown.label)} is signed in as {foreign(shown.name)} within seconds.")


def described(shown: "LoginShown") -> str:
    """The machine, what a yes grants, and when to say no."""
    more = "does what only admins may for ten minutes, and after that " if shown.admin else ""
    return (
        f"A command line asks to be signed in as {foreign(shown.name)}, as you are here.\n\n"
        f"  it says      {foreign(shown.label)}\n"
        f"  asks from    {whence(shown)}, {since(shown)}\n\n"
        f"If you say yes, it {more}runs jobs in your name and at your cost, and sees what\n"
        "you may see, for three months or until you end it: mesh auth sessions\n"
        "Say yes only if you started this yourself, on that machine, just now."
    )


def _coordinator(place: "Home", address: str | None) -> "CoordinatorRecord":
    from mesh.sdk import calls
    from mesh.sdk.client import Coordinator
    from mesh.sdk.login import first_met
    from mesh.sdk.pairing import coordinator_url

    known = place.read().coordinator
    if address is None:
        if known is None:
            raise NoAddress
        return known
    met = first_met(coordinator_url(address))
    if known is not None:
        with Coordinator(met) as client:
            here.check_follows(known.key, client.do(calls.about()))
    return met


def _tell(waiting: "Waiting", out: Out) -> None:
    if out.as_json:
        line({"event": "code", "code": waiting.code, "url": waiting.page, "expires_s": waiting.life_s})
        return
    print(
        f"Code:  {waiting.code}\n\n"
        f"Where you are signed in already, within {round(waiting.life_s / 60)} minutes, open\n"
        f"  {waiting.page}\n"
        f"and type it there; or: mesh auth confirm {waiting.code}\n"
        "If the code does not fit although it was typed right, somebody sits in between: stop here.",
        flush=True,
    )


def _end(coordinator: "CoordinatorRecord", session: "SessionRecord") -> None:
    """End the session that was here before: best effort, since it may have ended already."""
    from contextlib import suppress

    from mesh.sdk import calls
    from mesh.sdk.client import Coordinator

    with suppress(MeshError), Coordinator(coordinator, session.token) as client:
        for one in client.do(calls.sessions()).sessions:
            if one.current:
                client.do(calls.end_session(one.session))
