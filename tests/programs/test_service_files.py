"""Service files for three systems: each is read back by that system's own rules and says what it should."""

import configparser
import json
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mesh.cli.main import perform
from mesh.cli.service_files import (
    TASK_SPACE,
    Service,
    UnfitPath,
    enable_steps,
    launchd_plist,
    scheduled_task,
    service_name,
    systemd_unit,
)

PLAIN = Service("mesh", ("/opt/mesh/bin/mesh", "up"), "/home/ada/.local/share/mesh")
ODD = Service("mesh-0badcafe", ('/opt/a "b"/100%/$HOME/mesh', "up"), '/home/ada lovelace/it\'s "mine" 50%\\')


def read_unit(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_the_unit_runs_mesh_up_for_this_home_and_restarts_it_after_a_crash() -> None:
    unit = read_unit(systemd_unit(PLAIN))
    service = unit["Service"]
    assert shlex.split(service["ExecStart"]) == ["/opt/mesh/bin/mesh", "up"]
    assert shlex.split(service["Environment"]) == ["MESH_HOME=/home/ada/.local/share/mesh"]
    assert service["Restart"] == "on-failure" and service["RestartPreventExitStatus"] == "2 3"
    assert service["UMask"] == "0077" and service["NoNewPrivileges"] == "yes"
    assert unit["Install"]["WantedBy"] == "default.target"
    assert "--json" not in service["ExecStart"], "journals keep what is printed, and that would print a key"


def test_the_unit_takes_nothing_that_engines_need() -> None:
    service = read_unit(systemd_unit(PLAIN))["Service"]
    families = service["RestrictAddressFamilies"].split()
    assert {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"} <= set(families)
    # the first stops compiled model code; the others need namespaces, which a user's systemd may not make
    for setting in ("MemoryDenyWriteExecute", "SystemCallFilter", "PrivateTmp", "ProtectSystem", "ProtectHome"):
        assert setting not in service


def test_odd_paths_stay_one_word_in_the_unit() -> None:
    service = read_unit(systemd_unit(ODD))["Service"]

    def as_systemd(text: str) -> list[str]:
        return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(text)]

    assert as_systemd(service["ExecStart"]) == list(ODD.command)
    assert shlex.split(service["Environment"])[0].replace("%%", "%") == f"MESH_HOME={ODD.home}"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_itself_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "mesh.service"
    file.write_text(systemd_unit(Service("mesh", ("/bin/true", "up"), '/tmp/a "b" 50%')))
    done = subprocess.run(
        ("systemd-analyze", "--user", "verify", str(file)), capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if "mesh.service" in line]
    assert complaints == []


def test_the_plist_runs_mesh_up_at_login_and_after_a_crash() -> None:
    for service in (PLAIN, ODD):
        read = plistlib.loads(launchd_plist(service).encode())
        assert read["ProgramArguments"] == list(service.command)
        assert read["EnvironmentVariables"] == {"MESH_HOME": service.home}
        assert read["Label"] == f"local.{service.name}"
        assert read["RunAtLoad"] is True and read["KeepAlive"] == {"SuccessfulExit": False}
        assert read["Umask"] == 0o077


def test_the_task_runs_mesh_up_at_logon_with_ordinary_rights() -> None:
    service = Service("mesh", (r"C:\Program Files\R&D\mesh.exe", "up"), r"C:\Users\Ada\AppData\Local\mesh")
    root = ElementTree.fromstring(scheduled_task(service).partition("\n")[2])
    space = {"t": TASK_SPACE}

    def text(path: str) -> str | None:
        return root.findtext("/".join(f"t:{part}" for part in path.split("/")), namespaces=space)

    assert text("Principals/Principal/RunLevel") == "LeastPrivilege"
    assert text("Triggers/LogonTrigger/Enabled") == "true"
    assert text("Settings/ExecutionTimeLimit") == "PT0S"
    assert text("Settings/RestartOnFailure/Interval") == "PT1M"
    assert text("Actions/Exec/Command") == "cmd.exe"
    assert text("Actions/Exec/Arguments") == (
        r'/d /s /c "set "MESH_HOME=C:\Users\Ada\AppData\Local\mesh"&& "C:\Program Files\R&D\mesh.exe" "up""'
    )


@pytest.mark.parametrize("home", ['C:\\a"b', "C:\\100%", "C:\\a\nb", "C:\\wow!"])
def test_a_path_that_cmd_would_run_is_refused(home: str) -> None:
    with pytest.raises(UnfitPath):
        scheduled_task(Service("mesh", ("mesh.exe", "up"), home))


@pytest.mark.parametrize("render", [systemd_unit, launchd_plist])
def test_a_line_break_cannot_add_settings(render: object) -> None:
    assert callable(render)
    with pytest.raises(UnfitPath):
        render(Service("mesh", ("/bin/mesh", "up"), "/home/ada\nExecStartPre=/bin/evil"))


def test_each_home_has_a_service_of_its_own() -> None:
    assert service_name("/home/ada/mesh", "/home/ada/mesh") == "mesh"
    names = {service_name(home, "/home/ada/mesh") for home in ("/srv/one", "/srv/two")}
    assert len(names) == 2 and all(name.startswith("mesh-") for name in names)


def test_the_steps_name_the_service() -> None:
    assert ("systemctl", "--user", "enable", "--now", "mesh.service") in enable_steps("linux", PLAIN, "/x")
    assert enable_steps("darwin", PLAIN, "/x.plist") == [("launchctl", "load", "-w", "/x.plist")]
    assert enable_steps("windows", PLAIN, "x.xml")[0][0] == "schtasks"


def service(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = perform(["service", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="writes into the folder that Linux has for it")
def test_a_service_is_written_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MESH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    code, value = service("install", "--no-start", "--as-root", capsys=capsys)
    assert code == 0 and value["started"] is False
    file = Path(value["file"])
    assert file.parent == tmp_path / "settings" / "systemd" / "user"
    unit = read_unit(file.read_text())["Service"]
    command = shlex.split(unit["ExecStart"])
    assert Path(command[0]).is_absolute() and command[-1] == "up"
    assert unit["Environment"] == f'"MESH_HOME={tmp_path / "home"}"'
    assert value["next"][-1] == f"systemctl --user enable --now {file.name}"
    assert service("status", capsys=capsys)[1]["installed"] is True
    assert service("uninstall", capsys=capsys)[1]["removed"] is True
    assert not file.exists() and service("status", capsys=capsys)[1]["installed"] is False


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be refused as root")
def test_root_is_refused_unless_it_insists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MESH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    code, value = service("install", capsys=capsys)
    assert code == 2 and value["error"]["code"] == "service.root"
    assert not (tmp_path / "settings").exists()
