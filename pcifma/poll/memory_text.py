"""Memory errors of a log that no processor's record stands for: EDAC's lines and firmware's memory sections.

A processor's record, EDAC's line and firmware's section may tell one error. The same page, as good or as bad, within a few reports, is
one error: the first that tells it has the ereport, and gets the module's label from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pcifma.access.kernlog.report import AnyReport, BankText, CperSection, GhesRecord, MemoryText
from pcifma.event.value import PayloadValue, Severity
from pcifma.plugin.watch import HOST, Evidence, Finding

_PAGE_SHIFT = 12
_VALID, _UNCORRECTED, _ADDRESS_VALID = 1 << 63, 1 << 61, 1 << 58
_AMD_ECC = 1 << 46 | 1 << 45
_NOT_CORRECTED = frozenset({"recoverable", "fatal"})


def with_sections(reports: Iterable[AnyReport]) -> Iterator[AnyReport]:
    """*reports*, each record of firmware followed by the memory errors in it."""
    for report in reports:
        yield report
        if isinstance(report, GhesRecord):
            yield from (_of_section(report, section) for section in report.sections if _is_memory(section))


def _is_memory(section: CperSection) -> bool:
    return (section.section_type or "").lower().startswith("memory error")


def _of_section(record: GhesRecord, section: CperSection) -> MemoryText:
    words = section.memory
    location = words.get("DIMM location", "")
    _, comma, kind = words.get("error_type", "").partition(", ")
    return MemoryText(
        line=record.line,
        boot_ns=record.boot_ns,
        wall_ns=record.wall_ns,
        teller="firmware",
        corrected=(section.severity or record.severity or "") not in _NOT_CORRECTED,
        what=kind if comma and kind != "unknown" else "memory error",
        label="" if location.startswith("not present") else location or words.get("fru_text", ""),
        address=_number(words.get("physical_address", "")),
    )


def _number(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


def same(error: MemoryText, earlier: AnyReport, *, last: bool) -> bool:
    """True where *earlier*, of another teller, is the same error. *last*: no report stands between the two."""
    if isinstance(earlier, MemoryText):
        return earlier.teller != error.teller and earlier.corrected is error.corrected and _at(earlier.address, error)
    return isinstance(earlier, BankText) and _tells_of(earlier, error, last=last)


def _tells_of(bank: BankText, error: MemoryText, *, last: bool) -> bool:
    status, address = (_number(bank.fields.get(name, "")) for name in ("status", "addr"))
    if status is None or not status & _VALID or bool(status & _UNCORRECTED) is error.corrected:
        return False
    if bank.fields.get("vendor") == "amd" and last and status & _AMD_ECC:
        return True  # EDAC's line is part of what the kernel prints of the bank, whose address may be of another kind
    return bool(status & _ADDRESS_VALID) and _at(address, error)


def _at(address: int | None, error: MemoryText) -> bool:
    return None not in (address, error.address) and (address or 0) >> _PAGE_SHIFT == (error.address or 0) >> _PAGE_SHIFT


def finding(error: MemoryText) -> Finding:
    """What *error* says."""
    payload: dict[str, PayloadValue] = {"name": error.what}
    if error.label:
        payload["label"] = error.label
    if error.address is not None:
        payload["address"] = f"{error.address:016x}"
    class_, bit = ("ereport.memory.ce", 0) if error.corrected else ("ereport.memory.ue", 1)
    severity: Severity = "correctable" if error.corrected else "nonfatal"
    return Finding(class_, Evidence(HOST, f"log:{error.teller}", bit), severity, payload, count=error.count)
