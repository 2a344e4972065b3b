"""`mesh ledger`: your credits, every line of them, all of it as a file, and the proof that it adds up.

Touches: files of the home and where you export to, sockets (through the client).
"""

import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from mesh.cli import here
from mesh.cli.job import clock
from mesh.cli.output import Json, Out, table
from mesh.errors import MeshError
from mesh.units import credits_text

Since = Annotated[str | None, typer.Option("--since", help="From this date on.")]
Until = Annotated[str | None, typer.Option("--until", help="Before this date.")]
OfMember = Annotated[str | None, typer.Option("--member", help="One person's (for admins).")]
OfDevice = Annotated[str | None, typer.Option("--device", help="Where one device asked or worked.")]
app = typer.Typer(help="Credits: show, export, verify; give, limit, owed.", no_args_is_help=True)


class LedgerWrong(MeshError):
    """The ledger does not add up. Keep a copy of the coordinator's data folder and tell its operator."""

    code = "ledger.wrong"


class BadDate(MeshError):
    """A date looks like 2026-11-28 or 2026-11-28T14:30; without a time zone it is yours."""

    code = "cli.bad_date"
    kind = "invalid"


@app.command()
def show(
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many lines, newest first.")] = 50,
    kind: Annotated[str | None, typer.Option("--kind", help="Only these, for example settle or admin.")] = None,
    since: Since = None,
    until: Until = None,
    member: OfMember = None,
    device: OfDevice = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Your balance and the lines that concern you, each with what it is for."""
    from mesh.sdk import calls

    place = here.home()
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        narrowed = _narrowed(client, meant, (since, until), member, device) | ({"kind": kind} if kind else {})
        balance, page = client.do(calls.balance(meant)), client.do(calls.ledger(meant, limit, narrowed=narrowed))
        names = {one.member: one.name for one in client.do(calls.members(meant)).members}
    value = {**msgspec.structs.asdict(balance), "lines": page.lines, "cursor": page.cursor}
    rows = [
        (
            clock(one.time_ms),
            one.kind,
            f"{names.get(one.member, one.member)}, {one.account}" if one.member else one.account,
            credits_text(one.amount),
            "" if one.balance is None else credits_text(one.balance),
            _why(one),
            one.job or "",
        )
        for one in page.lines
    ]

    def people() -> None:
        print(
            f"Your balance: {credits_text(balance.balance)} credits, "
            f"{credits_text(balance.pending)} pending, {credits_text(balance.held)} held."
        )
        table(("when", "what", "account", "#credits", "#then", "why", "job"), rows, empty="No lines yet.")

    Out(json).result(value, people)


def _why(line: Any) -> str:
    """What a line is for: units by the price of which tariff, or the reason that an admin gave."""
    if line.reason:
        return str(line.reason)
    if line.units is None or not line.price_per:
        return ""
    return f"{line.units} units at {line.price_micro}/{line.price_per}, tariff {line.tariff_version}"


@app.command()
def export(
    format: Annotated[Literal["csv", "jsonl"], typer.Option("--format", help="csv or jsonl.")] = "jsonl",
    out: Annotated[Path | None, typer.Option("--out", help="A file; without it, stdout.")] = None,
    since: Since = None,
    until: Until = None,
    event: Annotated[list[str] | None, typer.Option("--event", help="Only these, for example job.failed.")] = None,
    member: OfMember = None,
    device: OfDevice = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Everything that was earned, spent, started, completed and failed, oldest first, as a file."""
    from mesh.sdk import calls

    place = here.home()
    filters: dict[str, Any] = {"format": format}
    filters |= {"event": event} if event else {}
    written = 0
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        filters |= _narrowed(client, meant, (since, until), member, device)
        pieces = client.pieces(calls.export(meant, filters))
        first = next(pieces, b"")  # a refusal comes before a file is made
        with out.open("wb") if out is not None else nullcontext(sys.stdout.buffer) as file:
            for piece in chain((first,), pieces):
                written += file.write(piece)
            file.flush()
    if out is not None:
        Out(json).result({"file": str(out), "bytes": written}, f"Written: {out} ({written} bytes).")


def _narrowed(
    client: Any, network: Any, times: tuple[str | None, str | None], member: str | None, device: str | None
) -> dict[str, Any]:
    """What lines are narrowed down to, as the coordinator wants it. Raises BadDate, and what names that are none do."""
    from mesh.cli.device import device_named
    from mesh.cli.members import member_named

    found: dict[str, Any] = {
        name: _moment(text) for name, text in zip(("since_ms", "until_ms"), times, strict=True) if text is not None
    }
    if member is not None:
        found["member"] = member_named(client, network, member)
    if device is not None:
        found["device"] = device_named(client, network, device)
    return found


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        return max(0, int(moment.astimezone(UTC).timestamp() * 1000))
    except (ValueError, OverflowError, OSError) as error:
        raise BadDate from error


@app.command()
def verify(network: here.Network = None, json: Json = False) -> None:
    """Check the whole ledger: every hash, posting and balance, and that its past is the one this device has seen."""
    from mesh.sdk import calls
    from mesh.sdk.heads import Heads, HistoryChanged, KeptHead

    place, out = here.home(), Out(json)
    heads = Heads(place.ledger_heads)
    if sys.stderr.isatty():
        out.note("Checking every line; a million takes a minute …")
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        kept = heads.of(meant)
        found = client.do(calls.verify(meant, None if kept is None else kept.number))
    if not found.ok:
        raise LedgerWrong(_said(found.problems), problems=list(found.problems))
    if kept is not None and found.at != kept.hash:
        raise HistoryChanged(number=kept.number, kept=kept.hash, found=found.at)
    if found.head is not None:
        head = found.head
        if heads.take(meant, KeptHead(head.number, head.hash, head.sealed_ms, head.signed)):
            heads.write()
    compared = None if kept is None else kept.number
    people = f"verify: ok ({found.postings} postings, {found.entries} entries, sum {found.total}). "
    people += f"Sealed up to number {found.sealed}, {found.unsealed} since. "
    people += "This device had kept no head before." if kept is None else f"The past up to {compared} is as it was."
    out.result({**msgspec.structs.asdict(found), "compared": compared}, people)


def _said(problems: tuple[Any, ...]) -> str:
    words = "The ledger does not add up. Keep a copy of the coordinator's data folder and tell its operator."
    for one in problems[:1]:
        where = f"{one['table']} {one['row']}".strip()
        words += f" First wrong: {where}: {one['invariant']}"
        words += f" (number {one['found']})." if one["table"] == "postings" and one["found"] == one["expected"] else "."
    return words
