"""The banks themselves, read through /dev/cpu/N/msr and never written: for a kernel that was told to leave them alone.

STATUS, ADDR and MISC are three reads, and hardware may overwrite a bank between them: STATUS is read again, and all of it until both
agree. The reads run on processor N whichever the reader is on; it is pinned there as well, and the APIC id of N is asked before and
after, so that a processor that went away, or was another one, is no evidence. Under a hypervisor banks are virtual, and so is the APIC
id: there nothing is read at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pcifma.access.mca.processor import Processors
from pcifma.access.mca.shared import Shared
from pcifma.regs import mca

TRIES = 5  # as illumos: 0.5 % of reads tear in a storm, so a bank that changes five times over is in one
_BANKS_LIMIT = 64
_VALID, _ADDRV, _MISCV = 1 << 63, 1 << 58, 1 << 59
_LEAF_1, _LEAF_B = 1, 0xB


class Msr(Protocol):
    """Registers of processors; OSError where one cannot be read."""

    def read(self, cpu: int, number: int) -> int:
        """The 64-bit MSR *number* of processor *cpu*."""

    def apicid(self, cpu: int) -> int | None:
        """The APIC id that processor *cpu* has now; None where that cannot be asked."""


@dataclass(slots=True)
class Devices:
    """/dev/cpu/N/msr and cpuid below *place*, kept open: a daemon cannot open them again."""

    place: Path = Path("/dev/cpu")
    _open: dict[str, int] = field(default_factory=dict)

    def processors(self) -> list[int]:
        """Whose MSRs can be read, in order."""
        names = [path.name for path in self.place.glob("[0-9]*")] if self.place.is_dir() else []
        return [cpu for cpu in sorted(int(name) for name in names if name.isdecimal()) if self._file(cpu, "msr") is not None]

    def read(self, cpu: int, number: int) -> int:
        """As Msr.read."""
        fd = self._file(cpu, "msr")
        data = os.pread(fd, 8, number) if fd is not None else b""
        if len(data) != 8:
            raise OSError(0, "no such processor")
        return int.from_bytes(data, "little")

    def apicid(self, cpu: int) -> int | None:
        """As Msr.apicid: leaf 0Bh where there is one, else the 8 bits of leaf 1."""
        fd = self._file(cpu, "cpuid")
        if fd is None:
            return None
        with suppress(OSError):
            topology, basic = os.pread(fd, 16, _LEAF_B), os.pread(fd, 16, _LEAF_1)
            if any(topology[4:8]):
                return int.from_bytes(topology[12:16], "little")
            return basic[7]
        return None

    def close(self) -> None:
        """Let go."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def _file(self, cpu: int, name: str) -> int | None:
        key = f"{cpu}/{name}"
        if key not in self._open:
            try:
                self._open[key] = os.open(self.place / key, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return None
        return self._open[key]


def refused(cmdline: str, whose: Processors) -> str:
    """Why the banks are not read, in a few words; empty where they may be."""
    if "hypervisor" in whose.flags:
        return "a hypervisor is below: the banks it shows are its own, and no evidence"
    words = cmdline.split()
    if not {"mce=off", "nomce", "mce=ignore_ce"} & set(words):
        return "the kernel reads and clears the banks"
    return ""


def content(registers: Msr, cpu: int, whose: Processors, shared: Shared | None = None) -> bytes:
    """The fact of processor *cpu*: a line for each bank that holds an error, as `name=value` members of a record. *shared* leaves out
    what another processor tells of.
    """
    with _pinned(cpu) as pinned:
        lines = list(_lines(registers, cpu, whose, pinned=pinned))
    lines = lines if shared is None else shared.own(cpu, lines)
    return "".join(" ".join(f"{name}={word}" for name, word in line.items()) + "\n" for line in lines).encode()


def _lines(registers: Msr, cpu: int, whose: Processors, *, pinned: bool) -> Iterator[dict[str, str]]:
    before = registers.apicid(cpu)
    known = whose.apicids.get(cpu)
    try:
        cap, status = registers.read(cpu, mca.MCG_CAP), registers.read(cpu, mca.MCG_STATUS)
        scalable = "smca" in whose.flags
        banks = [_bank(registers, cpu, bank, scalable=scalable) for bank in range(min(cap & 0xFF, _BANKS_LIMIT))]
    except OSError:
        return  # it is offline, or was taken away meanwhile
    after = registers.apicid(cpu)
    if before != after or (known is not None and before not in (None, known)):
        yield {"cpu": str(cpu), "moved": f"{known}/{before}/{after}"}
        return
    told = {"cpu": str(cpu), "mcgcap": f"{cap:#x}", "mcgstatus": f"{status:#x}", **whose.members(), "via": "msr"}
    told |= {"apicid": str(before)} if before is not None else {"identity": "unchecked"}
    told |= {} if pinned else {"identity": "unpinned"}
    yield from ({**told, **bank} for bank in banks if bank)


def _bank(registers: Msr, cpu: int, bank: int, *, scalable: bool) -> dict[str, str]:
    # One bank, whole and of one error; empty where it holds none.
    def read(part: int) -> int:
        return registers.read(cpu, mca.bank_msr(bank, part, scalable=scalable))

    status = read(mca.STATUS)
    for _ in range(TRIES):
        if not status & _VALID:
            return {}
        parts = {"addr": (mca.ADDR, status & _ADDRV), "misc": (mca.MISC, status & _MISCV)}
        parts |= {"ipid": (mca.SMCA_IPID, 1), "synd": (mca.SMCA_SYND, 1)} if scalable else {}
        words = {name: read(part) for name, (part, wanted) in parts.items() if wanted}
        again = read(mca.STATUS)
        if again == status:
            return {"bank": str(bank), "status": f"{status:#x}", **{name: f"{word:#x}" for name, word in words.items()}}
        status = again
    # It changes faster than it can be read: that there is an error is sure, its details are another one's.
    return {"bank": str(bank), "status": f"{status & ~(_ADDRV | _MISCV):#x}", "state": "unstable"} if status & _VALID else {}


@contextmanager
def _pinned(cpu: int) -> Iterator[bool]:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:  # not one of ours to run on, or offline
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, allowed)
