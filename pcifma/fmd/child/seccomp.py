"""What a plugin's process may not ask of the kernel: signals to the daemon or to all, reaching into other processes, and leaving its group.

Where plugins have no user of their own it could otherwise end the daemon by accident (`kill(-1)`). Its own children it may signal.
All that comes from it stays in its process group, so that one signal ends all of it at once, however fast it forks. The filter is
seccomp's (kernel, Documentation/userspace-api/seccomp_filter.rst): classic BPF over struct seccomp_data, kept over fork and exec.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_FIRST, _SECOND = 16, 24  # the low halves of the arguments, little-endian
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | errno.EPERM
_INSTRUCTION = struct.Struct("<HBBI")
_NEGATIVE = 1 << 31
_X32 = 1 << 30
# Whom a signal of a file goes to: fcntl's F_SETOWN and F_SETOWN_EX, ioctl's FIOSETOWN and SIOCSPGRP.
_SET_OWNER, _SET_OWNER_IOCTL = (8, 15), (0x8901, 0x8902)

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Calls:
    """System calls by number. *aimed* are refused where their first argument is the daemon, a group, or everybody; *never* always;
    *chosen* where their second argument is one of these.
    """

    architecture: int
    aimed: tuple[int, ...]
    never: tuple[int, ...]
    chosen: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


# aimed: kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, prlimit64, pidfd_open, sched_setparam, sched_setscheduler,
# sched_setaffinity, sched_setattr. never: ptrace, process_vm_readv, process_vm_writev, pidfd_send_signal (which takes /proc/PID too),
# pidfd_getfd, setpgid, setsid, setpriority, ioprio_set. chosen: fcntl, ioctl.
_CALLS = {
    "x86_64": Calls(
        0xC000003E,
        (62, 200, 234, 129, 297, 302, 434, 142, 144, 203, 314),
        (101, 310, 311, 424, 438, 109, 112, 141, 251),
        {72: _SET_OWNER, 16: _SET_OWNER_IOCTL},
    ),
    "aarch64": Calls(
        0xC00000B7,
        (129, 130, 131, 138, 240, 261, 434, 118, 119, 122, 274),
        (117, 270, 271, 424, 438, 154, 157, 140, 30),
        {25: _SET_OWNER, 29: _SET_OWNER_IOCTL},
    ),
}


class _Program(ctypes.Structure):
    # struct sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def shield(daemon: int) -> bool:
    """Keep this process, and all that come from it, from process *daemon*; False where this kernel or processor has no such filter.

    The caller has set no_new_privs.
    """
    calls = _CALLS.get(os.uname().machine)
    if calls is None:
        return False
    code = program(daemon, calls)
    held = ctypes.create_string_buffer(code, len(code))
    wanted = _Program(len(code) // _INSTRUCTION.size, ctypes.cast(held, ctypes.c_void_p))
    return bool(ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(wanted), 0, 0) == 0)


def program(daemon: int, calls: Calls) -> bytes:
    """The filter as the kernel takes it. Jumps are relative: (if true, if false)."""
    allow, deny = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, calls.architecture), deny]
    code += [(_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), deny]
    for number in calls.never:
        code += _only(number, [deny])
    at_daemon = [(_LOAD, 0, 0, _FIRST), (_EQUAL, 1, 0, daemon), (_AT_LEAST, 0, 1, _NEGATIVE), deny, allow]
    for number in calls.aimed:
        code += _only(number, at_daemon)
    for number, values in calls.chosen.items():
        refused = [step for value in values for step in ((_EQUAL, 0, 1, value), deny)]
        code += _only(number, [(_LOAD, 0, 0, _SECOND), *refused, allow])
    return b"".join(_INSTRUCTION.pack(*one) for one in (*code, allow))


# *block*, which ends by returning, for the system call *number* alone.
def _only(number: int, block: list[Instruction]) -> list[Instruction]:
    return [(_EQUAL, 0, len(block), number), *block]
