"""seccomp on Linux (x86_64): from a call on, no thread opens sockets, starts programs, signals others or lifts limits.

A list of what is refused, not of what is allowed: engines differ in what they use, and the files are Landlock's
business. Refused calls fail with an error; the process lives.

Touches: this process's rights.
"""

import ctypes
import errno
import platform
import sys

_SECCOMP = 317
_SET_MODE_FILTER = 1
_ALL_THREADS = 1
_PR_SET_NO_NEW_PRIVS = 38
_ARCH = 0xC000003E
_X32_BIT = 0x40000000
_CLONE, _CLONE3, _CLONE_THREAD = 56, 435, 0x10000
_PRCTL, _PRLIMIT, _PR_SET_PDEATHSIG = 157, 302, 1

_REFUSED = (
    *(41, 42, 43, 49, 50, 53, 288),  # socket connect accept bind listen socketpair accept4
    *(57, 58, 59, 322),  # fork vfork execve execveat
    *(62, 129, 200, 234, 297, 424),  # kill rt_sigqueueinfo tkill tgkill rt_tgsigqueueinfo pidfd_send_signal
    *(101, 310, 311, 312, 438),  # ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd
    *(425, 426, 427),  # io_uring_setup io_uring_enter io_uring_register
    *(298, 321, 323),  # perf_event_open bpf userfaultfd
    *(248, 249, 250),  # add_key request_key keyctl
    *(155, 161, 165, 166, 272, 308),  # pivot_root chroot mount umount2 unshare setns
    *(428, 429, 430, 431, 432, 433, 442),  # open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
    *(175, 176, 246, 304, 313, 320),  # init_module delete_module kexec_load open_by_handle_at finit_ kexec_file_load
    *(105, 106, 113, 114, 117, 119),  # setuid setgid setreuid setregid setresuid setresgid
    *(164, 169, 170, 171, 172, 173, 227),  # settimeofday reboot sethostname setdomainname iopl ioperm clock_settime
    *(163, 167, 168, 179, 160, 159, 305),  # acct swapon swapoff quotactl setrlimit adjtimex clock_adjtime
)
"""System call numbers of x86_64; other architectures have others."""

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def restrict() -> bool:
    """Refuse the calls above to all threads of this process; True if that is in force. Cannot be undone."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize <= 2**32:
        return False
    libc = ctypes.CDLL(None)
    instructions = _filter()
    program = _Program(len(instructions), (_Instruction * len(instructions))(*instructions))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return int(libc.syscall(_SECCOMP, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program))) == 0


def _filter() -> list[_Instruction]:
    refuse = (_RETURN, 0, 0, _REFUSE | errno.EPERM)
    steps = [
        (_LOAD, 0, 0, 4),  # the architecture: numbers mean something else on another one
        (_IF_EQUAL, 1, 0, _ARCH),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the call's number
        (_IF_AT_LEAST, 0, 1, _X32_BIT),
        refuse,
    ]
    for number in _REFUSED:
        steps += [(_IF_EQUAL, 0, 1, number), refuse]
    steps += [
        (_IF_EQUAL, 0, 1, _CLONE3),  # its flags lie in memory, unseen: the C library falls back to clone
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
        (_IF_EQUAL, 0, 4, _PRCTL),  # it may not outlive the agent
        (_LOAD, 0, 0, 16),
        (_IF_EQUAL, 0, 1, _PR_SET_PDEATHSIG),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
        (_IF_EQUAL, 0, 6, _PRLIMIT),  # limits are read, not changed: its address of new ones, both halves, must be 0
        (_LOAD, 0, 0, 32),
        (_IF_EQUAL, 0, 2, 0),
        (_LOAD, 0, 0, 36),
        (_IF_EQUAL, 1, 0, 0),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
        (_IF_EQUAL, 0, 3, _CLONE),
        (_LOAD, 0, 0, 16),  # its flags: threads are allowed, processes are not
        (_IF_BITS, 1, 0, _CLONE_THREAD),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
    ]
    return [_Instruction(*step) for step in steps]
