"""`mesh web`: the dashboard in a browser, signed in as whoever is signed in here.

Touches: files of the home, sockets (through the client), a browser (starts one).
"""

from typing import Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out
from mesh.errors import MeshError


class NoDashboard(MeshError):
    """The coordinator has no dashboard: its pages were not built. In its checkout: `python3 dev.py web`, and again."""

    code = "pages.no_dashboard"
    kind = "unavailable"


def add_to(app: typer.Typer) -> None:
    """Put the command at the top level of ``mesh``."""
    app.command()(web)


def web(
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether a browser is opened.")] = True,
    json: Json = False,
) -> None:
    """Open the dashboard in a browser, signed in. The link works once, within ten minutes."""
    from mesh.sdk import calls

    with here.coordinator(here.home()) as client:
        if not client.do(calls.about()).dashboard:
            raise NoDashboard
        made = client.do(calls.sign_in_link())
    out = Out(json)
    out.result({"url": made.link}, f"Open this in a browser, within ten minutes:\n{made.link}")
    if browser and not json:
        import webbrowser

        webbrowser.open(made.link)
