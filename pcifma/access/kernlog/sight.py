"""What one report shows of one Function: register words by their location, conditions that are no register's, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pcifma.access.kernlog.report import Severity
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location


@dataclass(frozen=True, slots=True)
class Condition:
    """An error that is no bit of a register of configuration space: *class_*, where it was said (*place*), a *bit* or number."""

    class_: str
    place: str
    bit: int
    severity: Severity
    name: str
    word: int | None = None
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """One Function as one report shows it. *state*: its registers as they stood when somebody looked; otherwise an event, but for the
    registers *standing*.

    *severity* is the reporter's word, for bits whose Severity register it does not show. *dev_type* is the Device/Port Type where
    the report says it. *gone*: every register read all ones. *count* is above one only where the reporter counted.
    """

    bdf: Bdf | None
    words: Mapping[Location, int] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    state: bool = False
    standing: frozenset[Location] = frozenset()
    severity: Severity | None = None
    vendor: int = 0xFFFF
    device: int = 0xFFFF
    dev_type: int | None = None
    gone: bool = False
    count: int = 1


def register(capability: str, offset: int, width: int = 4) -> Location:
    """The register at *offset* of *capability*, *width* bytes wide."""
    return Location(capability, offset, width)


COMMAND, STATUS, SECONDARY, BRIDGE = (register("", offset, 2) for offset in (0x04, 0x06, 0x1E, 0x3E))
DEVSTA, FLAGS = register("CAP_EXP", 0x0A, 2), register("CAP_EXP", 0x02, 2)
UE, UE_MASK, UE_SEVERITY, CE, CE_MASK, CONTROL = (register("ECAP_AER", offset) for offset in (0x04, 0x08, 0x0C, 0x10, 0x14, 0x18))
HEADER_LOG = tuple(register("ECAP_AER", 0x1C + 4 * i) for i in range(4))
ROOT_STATUS, SOURCE = register("ECAP_AER", 0x30), register("ECAP_AER", 0x34)
DPC_STATUS, DPC_SOURCE = register("ECAP_DPC", 0x08, 2), register("ECAP_DPC", 0x0A, 2)
RP_PIO = tuple(register("ECAP_DPC", 0x0C + 4 * i) for i in range(5))
RP_PIO_LOG, RP_PIO_IMPSPEC = tuple(register("ECAP_DPC", 0x20 + 4 * i) for i in range(4)), register("ECAP_DPC", 0x30)


def header_words(words: tuple[int, ...]) -> dict[Location, int]:
    """The Header Log that holds *words*; empty if it holds nothing."""
    return dict(zip(HEADER_LOG, words, strict=False)) if any(words) else {}


def set_bits(word: int) -> Iterator[int]:
    """The numbers of the bits that are set, in order."""
    return (bit for bit in range(word.bit_length()) if word >> bit & 1)


def only_error(words: Mapping[Location, int]) -> dict[Location, int]:
    """First Error Pointer for a reporter that does not show it: with one unmasked bit the header log can belong to no other."""
    status = words.get(UE, 0) & ~words.get(UE_MASK, 0)
    if HEADER_LOG[0] in words and CONTROL not in words and status and not status & status - 1:
        return {CONTROL: status.bit_length() - 1}
    return {}
