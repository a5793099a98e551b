"""One bank's words put together: which error it is, how bad, and its ereport class in illumos's manner.

UC PCC S AR    Intel (SDM 15.6.3, with MCG_SER_P)              AMD (APM 9.3.2)
0  -   -  -    corrected; yellow: over the threshold           corrected; Deferred set: uncorrected, not consumed yet
1  1   -  -    fatal                                           fatal
1  0   0  0    UCNA: no action required                        uncorrected, this task's context is intact unless TCC
1  0   1  0    SRAO: software may act
1  0   1  1    SRAR: software must act; with OVER fatal
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pcifma.regs.bdf import Bdf
from pcifma.regs.mca import MISC_IO, STATUS_AMD, Vendor, status_of
from pcifma.regs.mca_code import ErrorCode, error_code
from pcifma.regs.smca import DRAM_ECC, BankType, bank_type, unit_titled
from pcifma.regs.table import Register

Disposition = Literal["corrected", "deferred", "ucna", "srao", "srar", "uncorrected", "fatal"]
Severity = Literal["correctable", "nonfatal", "fatal"]
VALID, OVER, UC, MISCV, ADDRV, PCC = (1 << bit for bit in (63, 62, 61, 59, 58, 57))
_SER_P = 1 << 24
_PREFIX = "ereport.cpu"
_NEHALEM_EP = frozenset({(6, 0x1A), (6, 0x2C)})  # the models whose memory controller has these model-specific codes (Xeon 5500, 5600)
# Model-specific bits of those (illumos, usr/src/uts/i86pc/cpu/genuineintel/gintel_main.c), in the order in which they are asked.
_QUICKPATH = (
    (0x0010, "mem_spare"),
    (0x0008, "mem_redundant"),
    (0x0104, "mem_parity"),
    (0x0020, "mem_bad_addr"),
    (0x0040, "mem_bad_id"),
    (0x0080, "mem_addr_parity"),
)
# Kinds of codes that units without caches use for errors of their own (PPR, the tables of each bank type).
_MODEL_SPECIFIC = frozenset({"cache", "tlb", "none", "unclassified", "internal", "unknown"})
_SCALABLE_FAMILY = 0x17
_NORTHBRIDGE = 4  # the bank of AMD families before scalable MCA that DRAM ECC errors are in


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a bank is: who made the processor, its family and model (None: unknown), and its IA32_MCG_CAP (None: unknown)."""

    vendor: Vendor | None = None
    family: int | None = None
    model: int | None = None
    mcg_cap: int | None = None


@dataclass(frozen=True, slots=True)
class MachineCheck:
    """What *status* says at *origin*. *colour* and *count* are None where the processor does not have them; a count is a lower bound.

    *unit_name*: the unit as somebody calls it, where MCA_IPID is not told.
    """

    status: int
    origin: Origin
    bank: int
    ipid: int
    mcg_status: int = 0
    unit_name: str = ""

    @property
    def register(self) -> Register:
        """The row that reads the status word."""
        return status_of(self.origin.vendor or "intel", self.origin.mcg_cap)

    @property
    def code(self) -> ErrorCode:
        """The MCA error code."""
        return error_code(self.status & 0xFFFF)

    @property
    def unit(self) -> BankType | None:
        """The unit of a scalable bank."""
        return bank_type(self.ipid) if self.ipid else unit_titled(self.unit_name)

    @property
    def disposition(self) -> Disposition:
        """How bad it is, and what the processor expects of software."""
        if self.status & UC:
            return self._uncorrected()
        return "deferred" if self._amd("deferred") else "corrected"

    def _uncorrected(self) -> Disposition:
        if self.status & PCC:
            return "fatal"
        if self.origin.vendor == "amd":
            return "deferred" if self._amd("deferred") else "uncorrected"
        signaled, required = (self._intel(key) for key in ("s", "ar"))
        if signaled is None or required is None:
            return "uncorrected"
        if signaled and required:
            return "fatal" if self.status & OVER else "srar"  # what was overwritten may have needed action as well (SDM 15.6.3.1)
        return "srao" if signaled else "ucna"

    @property
    def severity(self) -> Severity:
        """As ereports say it."""
        found = self.disposition
        return "correctable" if found == "corrected" else "fatal" if found == "fatal" else "nonfatal"

    @property
    def colour(self) -> int | None:
        """Threshold-based error status: 0 no tracking, 1 green, 2 yellow."""
        return None if self.status & UC else self._intel("threshold_based_error_status")

    @property
    def count(self) -> int | None:
        """Corrected errors that this record stands for, at least; 0 means one, or unknown."""
        return self._intel("corrected_error_count")

    @property
    def overflow(self) -> bool:
        """True where a further error came while this one stood: at least two, never a count."""
        return bool(self.status & OVER)

    @property
    def flags(self) -> tuple[str, ...]:
        """What AMD says of it besides: `deferred`, `poison`, `scrub`, `task-context-corrupt`."""
        keys = {"deferred": "deferred", "poison": "poison", "scrub": "scrub", "tcc": "task-context-corrupt"}
        return tuple(text for key, text in keys.items() if self._amd(key))

    @property
    def has_syndrome(self) -> bool:
        """True where MCA_SYND belongs to this error."""
        return bool(self._amd("synd_v"))

    @property
    def class_(self) -> str:
        """The ereport's class. Exactly one for any word."""
        code, uncorrected = self.code, self.disposition != "corrected"
        vendor = self.origin.vendor
        if vendor == "amd" and self._is_dram():
            return f"{_PREFIX}.amd.nb.mem_{'ue' if uncorrected else 'ce'}"
        if vendor == "intel" and code.row.kind in ("memory", "bus") and (self.origin.family, self.origin.model) in _NEHALEM_EP:
            quickpath = self._quickpath(uncorrected=uncorrected)
            if quickpath:
                return f"{_PREFIX}.intel.quickpath.{quickpath}"
        leaf = self._unit_leaf()
        if leaf:
            return f"{_PREFIX}.amd.{leaf}{'_uc' if uncorrected and leaf == 'bus_interconnect' else ''}"
        return f"{_PREFIX}.{vendor or 'generic-x86'}.{code.leaf_of(uncorrected=uncorrected)}"

    @property
    def title(self) -> str:
        """The error in a few words."""
        unit = self.unit
        if self.origin.vendor == "amd" and self._is_dram():
            return "DRAM ECC Error"
        return f"{unit.title} Error" if unit is not None and self._unit_leaf() else self.code.row.title

    def reporter(self, misc: int | None) -> Bdf | None:
        """The PCI Express Function that an I/O error was reported by, as a rule a Root Port; None where *misc* does not say."""
        if misc is None or self.origin.vendor == "amd" or self.code.row.kind != "io" or not self.status & MISCV:
            return None
        return Bdf.from_requester_id(MISC_IO.get("segment_number", misc), MISC_IO.get("requester_id", misc))

    def _unit_leaf(self) -> str:
        unit = self.unit if self.origin.vendor == "amd" else None
        return unit.leaf if unit is not None and self.code.row.kind in _MODEL_SPECIFIC else ""

    def _quickpath(self, *, uncorrected: bool) -> str:
        if self.code.row.kind == "bus":
            return "interconnect" if self.code.row.value == 0x0800 else ""
        specific = self.status >> 16 & 0xFFFF
        named = next((leaf for bits, leaf in _QUICKPATH if specific & bits), "")
        return named or ("mem_ue" if uncorrected else "mem_ce")

    def _is_dram(self) -> bool:
        extended = STATUS_AMD.get("error_code_ext", self.status)
        unit = self.unit
        if unit is not None:
            return unit.memory and extended == DRAM_ECC
        ecc = self._amd("cecc") or self._amd("uecc")
        return not self.ipid and self.bank == _NORTHBRIDGE and bool(ecc) and self.code.row.kind == "bus"

    def _intel(self, key: str) -> int | None:
        if self.origin.vendor == "amd":
            return None
        cap = self.origin.mcg_cap
        if self.origin.vendor is None and cap is None and key not in ("s", "ar"):
            return None
        row = status_of("intel", cap)
        return row.get(key, self.status) if any(field.key == key for field in row.fields) else None

    def _amd(self, key: str) -> int:
        return STATUS_AMD.get(key, self.status) if self.origin.vendor == "amd" else 0


def physical_address(
    status: int, addr: int, misc: int, origin: Origin, *, scalable: bool = False, bank: int | None = None
) -> tuple[int, int] | None:
    """The physical address that an error is at, and its least significant valid bit; None where ADDR is not valid or no such address.

    Below that bit, and above the processor's physical width, nothing is meant (SDM 15.3.2.3 and 15.3.2.4). *bank* is asked of AMD only.
    """
    if not status & ADDRV:
        return None
    if origin.vendor == "amd":
        scalable = scalable or (origin.family or 0) >= _SCALABLE_FAMILY
        lsb = STATUS_AMD.get("address_lsb", status) if scalable else 0
        return (addr >> lsb << lsb, lsb) if _is_amd_physical(status, None if scalable else bank) else None
    if origin.mcg_cap is not None and origin.mcg_cap & _SER_P and status & MISCV:
        lsb, mode = misc & 0x3F, misc >> 6 & 7
        return (addr >> lsb << lsb, lsb) if mode in (2, 3) else None
    return (addr, 0)


def _is_amd_physical(status: int, old_bank: int | None) -> bool:
    # AMD's banks do not say what their address is. Linux (mce/amd.c, amd_mce_usable_address) trusts two kinds: the northbridge's DRAM
    # errors before scalable MCA, and poison that a core consumed. A scalable memory controller's is an offset within its channel.
    if old_bank == _NORTHBRIDGE:
        return bool(STATUS_AMD.get("cecc", status) or STATUS_AMD.get("uecc", status))
    return bool(STATUS_AMD.get("poison", status))
