"""`mesh ui`: this machine's own page in a browser.

Touches: the agent's control socket, a browser (starts one).
"""

from typing import Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out

ANSWER_S = 15.0
"""The first opening starts a server, which has 10 s."""


def add_to(app: typer.Typer) -> None:
    """Put the command at the top level of ``mesh``."""
    app.command()(ui)


def ui(
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether a browser is opened.")] = True,
    json: Json = False,
) -> None:
    """Open this machine's own page: try things out, and look after this device. The link works once."""
    from mesh.sdk import control

    answer = control.ask(here.home().control_socket, control.OpenPage(), ANSWER_S)
    if not isinstance(answer, control.PageOpened):
        raise control.ControlBroken
    Out(json).result({"url": answer.url}, f"Open this in a browser on this machine, within five minutes:\n{answer.url}")
    if browser and not json:
        import webbrowser

        webbrowser.open(answer.url)
