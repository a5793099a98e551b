"""Definition: the words that make the kernel probe privcmd's ioctl, or the C library's, and fetch what `line` reads.

Entry and return are two events. At the return the structures hold results (a new domain's id, a multicall's), but the address of the
ioctl's structure is an argument of a function that is over: kernels that allow $arg3 in a return probe (6.12) tell it, on others it is
looked for in what the return leaves in registers and on the stack (`Candidates`, tried out with calls of our own before the trace begins).
"""

from dataclasses import dataclass

from pcifma.errors import PcifmaError
from pcifma.xpv.line import Layer
from pcifma.xpv.table import IOCTLS

FUNCTION = "privcmd_ioctl"
MODULE = "xen_privcmd"
# How many returns may be outstanding at once: as many threads as may sit in a hypercall together.
_PENDING_RETURNS = 64
_BEHIND0, _BEHIND1, _RESULT = 16, 4, 10


class TraceError(PcifmaError):
    """This machine cannot be traced, or not as asked; the message says what is missing and how to get it."""

    tag = "trace"


@dataclass(frozen=True, slots=True)
class Registers:
    """Where one architecture passes the second and third argument of a function, and which registers a call preserves."""

    command: str
    address: str
    preserved: tuple[str, ...]


_REGISTERS = {
    "x86_64": Registers("%si", "%dx", ("%bx", "%bp", "%r12", "%r13", "%r14", "%r15")),
    "aarch64": Registers("%x1", "%x2", tuple(f"%x{n}" for n in range(19, 29))),
}
_STACK_WORDS = 16


def registers(machine: str) -> Registers:
    """Return the registers of *machine* (as uname says it). Raises TraceError for an architecture that Xen's tools do not run on."""
    if machine not in _REGISTERS:
        raise TraceError(f"{machine}: tracing knows x86_64 and aarch64 only: record elsewhere, and use `pcifma trace replay`")
    return _REGISTERS[machine]


@dataclass(frozen=True, slots=True)
class Place:
    """What is probed: *spot* as the kernel wants it (`xen_privcmd:privcmd_ioctl`, or `/path/libc.so.6:0xfdd30`), and how memory is read
    there.
    """

    layer: Layer
    spot: str
    regs: Registers

    def read(self, offset: int, base: str) -> str:
        """Return the fetch of user memory at *offset* from *base*; a probe in the kernel must say that it is the user's."""
        return f"+{'u' if self.layer == 'kernel' else ''}{offset}({base})"

    def words(self, name: str, count: int, base: str) -> list[str]:
        """Return fields name0, name1, … for *count* words from *base* on. (Arrays of user memory are refused up to 6.1 at least.)"""
        return [f"{name}{n}={self.read(8 * n, base)}:x64" for n in range(count)]

    def candidates(self) -> tuple[str, ...]:
        """Return where the address of the ioctl's structure may still be found at the return, likeliest first."""
        if self.layer == "kernel":  # the caller's registers are restored by then, and it kept the address in one of them
            return (*self.regs.preserved, *(f"$stack{n}" for n in range(_STACK_WORDS)))
        return (*(f"-{8 * n}(%sp)" for n in range(1, _STACK_WORDS + 1)), *self.regs.preserved)


def entry(group: str, place: Place) -> str:
    """Return the definition of the entry event."""
    at, read = place.regs.address, place.read
    first = read(8, at)
    fields = [
        f"cmd={place.regs.command}:x32",
        f"op={read(0, at)}:x64",
        *(f"a{n}={read(8 + 8 * n, at)}:x64" for n in range(5)),
        *place.words("d", _BEHIND0, first),
        *place.words("m", _BEHIND1, read(16, at)),
        *place.words("n", _BEHIND1, read(24, first)),
        *place.words("nb", _BEHIND1, read(88, first)),
        *place.words("q", 1, read(0, first)),
        "comm=$comm",
    ]
    return f"p:{group}/{_names(place)[0]} {place.spot} {' '.join(fields)}"


def leaving(group: str, place: Place, address: str | None) -> str:
    """Return the definition of the return event; *address* is where the structure's address is found by then, None if nowhere."""
    fields = [f"ret=$retval:{'s64' if place.layer == 'kernel' else 's32'}"]
    if address is not None:
        fields += [f"op={place.read(0, address)}:x64", *place.words("r", _RESULT, place.read(8, address))]
    return f"r{_PENDING_RETURNS if place.layer == 'kernel' else ''}:{group}/{_names(place)[1]} {place.spot} {' '.join(fields)}"


def trial(group: str, place: Place) -> str:
    """Return the definition of a return event that fetches every candidate, c0, c1, …"""
    fields = " ".join(f"c{n}={fetch}:x64" for n, fetch in enumerate(place.candidates()))
    return f"r:{group}/trial {place.spot} {fields}"


def _names(place: Place) -> tuple[str, str]:
    return ("enter", "exit") if place.layer == "kernel" else ("ioc", "iocr")


def filters(place: Place) -> dict[str, str]:
    """Return the filter of each event, by event name: in the C library, only privcmd's ioctls pass."""
    if place.layer == "kernel":
        return {}
    return {"ioc": " || ".join(f"cmd == {row.command:#x}" for row in IOCTLS)}
