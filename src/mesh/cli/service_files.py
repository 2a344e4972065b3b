"""The files by which a system keeps `mesh up` running: a systemd user unit, a launchd agent, a scheduled task.

Each is rendered from the same few facts; nothing is read or written here.

Touches: nothing.
"""

import hashlib
import plistlib
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from mesh.errors import MeshError

RESTART_S = 10
"""Between a crash and the next start. `mesh up` restarts its own parts sooner; this is for `mesh up` itself."""
STOP_S = 25
"""`mesh up` leaves within twice ten seconds: agent first, then a coordinator of its own."""
EXIT_USAGE, EXIT_NOT_ALLOWED = 2, 3
"""What a start fails with that another start would not mend: a wrong option, a device that was removed."""
TASK_SPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"


class UnfitPath(MeshError):
    """A path holds characters that this system's service files cannot carry. Use another folder for MESH_HOME."""

    code = "service.unfit_path"
    kind = "invalid"


class Service(NamedTuple):
    """What is to be kept running: its name, the absolute command, and the home that it serves."""

    name: str
    command: tuple[str, ...]
    home: str

    @property
    def label(self) -> str:
        """The name in the dotted form that launchd wants."""
        return f"local.{self.name}"


def service_name(home: str, usual_home: str) -> str:
    """``mesh`` for the usual home; another home's service has a name of its own, so that several fit beside it."""
    return "mesh" if home == usual_home else f"mesh-{hashlib.sha256(home.encode()).hexdigest()[:8]}"


def systemd_unit(service: Service) -> str:
    """A systemd user unit.

    The limits set here need no namespaces, for which a user's systemd often lacks the rights, and leave the sandbox of
    the engines (Landlock, seccomp) undisturbed. Memory may stay executable, because model libraries compile code; files
    stay open to it, because the engines narrow them down themselves.
    """
    home = _systemd_quoted(f"MESH_HOME={service.home}", variables=False)
    return f"""[Unit]
Description=Mesh: this machine as a device of a private network
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=exec
ExecStart={" ".join(_systemd_quoted(part) for part in service.command)}
Environment={home}
Restart=on-failure
RestartSec={RESTART_S}
RestartPreventExitStatus={EXIT_USAGE} {EXIT_NOT_ALLOWED}
KillMode=mixed
TimeoutStopSec={STOP_S}
UMask=0077
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK

[Install]
WantedBy=default.target
"""


def _systemd_quoted(text: str, *, variables: bool = True) -> str:
    """One word as systemd reads it; ``variables``: where it would also replace ``$NAME``."""
    _refuse_control(text)
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text.replace("$", "$$") if variables else text}"'


def launchd_plist(service: Service) -> str:
    """A launchd agent for macOS: started at login, again after a crash, not after an orderly end."""
    _refuse_control("".join(service.command) + service.home)
    content = {
        "Label": service.label,
        "ProgramArguments": list(service.command),
        "EnvironmentVariables": {"MESH_HOME": service.home},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": RESTART_S,
        "ExitTimeOut": STOP_S,
        "Umask": 0o077,
        "StandardOutPath": "/dev/null",
        "StandardErrorPath": f"{service.home}/service.log",
    }
    return plistlib.dumps(content, sort_keys=False).decode()


def scheduled_task(service: Service) -> str:
    """A task for the Windows Task Scheduler: started at the user's logon, with the user's own ordinary rights.

    Tasks carry no environment, so that ``cmd`` sets MESH_HOME.
    """
    root = ElementTree.Element("Task", {"version": "1.2", "xmlns": TASK_SPACE})
    _nested(root, {"RegistrationInfo": {"Description": "Mesh: this machine as a device of a private network"}})
    _nested(root, {"Triggers": {"LogonTrigger": {"Enabled": "true"}}})
    principals = ElementTree.SubElement(root, "Principals")
    principal = ElementTree.SubElement(principals, "Principal", {"id": "Author"})
    _nested(principal, {"LogonType": "InteractiveToken", "RunLevel": "LeastPrivilege"})
    _nested(
        root,
        {
            "Settings": {
                "MultipleInstancesPolicy": "IgnoreNew",
                "DisallowStartIfOnBatteries": "false",
                "StopIfGoingOnBatteries": "false",
                "ExecutionTimeLimit": "PT0S",
                "RestartOnFailure": {"Interval": "PT1M", "Count": "10"},
            }
        },
    )
    actions = ElementTree.SubElement(root, "Actions", {"Context": "Author"})
    _nested(actions, {"Exec": {"Command": "cmd.exe", "Arguments": _cmd_line(service)}})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-16"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


Tree = dict[str, "str | Tree"]


def _nested(parent: ElementTree.Element, tree: Tree) -> None:
    for name, value in tree.items():
        element = ElementTree.SubElement(parent, name)
        if isinstance(value, str):
            element.text = value
        else:
            _nested(element, value)


def _cmd_line(service: Service) -> str:
    """What ``cmd`` is given. Raises UnfitPath for what it would read as its own syntax even inside quotes."""
    for part in (*service.command, service.home):
        _refuse_control(part)
        if any(letter in part for letter in '"%!^'):
            raise UnfitPath(f"{part!r} cannot be written into a scheduled task. Use another folder.")
    words = " ".join(f'"{part}"' for part in service.command)
    return f'/d /s /c "set "MESH_HOME={service.home}"&& {words}"'


def _refuse_control(text: str) -> None:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise UnfitPath


def enable_steps(system: str, service: Service, path: str) -> list[Sequence[str]]:
    """The commands that start the service and have it start by itself from now on."""
    if system == "linux":
        unit = f"{service.name}.service"
        return [("systemctl", "--user", "daemon-reload"), ("systemctl", "--user", "enable", "--now", unit)]
    if system == "darwin":
        return [("launchctl", "load", "-w", path)]
    return [("schtasks", "/Create", "/TN", service.name, "/XML", path), ("schtasks", "/Run", "/TN", service.name)]


def disable_steps(system: str, service: Service, path: str) -> list[Sequence[str]]:
    """The commands that stop it and keep it from starting."""
    if system == "linux":
        return [("systemctl", "--user", "disable", "--now", f"{service.name}.service")]
    if system == "darwin":
        return [("launchctl", "unload", "-w", path)]
    return [("schtasks", "/End", "/TN", service.name), ("schtasks", "/Delete", "/F", "/TN", service.name)]
