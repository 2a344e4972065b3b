"""`mesh run ocr`: the text of images and PDFs, page by page over the devices of the network.

Touches: files (input), the agent's control socket, processes (a requester for one command, where no agent runs).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli import asking, here
from mesh.cli.agent import agent_for
from mesh.cli.output import Json, Out, foreign
from mesh.cli.run import NoSuchFile
from mesh.errors import from_wire
from mesh.units import credits_text

if TYPE_CHECKING:
    from mesh.sdk.documents import NamedFile, PageRead


@asking.takes_options
def ocr(
    image: Annotated[
        list[Path], typer.Option("--image", help="A PNG, JPEG, WebP or PDF; give it as often as you like.")
    ],
    model: Annotated[str | None, typer.Option("--model", help="Another model than the default.")] = None,
    options: asking.Asked = asking.Asked(),
    json: Json = False,
) -> None:
    """Read the text of printed pages, with boxes and confidences. The pages of a document go to several devices."""
    from mesh.sdk import control, documents

    out, place = Out(json), here.home()
    files = tuple(files_of(image))
    with agent_for(place, out):
        request = documents.ReadFiles(files=files, model=model, **options.fields(place))
        if options.estimate:
            asking.show_estimate(place, asking.estimate(place, request), out)
            return
        pages = [one for one in asking.perform(place, request, out, "ocr") if isinstance(one, documents.PageRead)]
        names = {} if json else asking.names_of(place)
    if not pages:
        raise control.ControlBroken
    failed = [page for page in pages if page.error is not None]
    if len(failed) == len(pages):
        assert failed[0].error is not None
        error = from_wire(failed[0].error)
        error.facts.update(file=failed[0].file, page=failed[0].page)
        raise error
    out.result(_value(pages), lambda: _show(pages, names))
    for page in failed:
        assert page.error is not None
        out.note(foreign(f"mesh: page {page.page} of {page.file}: {page.error['message']} [{page.error['code']}]"))
    if failed:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Join the commands of `mesh run`."""
    app.command()(ocr)


def files_of(paths: Sequence[Path]) -> list["NamedFile"]:
    """Read the files, no further than they may be long together. Raises NoSuchFile, FilesTooLarge."""
    from mesh.sdk.documents import FILES_BYTES_MAX, FilesTooLarge, NamedFile

    files, left = [], FILES_BYTES_MAX
    for path in paths:
        try:
            with path.open("rb") as opened:
                content = opened.read(left + 1)
        except OSError as error:
            raise NoSuchFile(
                f"{path} cannot be read: {error.strerror}. Check its name and your right to read it."
            ) from error
        left -= len(content)
        if left < 0:
            raise FilesTooLarge(limit=FILES_BYTES_MAX)
        files.append(NamedFile(path.name, content))
    return files


def _value(pages: Sequence["PageRead"]) -> dict[str, Any]:
    """The answer as JSON: what is true of the whole, the text, and each page with its own facts."""
    read = [page for page in pages if page.read is not None]
    return {
        "job": read[0].job,
        "device": read[0].device,
        "path": read[0].path,
        "charge": sum(page.charge for page in pages),
        "units": len(read),
        "model": read[0].model,
        "failed": len(pages) - len(read),
        "text": "\n\n".join(page.read["text"] for page in read if page.read is not None),
        "pages": [_page(page) for page in pages],
    }


def _page(page: "PageRead") -> dict[str, Any]:
    where = {"file": page.file, "page": page.page}
    if page.read is None:
        return {**where, "error": page.error}
    how = {"job": page.job, "device": page.device, "path": page.path, "charge": page.charge, "attempts": page.attempts}
    return {**where, **how, **page.read}


def _show(pages: Sequence["PageRead"], names: dict[str, str]) -> None:
    for page in pages:
        if page.read is None:
            continue
        if len(pages) > 1:
            print(f"--- {foreign(page.file)}, page {page.page}")
        for line in page.read["text"].split("\n"):
            print(foreign(line))
    read = [page for page in pages if page.read is not None]
    charge = sum(page.charge for page in read)
    cost = f"{credits_text(charge)} credits" if charge else "nothing"
    where = ", ".join(dict.fromkeys(f"{names.get(page.device, page.device)} ({page.path})" for page in read))
    confidence = sum(page.read["confidence"] for page in read if page.read is not None) / len(read)
    print(f"\n{len(read)} of {len(pages)} pages, confidence {confidence:.0%}. Read by {foreign(where)}; cost {cost}.")
    print(f"Why there: mesh job why {read[0].job}     Boxes of words and lines: --json")
