#!/usr/bin/env python3
"""The one entry for developers and the curious: makes the environment if needed, then runs a command in it.

    python3 dev.py demo [--keep]     see a private network form and a job travel; needs nothing prepared
    python3 dev.py test [--long] …   the test suite; whatever follows is passed to pytest
    python3 dev.py check             formatting, lint, types, import contracts
    python3 dev.py bench [NAME …]    list the benchmarks, or run one
    python3 dev.py web               build the pages of web/ into the package, where they have changed
    python3 dev.py setup             only make the environment

Uses the standard library alone; everything else is installed into .venv from uv.lock.

Touches: files under .venv, web/node_modules and src/mesh/pages/built, processes, package indexes (only while
installing).
"""

import sys

if sys.version_info < (3, 11):  # this file's syntax stays readable to old interpreters, so that they get to say this
    sys.stderr.write("Mesh needs Python 3.11 or newer; this is Python " + sys.version.split()[0] + ".\n")
    sys.stderr.write("Next: run this with a newer one, for example: python3.12 dev.py demo\n")
    sys.exit(2)

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
UV = "uv>=0.13.9,<0.14"  # reads the revision of uv.lock that this tree has
WEB = ROOT / "web"
BUILT = ROOT / "src" / "mesh" / "pages" / "built"
NODE_MIN = (20, 19)  # the bundler's own lower bound
EXTRAS = ("server", "agent", "embeddings", "ocr", "chat")


def say(text: str) -> None:
    """Tell the person what happens; stdout is left to the command itself."""
    print(text, file=sys.stderr, flush=True)


def wanted(with_tools: bool) -> str:
    """What the environment must match: lock, project, interpreter, place, extras, whether developer tools are in."""
    digest = hashlib.sha256()
    for name in ("uv.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    digest.update(f"{sys.version}|{ROOT}|{EXTRAS}".encode())
    return f"{digest.hexdigest()} {'tools' if with_tools else 'run'}"


def make_venv() -> None:
    """Create .venv with pip and uv in it, or say what the machine lacks."""
    if not PYTHON.exists() or subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode:
        say("Making .venv …")
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True)
        if made.returncode:
            release = f"{sys.version_info.major}.{sys.version_info.minor}"
            say(made.stdout.strip() or made.stderr.strip())
            say("\nThis Python cannot make virtual environments (its `venv` or `ensurepip` part is missing).")
            say(f"Next, on Debian or Ubuntu: sudo apt install python{release}-venv    then run this again.")
            sys.exit(1)
    if subprocess.run([PYTHON, "-c", "import uv"], capture_output=True).returncode:
        say("Installing uv into .venv …")
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV]
        if subprocess.run(pip).returncode:
            say("pip could not install uv. Next: check that this machine reaches its Python package index, try again.")
            sys.exit(1)


def make_environment(with_tools: bool) -> None:
    """Bring .venv to what uv.lock says; nothing to do when its stamp matches."""
    stamp = VENV / ".mesh-stamp"
    want = wanted(with_tools)
    have = stamp.read_text() if stamp.exists() and PYTHON.exists() else ""
    if have == want or have == wanted(with_tools=True):
        return
    started = time.monotonic()
    make_venv()
    say("Installing what uv.lock lists (a first time takes from seconds to a few minutes, by your line) …")
    command = [PYTHON, "-m", "uv", "sync", "--locked", "--inexact", "--python", PYTHON]
    for extra in EXTRAS:
        command += ["--extra", extra]
    if with_tools:
        command += ["--group", "dev"]
    if not sys.stderr.isatty():
        command.append("--quiet")
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON_DOWNLOADS": "never"}
    if subprocess.run([str(part) for part in command], cwd=ROOT, env=environment).returncode:
        say("The environment could not be made; uv says why above. Next: mend that and run this again.")
        sys.exit(1)
    stamp.write_text(want)
    say(f"Environment ready after {time.monotonic() - started:.0f} s.")


def become(*command: "str | Path") -> int:
    """Hand this process over to a command in the environment (on Windows: run it and pass on its exit status)."""
    arguments = [str(part) for part in command]
    os.chdir(ROOT)
    # Containers often forbid Python to keep what it compiles. Every program that is started then compiles all that it
    # imports anew: 1.2 of the 2.2 s of a coordinator's start, and the tests start hundreds. What is kept is in .venv
    # and in this folder alone.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if os.name != "nt":
        os.execv(arguments[0], arguments)
    return subprocess.run(arguments).returncode


def node() -> Path:
    """The folder of a Node that is new enough: the machine's own, else the one of the group ``web`` in .venv."""
    for found in (BIN / "node", shutil.which("node")):
        if found is None or not Path(found).exists() or not (Path(found).parent / "npm").exists():
            continue
        version = subprocess.run([str(found), "--version"], capture_output=True, text=True).stdout.strip("v \n")
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= NODE_MIN:
            return Path(found).parent
    say("Installing Node into .venv (this machine has none that is new enough; 194 MB) …")
    command = [PYTHON, "-m", "uv", "sync", "--locked", "--inexact", "--python", PYTHON, "--only-group", "web"]
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON_DOWNLOADS": "never"}
    if subprocess.run([str(part) for part in command], cwd=ROOT, env=environment).returncode:
        say("Node could not be installed; uv says why above. Next: install Node 22 or newer, and run this again.")
        sys.exit(1)
    return BIN


def digest_of(*paths: Path) -> str:
    """One hash of files and of everything in folders."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(ROOT).as_posix()} {file.stat().st_size}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def npm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run npm in web/, with its own node first on PATH."""
    folder = node()
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [str(folder / "npm"), *arguments]
    return subprocess.run(command, cwd=WEB, env=environment, capture_output=True, text=True)


def web_tools() -> None:
    """Bring web/node_modules to what its lock says; nothing to do when its stamp matches."""
    stamp, want = WEB / "node_modules" / ".mesh-stamp", digest_of(WEB / "package-lock.json")
    if stamp.exists() and stamp.read_text() == want:
        return
    say("Installing what web/package-lock.json lists …")
    done = npm("ci")
    if done.returncode:
        say(done.stdout + done.stderr + "\nNext: check that this machine reaches its npm registry, and run this again.")
        sys.exit(1)
    stamp.write_text(want)


def web() -> None:
    """Build web/ into the package, unless what is built was made from these very sources."""
    sources = [WEB / name for name in ("src", "public", "dashboard.html", "agent.html", "vite.config.ts")]
    stamp, want = BUILT / ".mesh-stamp", digest_of(*sources, WEB / "package-lock.json")
    if stamp.exists() and stamp.read_text() == want:
        return
    web_tools()
    started = time.monotonic()
    done = npm("run", "build")
    if done.returncode:
        say(done.stdout + done.stderr)
        say("The pages could not be built. Next: mend what is named above; python3 dev.py check names more.")
        sys.exit(1)
    stamp.write_text(want)
    say(f"Pages built in {time.monotonic() - started:.1f} s.")


def check() -> int:
    """Run every static check, also after one failed, and say which did."""
    folders = [name for name in ("src", "tests", "benchmarks") if (ROOT / name).is_dir()] + ["dev.py"]
    steps = {
        "format": [BIN / "ruff", "format", "--check", *folders],
        "lint": [BIN / "ruff", "check", *folders],
        "types": [BIN / "mypy"],
        "contracts": [BIN / "lint-imports", "--no-logo"],
    }
    web_tools()
    web_steps = {"web types": "types", "web lint": "lint", "web tests": "test"}
    failed = []
    for name in [*steps, *web_steps]:
        started = time.monotonic()
        if name in web_steps:
            done = npm("run", "--silent", web_steps[name])
        else:
            command = [str(part) for part in steps[name]]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        say(f"{'ok    ' if done.returncode == 0 else 'FAILED'} {name} ({time.monotonic() - started:.1f} s)")
        if done.returncode:
            failed.append(name)
            say(done.stdout + done.stderr)
    return 1 if failed else 0


def bench(arguments: "list[str]") -> int:
    """List the benchmarks with the question each asks, or run one."""
    files = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("*.py"))}
    if not arguments:
        for name, path in files.items():
            print(f"{name:28} {path.read_text(encoding='utf-8').lstrip().splitlines()[0].strip(chr(34))}")
        return 0
    if arguments[0] not in files:
        say(f"There is no benchmark {arguments[0]!r}. Next: python3 dev.py bench   lists them.")
        return 2
    return become(PYTHON, files[arguments[0]], *arguments[1:])


def main(arguments: "list[str]") -> int:
    """Dispatch; returns the exit status (2 for a command that does not exist)."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if command not in ("demo", "test", "check", "bench", "web", "setup"):
        print(__doc__)
        return 0 if command in ("help", "-h", "--help") else 2
    started = time.time()
    make_environment(with_tools=command in ("test", "check", "bench"))
    if command == "demo":
        return become(PYTHON, "-m", "mesh.cli.demo", "--started", f"{started:.3f}", *rest)
    if command == "test":
        web()
        long = ["-m", ""] if "--long" in rest else []
        passed_on = [argument for argument in rest if argument != "--long"]
        # Two for each core: half of the time a test waits for programs that it has started, or for a deadline.
        workers = str(2 * (os.cpu_count() or 1))
        # In the order of tests/conftest.py: by itself xdist begins with the files that have the most tests.
        spread = ("-n", workers, "--dist", "loadfile", "--no-loadscope-reorder")
        return become(PYTHON, "-m", "pytest", *spread, *long, *passed_on)
    if command == "check":
        return check()
    if command == "web":
        web()
    if command == "bench":
        return bench(rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
