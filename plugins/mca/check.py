"""A record's members, read: numbers in the notation of whoever wrote them, and whose processor it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pcifma.plugin import MachineCheck, Origin

# Linux's X86_VENDOR_*, which the tracepoint has in `cpuvendor`. Others make no machine checks that a table here reads.
_INTEL, _AMD, _HYGON = 0, 2, 9
_VENDORS = {"intel": "intel", "amd": "amd", "hygon": "amd", str(_INTEL): "intel", str(_AMD): "amd", str(_HYGON): "amd"}
_VALID = 1 << 63
_64_BITS = 1 << 64


@dataclass(frozen=True, slots=True)
class Told:
    """One error: *check* is what its words mean, *fields* all that was told. *times*: how many such errors, at least."""

    check: MachineCheck
    bank: int
    fields: Mapping[str, str]
    times: int

    def number(self, name: str) -> int | None:
        """The number of member *name*; None where it is not told, or no number."""
        return number(self.fields, name)


def told(fields: Mapping[str, str]) -> Told | None:
    """The error that *fields* tell of; None where there is none, since its status is not valid."""
    status, bank = number(fields, "status"), number(fields, "bank")
    if status is None or bank is None or not status & _VALID:
        return None
    ipid, mcg_status = (number(fields, name) or 0 for name in ("ipid", "mcgstatus"))
    check = MachineCheck(status, origin(fields), bank, ipid, mcg_status, fields.get("unit", ""))
    times = number(fields, "count") or check.count or 1
    return Told(check, bank, fields, max(1, times))


def origin(fields: Mapping[str, str]) -> Origin:
    """Whose processor it was, by what the record says of itself."""
    vendor = _VENDORS.get(fields.get("vendor", fields.get("cpuvendor", "")).lower())
    family, model = _family_model(number(fields, "cpuid") or 0)
    cap = number(fields, "mcgcap") or None
    if vendor == "intel":
        return Origin("intel", family, model, cap)
    return Origin("amd" if vendor == "amd" else None, family, model, cap)


def _family_model(signature: int) -> tuple[int | None, int | None]:
    # CPUID leaf 1, EAX (SDM 2A, CPUID): the extended parts count for families 6 and 15.
    if not signature:
        return None, None
    family, model = signature >> 8 & 0xF, signature >> 4 & 0xF
    if family in (0x6, 0xF):
        model |= signature >> 12 & 0xF0
    return family + (signature >> 20 & 0xFF if family == 0xF else 0), model


def number(fields: Mapping[str, str], name: str) -> int | None:
    """The member *name* as a number, decimal or with 0x; None where it is none."""
    try:
        found = int(fields[name], 0)
    except (KeyError, ValueError):
        return None
    return found if 0 <= found < _64_BITS else None
