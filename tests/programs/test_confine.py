"""A confined process cannot reach what it has no business with: shown by a process that tries."""

import json
import platform
import subprocess
import sys

import pytest

from mesh.agent.engines.own import Engines
from mesh.workloads import landlock
from mesh.workloads.catalogue import EMBEDDINGS_DEFAULT
from modelfolder import shared_model_files

HOLDS = sys.platform == "linux" and platform.machine() == "x86_64" and landlock.version() > 0
pytestmark = pytest.mark.skipif(not HOLDS, reason="needs Linux on x86_64 with Landlock")

TRY = """
import ctypes, json, os, resource, signal, socket, sys, threading

model, foreign, scratch, parent = sys.argv[1:4] + [os.getppid()]
from mesh.workloads.confine import keep_to_files, keep_to_work

waiting = threading.Event()
outcome = {}

def attempt(name, act):
    try:
        act()
        outcome[name] = "done"
    except (OSError, ValueError):  # the limits say ValueError
        outcome[name] = "refused"

def early():
    waiting.wait()
    attempt("socket in an older thread", lambda: socket.socket().close())

kept = keep_to_files([model], scratch)
thread = threading.Thread(target=early)
thread.start()
outcome["level"] = keep_to_work(kept)
waiting.set()
thread.join()
attempt("the model", lambda: open(model).close())
attempt("its own folder", lambda: open(scratch + "/new", "w").close())
attempt("a new thread", lambda: threading.Thread(target=int).start())
attempt("a foreign file", lambda: open(foreign).close())
attempt("writing the model", lambda: open(model, "a").close())
attempt("removing the model", lambda: os.unlink(model))
attempt("passwords", lambda: open("/etc/passwd").close())
attempt("the home folder", lambda: os.listdir("/root"))
attempt("the parent's memory", lambda: open(f"/proc/{parent}/mem").close())
attempt("the parent's environment", lambda: open(f"/proc/{parent}/environ").close())
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", 9), 1))
attempt("a unix socket", lambda: socket.socket(socket.AF_UNIX).close())
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close())
attempt("a pair of sockets", lambda: socket.socketpair())
attempt("a link to outside", lambda: open(os.path.join(scratch, "link")).close())
attempt("writing beside its folder", lambda: open(scratch + "/../new", "w").close())
libc = ctypes.CDLL(None, use_errno=True)
def called(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def steer(*arguments):
    if libc.prctl(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
attempt("outliving the agent", lambda: steer(1, 0, 0, 0, 0))
attempt("naming itself", lambda: steer(15, b"x", 0, 0, 0))
attempt("reading limits", lambda: resource.getrlimit(resource.RLIMIT_DATA))
attempt("lifting limits", lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
attempt("limits of the parent", lambda: resource.prlimit(parent, resource.RLIMIT_CORE, (0, 0)))
attempt("a mount", lambda: called(165, b"none", scratch.encode(), b"tmpfs", 0, None))
attempt("another user", lambda: called(105, 0))
attempt("a program", lambda: os.execv("/bin/true", ["true"]))
attempt("a child", lambda: os.fork() or os._exit(0))
attempt("a signal", lambda: os.kill(parent, 0))
print(json.dumps(outcome))
"""


def test_only_the_model_and_its_own_folder_are_left(tmp_path):
    for name in ("model", "foreign"):
        (tmp_path / name).write_text("x")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "link").symlink_to(tmp_path / "foreign")
    places = [str(tmp_path / name) for name in ("model", "foreign", "scratch")]
    done = subprocess.run([sys.executable, "-c", TRY, *places], capture_output=True, text=True, timeout=60)
    outcome = json.loads(done.stdout)
    assert outcome.pop("level") == "strict"
    assert {name for name, answer in outcome.items() if answer == "done"} == {
        "the model",
        "its own folder",
        "a new thread",
        "naming itself",
        "reading limits",
    }
    assert len(outcome) == 27


@pytest.mark.anyio
async def test_the_real_engine_works_inside_and_says_how_far_it_is_confined():
    async with Engines(shared_model_files(), lanes=2) as pool:
        assert pool.isolation("embeddings", EMBEDDINGS_DEFAULT) is None
        await pool.measure("embeddings", EMBEDDINGS_DEFAULT)
        assert pool.isolation("embeddings", EMBEDDINGS_DEFAULT) == "strict"
