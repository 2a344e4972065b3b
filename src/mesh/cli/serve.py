"""`mesh serve`: the coordinator of an installation, with a relay beside it.

Touches: files (its data), sockets, the database, processes (the relay), all through the coordinator; stdin.
"""

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from mesh.cli import here, serve_ways
from mesh.cli.output import Json, Out


def add_to(app: typer.Typer) -> None:
    """Put the command, and what goes below it, at the top level of ``mesh``."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(serve)
    group.command()(move)
    app.add_typer(group, name="serve")


def serve(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option("--data", help="Where its database and keys live.")] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; off loopback it speaks TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")] = 8400,
    relay_port: Annotated[
        int,
        typer.Option("--relay-port", min=0, max=65535, help="The relay's, TCP and UDP; 0 keeps the last, or picks."),
    ] = 0,
    public_url: Annotated[str | None, typer.Option("--public-url", help="How others reach it.")] = None,
    database: Annotated[
        str | None, typer.Option("--database", help="postgresql://… instead of SQLite in --data.")
    ] = None,
    oidc_issuer: serve_ways.OidcIssuer = None,
    oidc_client_id: serve_ways.OidcClientId = None,
    oidc_client_secret_file: serve_ways.OidcSecretFile = None,
    oidc_title: serve_ways.OidcTitle = "",
    admit: serve_ways.Admit = None,
    github_client_id: serve_ways.GithubClientId = None,
    github_client_secret_file: serve_ways.GithubSecretFile = None,
    github_url: serve_ways.GithubUrl = None,
    smtp_url: serve_ways.SmtpUrl = None,
    mail_from: serve_ways.MailFrom = None,
    tied: Annotated[bool, typer.Option("--tied", hidden=True, help="Leave when stdin closes.")] = False,
    json: Json = False,
) -> None:
    """Run a coordinator and a relay in the foreground, until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    import msgspec

    from mesh.cli import logs
    from mesh.coordinator.config import Config
    from mesh.coordinator.main import Ready, run

    out = Out(json)

    def ready(now: Ready) -> None:
        people = f"Mesh listens at {now.url} (relay: {now.relay})."
        if now.claim:
            people += "\nNobody owns it yet. Who follows this within 15 minutes does:"
            people += f"\n  mesh auth claim '{now.claim}' --name NAME"
        value = {"event": "ready", "url": now.url, "claim": now.claim, "relay": now.relay, "tls_sha256": now.tls_sha256}
        out.result(value, people)

    logs.to_stderr()
    if tied:
        threading.Thread(target=_leave_with_stdin, daemon=True).start()
    folder = (data or here.home().coordinator_data).absolute()
    ways = serve_ways.settings(
        (oidc_issuer, oidc_client_id, oidc_client_secret_file, oidc_title),
        (github_client_id, github_client_secret_file, github_url),
        admit,
        (smtp_url, mail_from),
    )
    config = Config(data=folder, host=host, port=port, public_url=public_url, database=database)
    run(msgspec.structs.replace(config, relay_port=relay_port, ways=ways), ready)


def move(
    to: Annotated[str, typer.Option("--to", help="The empty database: postgresql://… or sqlite:FILE.")],
    data: Annotated[Path | None, typer.Option("--data", help="Where its keys, and its SQLite file, live.")] = None,
    database: Annotated[str | None, typer.Option("--database", help="Where it is now, if not in --data.")] = None,
    json: Json = False,
) -> None:
    """Copy a stopped coordinator's installation into another database, and compare both sides; the first one stays."""
    from mesh.coordinator.config import Config
    from mesh.coordinator.main import database_place
    from mesh.coordinator.store.moving import move as copy

    out = Out(json)
    folder = (data or here.home().coordinator_data).absolute()
    source = database_place(Config(data=folder, database=database))
    target = database_place(Config(data=folder, database=to))
    with out.progress("moving") as show:
        moved = copy(source, target, show)
    value = {"tables": moved.tables, "rows": moved.rows, "networks": moved.networks, "wrong": list(moved.wrong)}
    people = f"{moved.rows} rows of {moved.tables} tables are there as they were. "
    if moved.wrong:
        people += f"The ledgers of {', '.join(moved.wrong)} were wrong before, and are so there (mesh ledger verify). "
    else:
        people += "Their ledgers were derived again on both sides, and add up. "
    people += "Next: mesh serve --database with the new address, and the same --data (its keys stay there)."
    out.result(value, people)


def _leave_with_stdin() -> None:
    """Whoever started this holds the other end of stdin: when they are gone, however, this leaves too."""
    while os.read(0, 1):  # not through sys.stdin: its lock, held by this thread, would abort the exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)
