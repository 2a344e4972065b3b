"""seccomp on Linux (x86_64): from a call on, no thread opens sockets, starts programs or signals others.

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

_REFUSED = (
    *(41, 42, 43, 49, 50, 53, 288),  # socket connect accept bind listen socketpair accept4
    *(57, 58, 59, 322),  # fork vfork execve execveat
    *(62, 129, 200, 234, 297, 424),  # kill rt_sigqueueinfo tkill tgkill rt_tgsigqueueinfo pidfd_send_signal
    *(101, 310, 311, 312, 438),  # ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd
    *(425, 426, 427),  # io_uring_setup io_uring_enter io_uring_register
    *(298, 321, 323),  # perf_event_open bpf userfaultfd
    *(248, 249, 250),  # add_key request_key keyctl
    *(155, 161, 165, 166, 272, 308),  # pivot_root chroot mount umount2 unshare setns
    *(175, 246, 304, 313),  # init_module kexec_load open_by_handle_at finit_module
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
        (_IF_EQUAL, 0, 3, _CLONE),
        (_LOAD, 0, 0, 16),  # its flags: threads are allowed, processes are not
        (_IF_BITS, 1, 0, _CLONE_THREAD),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
    ]
    return [_Instruction(*step) for step in steps]
