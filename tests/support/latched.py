"""Which ereports a Function's bytes must give: the specification's bits and illumos's names, read by bytereader; nothing of pcifma."""

from __future__ import annotations

from collections.abc import Iterator

from support.bytereader import dev_type, number, place

PCI = {15: "dpe", 14: "sserr", 13: "ma", 12: "rta", 11: "sta", 8: "mdpe"}
SECONDARY = {15: "sec-dpe", 14: "sec-rserr", 13: "sec-ma", 12: "sec-rta", 11: "sec-sta", 8: "sec-mdpe"}
UNCORRECTABLE = {
    0: "pl.te", 4: "dl.dllp", 5: "dl.sd", 12: "tl.ptlp", 13: "tl.fcp", 14: "tl.cto", 15: "tl.ca", 16: "tl.uc", 17: "tl.rof", 18: "tl.mtlp",
    19: "tl.ecrc", 20: "tl.ur", 21: "tl.acsv", 22: "int.ue", 23: "tl.mcb", 24: "tl.aob", 25: "tl.tpb", 26: "tl.peb", 27: "tl.dmwb",
    28: "ide.chk", 29: "ide.mis", 30: "tl.pcrc", 31: "tl.xlb",
}  # fmt: skip
CORRECTABLE = {0: "pl.re", 6: "dl.btlp", 7: "dl.bdllp", 8: "dl.rnr", 12: "dl.rto", 13: "a-nonfatal", 14: "int.ce", 15: "tl.hlo"}
ROOT = {0: "rc.ce-msg", 1: "rc.mce-msg", 2: "rc.ue-msg", 3: "rc.mue-msg", 4: "rc.ffe-msg", 5: "rc.nfe-msg", 6: "rc.fe-msg"}
BRIDGE = {
    0: "sec-ta-sc", 1: "sec-ma-sc", 2: "sec-rta", 3: "sec-rma", 5: "usc", 6: "uscmd", 7: "sec-ude", 8: "sec-uat", 9: "sec-uadr",
    10: "sec-tex",
    11: "sec-perr", 12: "sec-serr", 13: "sec-interr",
}  # fmt: skip
DEVICE = {0: "correctable", 1: "nonfatal", 2: "fatal", 3: "tl.ur", 6: "epr"}
ROOT_TYPES, PCIE_TO_PCI = (0x4, 0xA), 0x7
DISCARD_TIMER = 10


def named(word: int, names: dict[int, str], prefix: str, width: int, quiet: int = 0) -> Iterator[str]:
    """The class of each bit that is set in *word*; one without a name is unknown, unless it is among *quiet*."""
    for bit in range(width):
        if word >> bit & 1 and bit in names:
            yield f"ereport.{prefix}{names[bit]}"
        elif word >> bit & 1 and not quiet >> bit & 1:
            yield f"ereport.{prefix.partition('.')[0]}.{prefix.split('.')[1]}.unknown"


def expected(data: bytes) -> Iterator[str]:
    """Every class that *data* must give, in no order."""
    if data[:64].count(0xFF) == 64 or (number(data, 0, 4) == 0xFFFFFFFF and number(data, 4, 4) == 0xFFFFFFFF):
        return
    yield from named(number(data, 0x06, 2) or 0, PCI, "io.pci.", 16, quiet=0x06F9)
    if data[0x0E] & 0x7F == 1:
        yield from named(number(data, 0x1E, 2) or 0, SECONDARY, "io.pci.", 16, quiet=0x06A0)
        if (number(data, 0x3E, 2) or 0) >> DISCARD_TIMER & 1:
            yield "ereport.io.pci.dto"
    yield from express(data)


def express(data: bytes) -> Iterator[str]:
    """Device Status that AER does not explain, and AER."""
    at, aer = place(data, 0x10, extended=False), place(data, 0x01, extended=True)
    if at is None:
        return
    status = number(data, at + 0x0A, 2) or 0
    uncorrectable = correctable = severity = 0
    if aer is not None:
        uncorrectable, severity = number(data, aer + 0x04, 4) or 0, number(data, aer + 0x0C, 4) or 0
        correctable = number(data, aer + 0x10, 4) or 0
    explained = (
        (correctable != 0) | (uncorrectable & ~severity != 0) << 1 | (uncorrectable & severity != 0) << 2 | (uncorrectable >> 20 & 1) << 3
    )
    yield from named(status & ~explained, DEVICE, "io.pciex.", 16, quiet=0x30)
    yield from named(uncorrectable, UNCORRECTABLE, "io.pciex.", 32)
    yield from named(correctable, CORRECTABLE, "io.pciex.", 32)
    if aer is not None and dev_type(data) in ROOT_TYPES:
        yield from named(number(data, aer + 0x30, 4) or 0, ROOT, "io.pciex.", 32, quiet=0xF8000180)
    if aer is not None and dev_type(data) == PCIE_TO_PCI:
        for name in named(number(data, aer + 0x2C, 4) or 0, BRIDGE, "io.pciex.bdg.", 32):
            yield name.replace("bdg.unknown", "unknown")
