"""Landlock on Linux: from a call on, this process opens only the files it named, and no TCP connection.

Works without root and cannot be undone. Its system calls have the same numbers on every architecture.

Touches: this process's rights.
"""

import ctypes
import os
import stat
import sys
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR  # libraries are mapped as executable, which needs no right to execute

_FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
"""What each version can forbid; from version 5 on 16 rights."""

_TCP = 0b11  # bind and connect, from version 4 on
_SCOPE = 0b11  # abstract Unix sockets and signals to outside, from version 6 on


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)))


def restrict(*, readable: Iterable[str], writable: Iterable[str]) -> bool:
    """Keep to these files and folders (with all below them); ones that do not exist are left out.

    True if it is in force, for this thread and those it starts. Call before any other thread runs.
    """
    found = version()
    if not found:
        return False
    libc = ctypes.CDLL(None)
    rights = _FS_RIGHTS.get(found, (1 << 16) - 1)
    ruleset = _Ruleset(rights, _TCP if found >= 4 else 0, _SCOPE if found >= 6 else 0)
    size = 8 if found < 4 else 16 if found < 6 else 24
    rules = int(libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0))
    if rules < 0:
        return False
    try:
        for paths, allowed in ((readable, _READ), (writable, rights & ~_EXECUTE)):
            for path in paths:
                if not _allow(libc, rules, path, allowed):
                    return False
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        return int(libc.syscall(_RESTRICT_SELF, rules, 0)) == 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, allowed: int) -> bool:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return True  # what is not there needs no right
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            allowed &= _ON_FILES
        rule = _PathBeneath(allowed, parent)
        return int(libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0)) == 0
    finally:
        os.close(parent)
