"""What a plugin's process may not ask of the kernel: signals to the daemon or to all, and reaching into other processes.

It runs as the daemon's user, and could otherwise end it by accident (`kill(-1)`). Its own children it may signal. The filter is
seccomp's (kernel, Documentation/userspace-api/seccomp_filter.rst): classic BPF over struct seccomp_data, kept over fork and exec.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; the argument's low half, little-endian
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | errno.EPERM
_INSTRUCTION = struct.Struct("<HBBI")
_NEGATIVE = 1 << 31
_X32 = 1 << 30


@dataclass(frozen=True, slots=True)
class _Calls:
    # *aimed* are refused where their first argument is the daemon, or a group, or everybody; *never* always.
    architecture: int
    aimed: tuple[int, ...]
    never: tuple[int, ...]


# kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, prlimit64, pidfd_open; ptrace, process_vm_readv, process_vm_writev.
_CALLS = {
    "x86_64": _Calls(0xC000003E, (62, 200, 234, 129, 297, 302, 434), (101, 310, 311)),
    "aarch64": _Calls(0xC00000B7, (129, 130, 131, 138, 240, 261, 434), (117, 270, 271)),
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
    code = program(daemon, calls.architecture, calls.aimed, calls.never)
    held = ctypes.create_string_buffer(code, len(code))
    wanted = _Program(len(code) // _INSTRUCTION.size, ctypes.cast(held, ctypes.c_void_p))
    return bool(ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(wanted), 0, 0) == 0)


def program(daemon: int, architecture: int, aimed: tuple[int, ...], never: tuple[int, ...]) -> bytes:
    """The filter as the kernel takes it. Jumps are relative: (if true, if false)."""
    calls = len(aimed) + len(never)
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 0, calls + 6, architecture), (_LOAD, 0, 0, _NUMBER), (_AT_LEAST, calls + 4, 0, _X32)]
    for at, number in enumerate((*aimed, *never)):
        left = calls - at
        code.append((_EQUAL, left if at < len(aimed) else left + 3, 0, number))
    code += [
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, daemon),
        (_AT_LEAST, 0, 1, _NEGATIVE),
        (_RETURN, 0, 0, _DENY),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(_INSTRUCTION.pack(*one) for one in code)
