"""`mesh service`: have the system keep `mesh up` running for this home.

Touches: the user's service files, processes (systemctl), environment (where those files go).
"""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import here
from mesh.cli.output import Json, Out
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.cli.service_files import Service

app = typer.Typer(help="Have the system keep `mesh up` running: install, uninstall, status.", no_args_is_help=True)
SYSTEMCTL_S = 40.0
"""A stop waits for `mesh up` to leave, which takes at most 25 s."""


class RootService(MeshError):
    """You are root, and Mesh needs no root's rights. Run this as an ordinary user, or insist with --as-root."""

    code = "service.root"
    kind = "invalid"


class StepFailed(MeshError):
    """The service file is written, but the system did not take it. See what it said, or run the commands yourself."""

    code = "service.step_failed"


@app.command()
def install(
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Whether it is also started, where that can be done from here.")
    ] = True,
    as_root: Annotated[bool, typer.Option("--as-root", help="Let the service run with root's rights.")] = False,
    json: Json = False,
) -> None:
    """Write the service file of this home for the current user, and start it where that can be done from here."""
    from mesh.cli import service_files

    if _is_root() and not as_root:
        raise RootService
    out, system = Out(json), _system()
    service, path = this_service(), service_path()
    text = _render(system, service)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-16" if system == "windows" else "utf-8")
    here.home().ensure()
    steps = service_files.enable_steps(system, service, str(path))
    started = start and _can_run(system)
    if started:
        _run_steps(steps)
    value = {"service": service.name, "file": str(path), "started": started, "next": [shlex.join(s) for s in steps]}
    out.result(value, lambda: _say_installed(system, path, started, steps))


@app.command()
def uninstall(json: Json = False) -> None:
    """Stop the service of this home and remove its file. The home itself stays."""
    from mesh.cli import service_files

    out, system = Out(json), _system()
    service, path = this_service(), service_path()
    steps = service_files.disable_steps(system, service, str(path))
    was, stopped = path.exists(), False
    if was and _can_run(system):
        with suppress(StepFailed):  # the file goes all the same; it is then said how to stop what runs
            _run_steps(steps)
            stopped = True
    path.unlink(missing_ok=True)
    if stopped:
        _systemctl("daemon-reload")
    value = {"service": service.name, "removed": was, "stopped": stopped}
    if not was:
        out.result(value, "No service was installed for this home.")
    elif stopped:
        out.result(value, f"Stopped and removed {path}.")
    else:
        out.result(value, f"Removed {path}. If it runs, stop it:\n" + _lines(steps))


@app.command()
def status(json: Json = False) -> None:
    """Whether the service of this home is installed, and whether it runs."""
    from mesh.cli.agent import running

    system, service, path = _system(), this_service(), service_path()
    installed, active = path.exists(), None
    if installed and _can_run(system):
        active = _systemctl("is-active", f"{service.name}.service").stdout.strip()
    agent = running(here.home())
    value = {
        "service": service.name,
        "file": str(path) if installed else None,
        "installed": installed,
        "state": active,
        "agent": agent,
    }
    words = f"installed as {path}" if installed else "not installed. Next: mesh service install"
    state = f", {active}" if active else ""
    Out(json).result(value, f"Service  {words}{state}\nAgent    {'runs' if agent else 'does not run'}")


def this_service() -> "Service":
    """The service of this home."""
    import platformdirs

    from mesh.cli.service_files import Service, service_name

    home = str(here.home().path)
    usual = platformdirs.user_data_dir("mesh", appauthor=False)
    return Service(service_name(home, usual), (*_mesh(), "up"), home)


def service_path() -> Path:
    """Where the service file of this home belongs."""
    service, system = this_service(), _system()
    if system == "linux":
        settings = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        return Path(settings).expanduser() / "systemd" / "user" / f"{service.name}.service"
    if system == "darwin":
        return Path("~/Library/LaunchAgents").expanduser() / f"{service.label}.plist"
    return here.home().path / f"{service.name}.xml"


def _mesh() -> tuple[str, ...]:
    """The absolute command of this very installation."""
    beside = Path(sys.executable).absolute().with_name("mesh.exe" if os.name == "nt" else "mesh")
    return (str(beside),) if beside.is_file() else (str(Path(sys.executable).absolute()), "-m", "mesh.cli.main")


def _system() -> str:
    return platform.system().lower()


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _render(system: str, service: "Service") -> str:
    from mesh.cli import service_files

    if system == "linux":
        return service_files.systemd_unit(service)
    return service_files.launchd_plist(service) if system == "darwin" else service_files.scheduled_task(service)


def _can_run(system: str) -> bool:
    """Whether this user's systemd answers. On other systems, where this is untested, commands are only printed."""
    return system == "linux" and _systemctl("show-environment").returncode == 0


def _systemctl(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ("systemctl", "--user", *arguments)
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMCTL_S, stdin=subprocess.DEVNULL)
    return subprocess.CompletedProcess(command, 1, "", "systemctl does not answer")


def _run_steps(steps: Sequence[Sequence[str]]) -> None:
    for step in steps:
        done = _systemctl(*step[2:])
        if done.returncode:
            raise StepFailed(f"`{shlex.join(step)}` failed: {done.stderr.strip() or done.returncode}")


def _lines(steps: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"  {shlex.join(step)}" for step in steps)


def _say_installed(system: str, path: Path, started: bool, steps: Sequence[Sequence[str]]) -> None:
    print(f"Wrote {path}.")
    if started:
        print("It runs now, and starts by itself when you log in. To see what it says:")
        print(f"  journalctl --user -u {path.name} -f")
    else:
        print("To start it now and at every login:")
        print(_lines(steps))
    if system == "linux":
        print("To have it run also while nobody is logged in:\n  loginctl enable-linger")
    elif system == "darwin":
        print("This is untested on macOS. What it says goes to service.log in the home.")
    else:
        print("This is untested on Windows, and `mesh up` does not run there yet.")
