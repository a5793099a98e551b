"""What was asked of a fixture's registers: every write in order, every read by its range."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pcifma.regs.bdf import Bdf


@dataclass(frozen=True, slots=True)
class Write:
    """*data* written at *offset* of *bdf* at boot time *boot_ns*."""

    bdf: Bdf
    offset: int
    data: bytes
    boot_ns: int


@dataclass
class Recorder:
    """*reads* counts each (address, offset, length) that was asked for, answered or not."""

    reads: Counter[tuple[Bdf, int, int]] = field(default_factory=Counter)
    writes: list[Write] = field(default_factory=list)

    def reads_of(self, bdf: Bdf) -> dict[tuple[int, int], int]:
        """How often each (offset, length) of *bdf* was read."""
        return {(offset, length): n for (who, offset, length), n in self.reads.items() if who == bdf}

    def bytes_read(self, bdf: Bdf) -> set[int]:
        """Offsets of every byte of *bdf* that was read."""
        return {at for offset, length in self.reads_of(bdf) for at in range(offset, offset + length)}
