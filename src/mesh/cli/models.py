"""`mesh models`: the models that this machine can run: listing, fetching and removing them, and how much disk they get.

Touches: files (models), sockets and processes (through the fetch), the agent's control socket, the clock.
"""

import asyncio
import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, Show, foreign, table
from mesh.errors import MeshError
from mesh.units import GIB, KIB, MIB

if TYPE_CHECKING:
    from mesh.sdk.home import Home
    from mesh.workloads.catalogue import Catalogue, ModelEntry
    from mesh.workloads.files import ModelFiles
    from mesh.workloads.own_catalogue import OwnCatalogue

app = typer.Typer(help="Models: list, pull, remove, budget.", no_args_is_help=True)
ANSWER_S = 10.0
OFFER_S = 300.0
"""Loading and measuring a model takes a few seconds; a slow disk and a large model more."""
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(KiB|MiB|GiB|KB|MB|GB|TB)", re.IGNORECASE)
_BYTES = {"kib": KIB, "mib": MIB, "gib": GIB, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}


class NoSuchModel(MeshError):
    """There is no such model in the catalogue. `mesh models list` shows what there is."""

    code = "model.not_listed"
    kind = "not_found"


class BadSize(MeshError):
    """A size is a number with a unit, for example 5GB or 512MiB; `none` takes the limit away."""

    code = "usage.size"
    kind = "invalid"


@app.command("list")
def list_(json: Json = False) -> None:
    """The models of the catalogue, which are on this machine, and which are loaded here now."""
    from mesh.sdk.models import read_choice

    place = here.home()
    files, choice, offers = _files(place), read_choice(place), _offers(place)
    models: list[dict[str, Any]] = []
    own = _own(place)
    for entry in own.catalogue:
        offer = offers.get(entry.id)
        models.append(
            {
                "model": entry.id,
                "workload": entry.workload,
                "licence": entry.licence,
                "bytes": entry.size_bytes,
                "digest": entry.digest,
                "present": files.present(entry),
                "removed": entry.id in choice.removed,
                "offered": offer is not None,
                "warm": offer is not None and offer.warm,
                "units_per_s": None if offer is None else offer.units_per_s,
            }
        )
    value = {
        "models": models,
        "wrong": own.wrong,
        "disk_bytes": files.size(),
        "budget_bytes": choice.disk_bytes,
    }

    def people() -> None:
        rows = [
            (one["model"], one["workload"], one["licence"], f"{one['bytes'] / MIB:.0f} MiB", _state(one))
            for one in models
        ]
        table(("model", "for", "licence", "#size", ""), rows)
        limit = "" if choice.disk_bytes is None else f" of {choice.disk_bytes / MIB:.0f} MiB"
        print(f"\nModels take {files.size() / MIB:.0f} MiB{limit} on this disk.")
        for one in own.wrong:
            print(foreign(f"Left out of {place.catalogue_file}: {one}."))

    Out(json).result(value, people)


@app.command()
def pull(
    model: Annotated[str | None, typer.Argument(help="A model's id; the default embedding model if left out.")] = None,
    json: Json = False,
) -> None:
    """Fetch a model, check every file against the hash in the catalogue, and offer it where the agent runs."""
    from mesh.sdk import control
    from mesh.sdk.models import OfferModel, read_choice, write_choice
    from mesh.workloads.catalogue import EMBEDDINGS_DEFAULT

    out, place = Out(json), here.home()
    entry = _entry(place, model or EMBEDDINGS_DEFAULT)
    fetch(place, entry, out)
    choice = read_choice(place)
    if entry.id in choice.removed:
        write_choice(place, _without(choice, entry.id))
    offered = True
    try:
        control.ask(place.control_socket, OfferModel(entry.workload, entry.id), OFFER_S)
    except control.AgentAway:
        offered = False
    value = {"model": entry.id, "digest": entry.digest, "bytes": entry.size_bytes, "offered": offered}
    out.result(value, f"{entry.id} is here and checked{', and offered' if offered else ''}.")


@app.command()
def remove(
    model: Annotated[str, typer.Argument(help="A model's id.")],
    json: Json = False,
) -> None:
    """Take a model from this machine: it is offered no more, and its files are deleted. `pull` brings it back."""
    from mesh.sdk import control
    from mesh.sdk.models import ForgetModel, read_choice, write_choice

    place = here.home()
    entry = _entry(place, model)
    place.ensure()
    choice = _without(read_choice(place), entry.id)
    write_choice(place, type(choice)((*choice.removed, entry.id), choice.disk_bytes))
    with suppress(control.AgentAway):  # then nobody offers it
        control.ask(place.control_socket, ForgetModel(entry.workload, entry.id), ANSWER_S)
    freed = _files(place).remove(entry, _catalogue(place))
    shared = "" if freed else ", but its files stay: another model has them too, or they were not here"
    words = f"{entry.id} is gone{shared or f': {freed / MIB:.0f} MiB are free again'}."
    Out(json).result({"model": entry.id, "freed_bytes": freed}, words)


@app.command()
def budget(
    size: Annotated[str | None, typer.Argument(help="What models may take, for example 5GB; `none`: no limit.")] = None,
    json: Json = False,
) -> None:
    """How much of this disk models may take; without SIZE: as it is. What is there already stays."""
    from mesh.sdk.models import ModelChoice, read_choice, write_choice

    place = here.home()
    choice = read_choice(place)
    if size is not None:
        place.ensure()
        choice = ModelChoice(choice.removed, None if size == "none" else _bytes(size))
        write_choice(place, choice)
    taken = _files(place).size()
    limit = "all of the disk" if choice.disk_bytes is None else f"{choice.disk_bytes / MIB:.0f} MiB"
    value = {"budget_bytes": choice.disk_bytes, "disk_bytes": taken}
    Out(json).result(value, f"Models may take {limit}; they take {taken / MIB:.0f} MiB.")


def fetch(place: "Home", entry: "ModelEntry", out: Out) -> None:
    """Have a model's files in this home, showing progress. Raises what ``ModelFiles.ensure`` raises."""
    place.ensure()
    files = _files(place)
    files.from_web = True
    with out.progress(entry.id) as show:
        pace = Pace(show)
        asyncio.run(files.ensure(entry, pace.say))


class Pace:
    """Shows a fetch stage by stage, with the time left once a pace is known."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._stage = ""
        self._since_s = 0.0

    def say(self, stage: str, done: int, total: int) -> None:
        """A stage is so far: bytes done of a total (0: unknown)."""
        if stage != self._stage:
            self._stage, self._since_s = stage, time.monotonic()
        fraction = done / total if total else 0.0
        took_s = time.monotonic() - self._since_s
        left = f", {took_s / fraction - took_s:.0f} s left" if fraction > 0 and took_s >= 1 else ""
        self._show(stage, fraction, left)


def _files(place: "Home") -> "ModelFiles":
    from mesh.sdk.models import read_choice
    from mesh.workloads.files import ModelFiles

    files = ModelFiles(place.models, os.environ)
    files.budget = lambda: read_choice(place).disk_bytes
    return files


def _catalogue(place: "Home") -> "Catalogue":
    return _own(place).catalogue


def _own(place: "Home") -> "OwnCatalogue":
    from mesh.workloads.own_catalogue import read_catalogue

    return read_catalogue(place.catalogue_file)


def _entry(place: "Home", model: str) -> "ModelEntry":
    found = next((entry for entry in _catalogue(place) if entry.id == model), None)
    if found is None:
        _own(place).refuse(model)
        raise NoSuchModel
    return found


def _without(choice: Any, model: str) -> Any:
    return type(choice)(tuple(one for one in choice.removed if one != model), choice.disk_bytes)


def _offers(place: "Home") -> dict[str, Any]:
    """What the agent of this home offers now; nothing where none runs."""
    from mesh.sdk import control

    try:
        answer = control.ask(place.control_socket, control.GetModels(), ANSWER_S)
    except control.AgentAway:
        return {}
    return {one.model: one for one in answer.capability.offers} if isinstance(answer, control.Models) else {}


def _state(one: dict[str, Any]) -> str:
    if one["warm"]:
        return "loaded"
    if one["offered"]:
        return "offered, loads when needed"
    return "here" if one["present"] else "removed" if one["removed"] else "not here"


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise BadSize
    return int(float(match[1]) * _BYTES[match[2].lower()])
