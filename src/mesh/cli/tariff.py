"""`mesh tariff`: what work costs in a network, in versions; tried on the jobs of the last month before it is set.

Touches: files of the home, sockets (through the client).
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli import here
from mesh.cli.credit import micro
from mesh.cli.job import clock
from mesh.cli.output import Json, Out, foreign, table
from mesh.errors import MeshError
from mesh.units import credits_text

if TYPE_CHECKING:
    from mesh.sdk.prices import Price
    from mesh.sdk.tariffs import TariffTried, TariffVersion

UNITS = {"chat": (1000, "kB of text"), "embeddings": (1000, "kB of text"), "ocr": (1, "page")}
"""Workload → how many of its units people know by which name."""
_PER_PERCENT = 10_000

app = typer.Typer(help="What work costs in a network: show, history, set.", no_args_is_help=True)


class BadPriceText(MeshError):
    """A price is written as NAME=CREDITS, for example chat=0.2; for work of other kinds as NAME=CREDITS/UNITS."""

    code = "usage.price"
    kind = "invalid"


class BadFeeText(MeshError):
    """A fee is written as the percent of each payment, for example 5 or 2.5."""

    code = "usage.fee"
    kind = "invalid"


@app.command()
def show(
    version: Annotated[int | None, typer.Option("--version", min=0, help="An earlier one.")] = None,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """The prices in force, and since when."""
    from mesh.sdk import tariffs

    place = here.home()
    with here.coordinator(place) as client:
        found = client.do(tariffs.tariff(here.network_of(place, client, network), version))

    def people() -> None:
        held = "in force since" if found.current else "published on"
        print(f"Version {found.version}, {held} {clock(found.since_ms)}{_by(found)}. Own devices cost nothing.")
        table(("workload", "#credits", "for a"), [(one.workload, *_price(one)) for one in found.prices])
        print(f"Of each payment, {_percent(found.fee_ppm)} pays for spot checks; the rest is earned.")

    Out(json).result(found, people)


@app.command()
def history(network: here.Network = None, json: Json = False) -> None:
    """All versions, newest first: who published which prices, when and why."""
    from mesh.sdk import tariffs

    place = here.home()
    with here.coordinator(place) as client:
        found = client.do(tariffs.tariff_versions(here.network_of(place, client, network)))
    rows = [
        (
            str(one.version),
            clock(one.since_ms),
            one.name or "",
            ", ".join(f"{price.workload} {_price(price)[0]}" for price in one.prices),
            _percent(one.fee_ppm),
            one.note,
        )
        for one in found.versions
    ]
    Out(json).result(found, lambda: table(("#version", "since", "who", "credits", "#fee", "why"), rows))


@app.command("set")
def set_(
    price: Annotated[
        list[str] | None,
        typer.Option("--price", help="NAME=CREDITS for a kB of text or a page; NAME=CREDITS/UNITS for other work."),
    ] = None,
    fee: Annotated[
        str | None, typer.Option("--fee", help="Percent of each payment that pays for spot checks: 0 to 50.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Why, for those who look at it later.")] = "",
    base: Annotated[
        int | None, typer.Option("--base", min=0, help="The version it is made from; else the one in force.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the jobs of the last 30 days would have cost; publish nothing.")
    ] = False,
    network: here.Network = None,
    json: Json = False,
) -> None:
    """Publish the next version (for admins). Permits granted from now on are paid by it, earlier ones by their own."""
    from mesh.sdk import tariffs

    change: dict[str, Any] = {}
    if price:
        change["prices"] = [_asked(one) for one in price]
    if fee is not None:
        change["fee_ppm"] = _ppm(fee)
    if not change:
        raise typer.BadParameter("Say what is to change: --price NAME=CREDITS, or --fee PERCENT.")
    place, out = here.home(), Out(json)
    with here.coordinator(place) as client:
        meant = here.network_of(place, client, network)
        if dry_run:
            tried = client.do(tariffs.try_tariff(meant, change))
            out.result(tried, lambda: _show_tried(tried))
            return
        made_from = client.do(tariffs.tariff(meant)).version if base is None else base
        published = client.do(tariffs.publish_tariff(meant, change, made_from, note))
    out.result(published, f"Published as version {published.version}. Permits granted from now on are paid by it.")


def _asked(text: str) -> dict[str, Any]:
    """Read NAME=CREDITS or NAME=CREDITS/UNITS. Raises BadPriceText, BadCredits."""
    name, _, number = text.partition("=")
    credit, slash, units = number.partition("/")
    if not name.strip() or not credit.strip():
        raise BadPriceText
    asked: dict[str, Any] = {"workload": name.strip(), "price_micro": micro(credit.strip())}
    if slash:
        if not units.strip().isdecimal() or len(units) > 15:
            raise BadPriceText
        asked["price_per"] = int(units)
    return asked


def _ppm(text: str) -> int:
    """A percentage as parts per million, to the ten-thousandth of a percent. Raises BadFeeText."""
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError as error:
        raise BadFeeText from error
    if not -1000 <= percent <= 1000:  # false for what is no number, too
        raise BadFeeText
    return round(percent * _PER_PERCENT)


def _percent(ppm: int) -> str:
    return f"{ppm / _PER_PERCENT:g} %"


def _price(price: "Price") -> tuple[str, str]:
    """A price in credits, and for what."""
    known = UNITS.get(price.workload)
    if known is not None and known[0] == price.price_per:
        return credits_text(price.price_micro), known[1]
    return credits_text(price.price_micro), "unit" if price.price_per == 1 else f"{price.price_per:,} units"


def _by(found: "TariffVersion") -> str:
    if found.name is None:
        return ", as every network begins"
    return foreign(f", by {found.name}" + (f": {found.note}" if found.note else ""))


def _show_tried(found: "TariffTried") -> None:
    jobs = sum(one.jobs for one in found.effects)
    charged, would = sum(one.charged for one in found.effects), sum(one.would for one in found.effects)
    earned, would_earn = sum(one.earned for one in found.effects), sum(one.would_earn for one in found.effects)
    if jobs:
        newest = f"The newest {jobs:,} jobs" if found.more else "The job" if jobs == 1 else f"The {jobs:,} jobs"
        print(
            f"{newest} paid since {clock(found.since_ms)} cost {credits_text(charged)} credits and would have cost "
            f"{credits_text(would)}{_change(charged, would)}."
        )
        print(f"Of that, {credits_text(earned)} was earned, and {credits_text(would_earn)} would have been.")
    else:
        print("No job was paid in the last 30 days. A job as they come would cost:")
    rows = [
        (
            one.workload,
            _amount(one.workload, one.units),
            "no price" if one.before is None else credits_text(one.before),
            credits_text(one.after) + ("" if one.before is None else _change(one.before, one.after)),
            f"{one.jobs:,}",
            credits_text(one.charged),
            credits_text(one.would),
        )
        for one in found.effects
    ]
    columns = ("workload", "#a job of", "#costs", "#would cost", "#jobs", "#cost together", "#would have cost")
    table(columns, rows)
    if found.fee_ppm != found.fee_ppm_before:
        print(f"The fee would be {_percent(found.fee_ppm)} in place of {_percent(found.fee_ppm_before)}.")
    print(f"Nothing is published. Version {found.base_version} is in force.")


def _amount(workload: str, units: int) -> str:
    per, name = UNITS.get(workload, (1, "unit"))
    if per == 1:
        return f"{units:,} {name}{'' if units == 1 else 's'}"
    if units < per:
        return f"{units} bytes of text"
    return f"{units / per:,.1f} {name}"


def _change(before: int, after: int) -> str:
    """How much more or less, in percent; nothing where that says nothing."""
    if before <= 0 or before == after:
        return ""
    return f" ({(after - before) / before:+.0%})"
