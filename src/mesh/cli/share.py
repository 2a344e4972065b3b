"""`mesh share`, `mesh unshare`: engines that run on this machine already, offered to one's networks.

Touches: the agent's control socket, stdin (a key).
"""

import sys
from typing import Annotated, Any

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out, foreign, table
from mesh.errors import MeshError

ANSWER_S = 300.0
"""Each model is tried before it is published, and an engine may load it first."""

LIST = "list"


class NoKeyGiven(MeshError):
    """--key-stdin was given, and stdin held no key. Pipe the key in: `echo $KEY | mesh share URL --key-stdin`."""

    code = "share.no_key"
    kind = "invalid"


def add_to(app: typer.Typer) -> None:
    """Join the commands of `mesh`."""
    app.command()(share)
    app.command()(unshare)


def share(
    url: Annotated[str | None, typer.Argument(help="An engine's address, or `list`; left out: look for some.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this model; repeatable.")] = None,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="The engine wants a key: read it from stdin.")] = False,
    lan: Annotated[bool, typer.Option("--lan", help="The engine is another machine of your local network.")] = False,
    json: Json = False,
) -> None:
    """Share an engine that runs here already (Ollama, LM Studio, llama-server, vLLM, TEI). Nothing is without this."""
    from mesh.sdk import sharing

    request: Any = sharing.FindEngines()
    if url is not None and url != LIST:
        key = ""
        if key_stdin:
            key = sys.stdin.readline(4096).strip()
            if not key:
                raise NoKeyGiven
        request = sharing.ShareEngine(url, tuple(model or ()), key, lan)
    _answer(request, Out(json), look=url is None)


def unshare(
    url: Annotated[str, typer.Argument(help="The engine's address, or `all`.")],
    json: Json = False,
) -> None:
    """Withdraw a shared engine; jobs go elsewhere from now on."""
    from mesh.sdk import sharing

    _answer(sharing.UnshareEngine(url), Out(json), look=False)


def _answer(request: Any, out: Out, *, look: bool) -> None:
    from mesh.sdk import control
    from mesh.sdk.sharing import Engines

    with out.progress("share") as show:
        show("asking the engine", 0.0)
        answer = control.ask(here.home().control_socket, request, ANSWER_S)
    assert isinstance(answer, Engines)
    value = {"found": [*answer.found] if look else [], "shared": [*answer.shared]}
    out.result(value, lambda: _show(answer, look=look))


def _show(answer: Any, *, look: bool) -> None:
    rows = [
        (one.url, one.kind, model.model, one.state if model.there else "gone", f"{model.units_per_s / 1000:.1f} kB/s")
        for one in answer.shared
        for model in one.models
    ]
    table(("shared", "kind", "model", "state", "#speed"), rows, empty="Nothing is shared.")
    if not look:
        return
    for one in answer.found:
        print(foreign(f"Found, not shared: {one.url} ({one.kind}): {', '.join(one.models) or 'no models'}"))
    if answer.found:
        print(f"To publish it: mesh share {foreign(answer.found[0].url)}")
    elif not answer.shared:
        print("No engine was found on the usual ports. If one listens elsewhere: mesh share URL")
