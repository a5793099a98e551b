"""Scalable MCA's bank types: MCA_IPID names the unit, the bank's number does not (PPR, "MCA_IPID"; the pairs as AMD published them in
Linux's mce/amd.c).
"""

from __future__ import annotations

from dataclasses import dataclass

from pcifma.regs.mca import IPID


@dataclass(frozen=True, slots=True)
class BankType:
    """A unit that has banks. *memory*: its addresses are those of memory behind it, and DRAM ECC errors are its own.

    *leaf*: of a unit without caches, the class of errors whose code has a cache's or TLB's form, or none; such codes are model specific
    there, and accuse no core. Empty: the code means what it says.
    """

    hardware_id: int
    mca_type: int
    key: str
    title: str
    memory: bool = False
    leaf: str = ""


# HwId 0xB0: the core; 0x2E: the data fabric; 0x96: memory controllers.
BANK_TYPES = (
    BankType(0xB0, 0x00, "ls", "Load Store Unit"),
    BankType(0xB0, 0x10, "ls", "Load Store Unit"),
    BankType(0xB0, 0x01, "if", "Instruction Fetch Unit"),
    BankType(0xB0, 0x02, "l2", "L2 Cache"),
    BankType(0xB0, 0x03, "de", "Decode Unit"),
    BankType(0xB0, 0x05, "ex", "Execution Unit"),
    BankType(0xB0, 0x06, "fp", "Floating Point Unit"),
    BankType(0xB0, 0x07, "l3", "L3 Cache"),
    BankType(0x2E, 0x00, "cs", "Coherent Station", leaf="bus_interconnect"),
    BankType(0x2E, 0x01, "pie", "Power, Interrupts, Etc.", leaf="bus_interconnect"),
    BankType(0x2E, 0x02, "cs", "Coherent Station", leaf="bus_interconnect"),
    BankType(0x2E, 0x04, "ma-llc", "Memory Attached Last Level Cache"),
    BankType(0x96, 0x00, "umc", "Unified Memory Controller", memory=True, leaf="mc"),
    BankType(0x96, 0x01, "umc", "Unified Memory Controller (HBM)", memory=True, leaf="mc"),
    BankType(0x05, 0x00, "pb", "Parameter Block", leaf="unknown"),
    BankType(0xFF, 0x00, "psp", "Platform Security Processor", leaf="unknown"),
    BankType(0xFF, 0x01, "psp", "Platform Security Processor", leaf="unknown"),
    BankType(0x01, 0x00, "smu", "System Management Unit", leaf="unknown"),
    BankType(0x01, 0x01, "smu", "System Management Unit", leaf="unknown"),
    BankType(0x01, 0x02, "mp5", "Microprocessor 5", leaf="unknown"),
    BankType(0x01, 0x03, "mpdma", "DMA Microprocessor", leaf="unknown"),
    BankType(0x18, 0x00, "nbio", "Northbridge I/O Unit", leaf="io"),
    BankType(0x46, 0x00, "pcie", "PCI Express Root Port", leaf="io"),
    BankType(0x46, 0x01, "pcie", "PCI Express Root Port", leaf="io"),
    BankType(0x50, 0x00, "xgmi-pcs", "xGMI Controller", leaf="bus_interconnect"),
    BankType(0x6C, 0x00, "nbif", "Northbridge Interface", leaf="io"),
    BankType(0x80, 0x00, "shub", "System Hub", leaf="io"),
    BankType(0xA8, 0x00, "sata", "SATA Controller", leaf="io"),
    BankType(0xAA, 0x00, "usb", "USB Controller", leaf="io"),
    BankType(0x170, 0x00, "usr-dp", "Ultra Short Reach Data Plane", leaf="bus_interconnect"),
    BankType(0x180, 0x00, "usr-cp", "Ultra Short Reach Control Plane", leaf="bus_interconnect"),
    BankType(0x241, 0x00, "gmi-pcs", "GMI Controller", leaf="bus_interconnect"),
    BankType(0x259, 0x00, "xgmi-phy", "xGMI PHY", leaf="bus_interconnect"),
    BankType(0x267, 0x00, "wafl-phy", "WAFL PHY", leaf="bus_interconnect"),
    BankType(0x269, 0x00, "gmi-phy", "GMI PHY", leaf="bus_interconnect"),
)
_BY_TITLE = {row.title.lower(): row for row in reversed(BANK_TYPES)}
_BY_ID = {(row.hardware_id, row.mca_type): row for row in BANK_TYPES}
DRAM_ECC = 0  # of a memory controller: Extended Error Code of a DRAM ECC error (PPR, "MCA_STATUS_UMC")


def bank_type(ipid: int) -> BankType | None:
    """The unit that MCA_IPID *ipid* names; None where no table has it, or the register is not there (all zero)."""
    return _BY_ID.get((IPID.get("hardware_id", ipid), IPID.get("mca_type", ipid)))


def unit_titled(title: str) -> BankType | None:
    """The unit of that *title*, as AMD, the kernel and rasdaemon write it; None where no table has it."""
    return _BY_TITLE.get(title.lower())
