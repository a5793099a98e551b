"""What logs report, as frozen facts: one class a kind of report. Numbers are raw words; a field that the text does not have is
None. Nothing here agrees with a text that contradicts itself: `doubts` names what does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pcifma.regs.bdf import Bdf

Severity = Literal["correctable", "nonfatal", "fatal"]
Side = Literal["correctable", "uncorrectable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What all reports have: the number of their first line, and the time of it where the line says (ns, boot and wall)."""

    line: int
    boot_ns: int | None = None
    wall_ns: int | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PrintedBit:
    """An error bit as the kernel printed it: bit number (None where only a name stands), its name, and whether it was first."""

    bit: int | None
    text: str
    first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AerMessage(Report):
    """A Root Port's or Event Collector's line about an error message: *source* as an address, or *source_id* (16 bits) on kernels
    before 5.2.
    """

    port: Bdf
    severity: Severity
    multiple: bool
    source: Bdf | None = None
    source_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AerError(Report):
    """One Function's AER report. *origin*: `aer` (the kernel's own), `apei` (from firmware), `old` (kernels before 2.6.35).

    *side* says which status register *status* and *mask* are; None where the excerpt leaves that open. *header* has 4 to 14
    dwords, without prefixes.
    """

    bdf: Bdf
    origin: Literal["aer", "apei", "old"] = "aer"
    protocol: str | None = None
    driver: str | None = None
    severity: Severity | None = None
    layer: str | None = None
    agent: str | None = None
    agent_id: int | None = None
    vendor: int | None = None
    device: int | None = None
    status: int | None = None
    mask: int | None = None
    printed: tuple[PrintedBit, ...] = ()
    header: tuple[int, ...] = ()
    flit: bool = False
    side: Side | None = None
    first_error: int | None = None
    uncorrectable_severity: int | None = None
    multiple: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AerEvent(Report):
    """The kernel's `aer_event` tracepoint, as tracefs or rasdaemon prints it. *status* is what its names say, masked bits left out."""

    bdf: Bdf
    protocol: str
    severity: Severity
    names: tuple[str, ...]
    status: int
    header: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DpcEvent(Report):
    """A containment event. *source_id* is the Error Source ID register where it was printed as a number, *source* as an address."""

    bdf: Bdf
    status: int
    source_id: int | None = None
    source: Bdf | None = None
    reason: str | None = None
    rp_pio_status: int | None = None
    rp_pio_mask: int | None = None
    rp_pio_severity: int | None = None
    rp_pio_syserror: int | None = None
    rp_pio_exception: int | None = None
    header: tuple[int, ...] = ()
    impspec: int | None = None


@dataclass(frozen=True, slots=True)
class CperSection:
    """One section of a CPER record. *words* has what was printed, by the kernel's name for it (`aer_cor_status`); *raw* the hex
    dump of a section that the kernel did not know; *memory* the lines of a memory error by the kernel's names (`physical_address`).
    """

    index: int | None
    severity: str | None
    section_type: str | None = None
    port_type: int | None = None
    port_type_text: str | None = None
    command: int | None = None
    status: int | None = None
    bdf: Bdf | None = None
    slot: int | None = None
    vendor: int | None = None
    device: int | None = None
    class_code: str | None = None
    serial: tuple[int, int] | None = None
    secondary_status: int | None = None
    bridge_control: int | None = None
    words: Mapping[str, int] = field(default_factory=dict)
    header: tuple[int, ...] = ()
    raw: bytes = b""
    memory: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GhesRecord(Report):
    """A generic hardware error record (GHES, BERT). *severity* is firmware's word: corrected, recoverable, fatal, info."""

    sequence: int | None = None
    source: int | None = None
    severity: str | None = None
    sections: tuple[CperSection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EehDevice(Report):
    """POWER's Extended Error Handling: one Function's registers. *express* and *aer* are the dwords of those capabilities."""

    bdf: Bdf | None
    identity: int | None = None
    command_status: int | None = None
    bridge_secondary_status: int | None = None
    bridge_control: int | None = None
    pcix_status: int | None = None
    express: tuple[int, ...] = ()
    aer: tuple[int, ...] = ()

    @property
    def gone(self) -> bool:
        """The Function did not answer: every word is all ones."""
        known = [w for w in (self.identity, self.command_status, *self.express, *self.aer) if w is not None]
        return bool(known) and all(w == 0xFFFFFFFF for w in known)


Frozen = Literal["frozen", "fenced", "dead", "failed", "informative"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EehFreeze(Report):
    """POWER's Extended Error Handling has isolated something: partitionable endpoint *endpoint* of host bridge *number*, the host
    bridge itself (*endpoint* None), or on old kernels the Function *bdf*. *what*: `failed` is given up for good.
    """

    what: Frozen
    number: int | None = None
    endpoint: int | None = None
    bdf: Bdf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhbDiag(Report):
    """Diagnostic data of a POWER host bridge. *kind* is P7IOC, PHB3, PHB4 or PHB5; *values* has each line's words by its name,
    as printed (`RootSts`, `Lem`).
    """

    kind: str
    number: int
    values: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterText(Report):
    """Registers that a tool wrote out in words (lspci -vv, pciconf -e). *words* is keyed by setpci's register name and holds the
    bits that the tool's text shows; *known* the mask of those bits.

    *bdf* is None for a fragment without its first line.
    """

    tool: Literal["lspci", "pciconf"]
    bdf: Bdf | None
    title: str = ""
    vendor: int | None = None
    device: int | None = None
    port_type: str | None = None
    words: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)
    header: tuple[int, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FmaFault(Report):
    """A fault that an illumos or Solaris fault manager has diagnosed (`fmadm faulty`, `fmdump -v`). *classes* has (class, certainty
    in percent).
    """

    uuid: str
    code: str
    severity: str = ""
    classes: tuple[tuple[str, int], ...] = ()
    affects: tuple[str, ...] = ()
    state: str = ""
    fru: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FmaEreport(Report):
    """An ereport that illumos or Solaris logged (`fmdump -eV`). *members* has its numbers by name."""

    class_: str
    path: str = ""
    ena: int | None = None
    members: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefError(Report):
    """A PCI Express error told by its address, its severity and perhaps some registers. *teller*: `esxi` (its APEI or AER code), `whea`
    (Windows) or `bmc`. *bdf* is None where the log has it blanked out, *severity* where nothing is said beyond the registers.
    """

    teller: Literal["esxi", "whea", "bmc"]
    bdf: Bdf | None
    severity: Severity | None
    kind: str = ""
    vendor: int | None = None
    device: int | None = None
    words: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CxlError(Report):
    """Bits of the CXL RAS capability that the kernel named: *status* of the *side*'s register."""

    bdf: Bdf | None
    side: Side
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RasLine(Report):
    """A row of rasdaemon's own tables (`ras-mc-ctl --errors`, `--summary`): *count* events of one kind."""

    severity: Severity
    names: tuple[str, ...]
    status: int
    count: int = 1
    bdf: Bdf | None = None
    header: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BankText(Report):
    """A machine check. *fields* has its members by the names of the kernel's tracepoint mce_record, as numbers it would print."""

    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryText(Report):
    """A memory error without a processor's record. *teller*: `edac` or `firmware`; *label*: the module as the teller calls it, or empty;
    *address*: physical, None where it is not known.
    """

    teller: Literal["edac", "firmware"]
    corrected: bool
    what: str
    count: int = 1
    label: str = ""
    address: int | None = None


Event = AerMessage | AerError | AerEvent | DpcEvent | GhesRecord | BriefError | CxlError | RasLine | FmaEreport | EehFreeze
State = EehDevice | PhbDiag | RegisterText
AnyReport = Event | State | FmaFault | BankText | MemoryText
