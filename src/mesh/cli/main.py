"""The command `mesh`: every noun's file is joined here, and every error becomes words, JSON and an exit code.

Libraries that take long to import are imported inside the commands that need them.

Touches: argv, stdout, stderr.
"""

import sys
from typing import Annotated, cast

import typer

from mesh import __version__
from mesh.cli import (
    api_key,
    auth,
    batch,
    contribute,
    credit,
    device,
    doctor,
    invite,
    job,
    key,
    ledger,
    members,
    metrics,
    models,
    net,
    ocr,
    policy,
    privacy,
    relay,
    review,
    run,
    run_chat,
    running,
    serve,
    service,
    share,
    tariff,
    ui,
    up,
    web,
)
from mesh.cli.output import INTERRUPTED, exit_code, show_error
from mesh.errors import MeshError

# The base of all of typer's own complaints; typer does not export it by name.
UsageProblem = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])


class WrongUsage(MeshError):
    """The command was not understood. `mesh --help` lists the commands, `mesh COMMAND --help` their options."""

    code = "usage.invalid"
    kind = "invalid"


app = typer.Typer(
    name="mesh",
    help="Private networks that pool the machines you trust to run AI jobs.",
    epilog="Every command takes --json. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not signed in or not allowed, "
    "4 nowhere to run, 5 coordinator unreachable, 6 timed out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def start(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    """Private networks that pool the machines you trust to run AI jobs."""
    if version:
        print(f"mesh {__version__}")
        raise typer.Exit


up.add_to(app)
serve.add_to(app)
relay.add_to(app)
running.add_to(app)
metrics.add_to(app)
doctor.add_to(app)
share.add_to(app)
ui.add_to(app)
web.add_to(app)
app.add_typer(auth.app, name="auth")
credit.add_to_net(net.app)
app.add_typer(api_key.app, name="api-key")
app.add_typer(net.app, name="net")
contribute.add_to(device.app)
app.add_typer(device.app, name="device")
app.add_typer(members.app, name="members")
app.add_typer(invite.app, name="invite")
ocr.add_to(run.app)
run_chat.add_to(run.app)
app.add_typer(run.app, name="run")
app.add_typer(job.app, name="job")
app.add_typer(key.app, name="key")
credit.add_to_ledger(ledger.app)
app.add_typer(batch.app, name="batch")
app.add_typer(ledger.app, name="ledger")
app.add_typer(models.app, name="models")
app.add_typer(policy.app, name="policy")
app.add_typer(privacy.app, name="privacy")
app.add_typer(review.app, name="review")
app.add_typer(service.app, name="service")
app.add_typer(tariff.app, name="tariff")


def perform(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    as_json = "--json" in arguments
    try:
        code = app(arguments, prog_name="mesh", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except MeshError as error:
        show_error(error, as_json)
        return exit_code(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        sys.stderr.close()
        return 0
    except UsageProblem as error:
        said = error.format_message()
        if error.ctx is not None and said == error.ctx.get_help() and not as_json:  # a group without a command
            print(said, file=sys.stderr)
            return exit_code(WrongUsage())
        problem = WrongUsage(f"{said} `mesh --help` lists the commands.")
        show_error(problem, as_json)
        return exit_code(problem)


def main() -> None:
    """The console script."""
    sys.exit(perform(sys.argv[1:]))


if __name__ == "__main__":
    main()
