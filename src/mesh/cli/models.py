"""`mesh models`: the models that this machine can run, and fetching them.

Touches: files (models), sockets and processes (through the fetch).
"""

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, table
from mesh.errors import MeshError
from mesh.units import MIB

if TYPE_CHECKING:
    from mesh.sdk.home import Home
    from mesh.workloads.catalogue import ModelEntry

app = typer.Typer(help="Models: list, pull.", no_args_is_help=True)


class NoSuchModel(MeshError):
    """There is no such model in the catalogue. `mesh models list` shows what there is."""

    code = "model.not_listed"
    kind = "not_found"


@app.command("list")
def list_(json: Json = False) -> None:
    """The models of the catalogue, and which are on this machine."""
    from mesh.workloads.catalogue import BUILTIN
    from mesh.workloads.files import ModelFiles

    files = ModelFiles(here.home().models)
    value = [
        {
            "model": entry.id,
            "workload": entry.workload,
            "licence": entry.licence,
            "bytes": entry.size_bytes,
            "digest": entry.digest,
            "present": files.present(entry),
        }
        for entry in BUILTIN
    ]
    rows = [
        (entry.id, entry.workload, f"{entry.size_bytes / MIB:.0f} MiB", "here" if files.present(entry) else "not here")
        for entry in BUILTIN
    ]
    Out(json).result({"models": value}, lambda: table(("model", "for", "#size", ""), rows))


@app.command()
def pull(
    model: Annotated[str | None, typer.Argument(help="A model's id; the default embedding model if left out.")] = None,
    json: Json = False,
) -> None:
    """Fetch a model and check every file against the hash in the catalogue."""
    from mesh.workloads.catalogue import BUILTIN, EMBEDDINGS_DEFAULT

    wanted = model or EMBEDDINGS_DEFAULT
    entries = [entry for entry in BUILTIN if entry.id == wanted]
    if not entries:
        raise NoSuchModel
    out, place = Out(json), here.home()
    fetch(place, entries[0], out)
    value = {"model": wanted, "digest": entries[0].digest, "bytes": entries[0].size_bytes}
    out.result(value, f"{wanted} is here and checked.")


def fetch(place: "Home", entry: "ModelEntry", out: Out) -> None:
    """Have a model's files in this home, showing progress. Raises what ``ModelFiles.ensure`` raises."""
    from mesh.workloads.files import ModelFiles

    place.ensure()
    files = ModelFiles(place.models, os.environ)
    with out.progress(entry.id) as show:
        asyncio.run(files.ensure(entry, lambda stage, done, total: show(stage, done / total if total else 0.0)))
