"""A bank's words as others than Linux and mcelog print them: FreeBSD, Xen and Linux 2.4, VMware ESXi, rasdaemon. Members are named as
the kernel's tracepoint mce_record names them.
"""

from __future__ import annotations

import re

_HEX = r"[0-9a-fA-F]{1,16}"
_0X = rf"(?:0x)?{_HEX}"

_FREEBSD = re.compile(rf"MCA: [Bb]ank (?P<bank>\d{{1,3}}), [Ss]tatus (?P<status>0x{_HEX})")
_FREEBSD_MORE = (
    re.compile(rf"MCA: Global Cap (?P<mcgcap>0x{_HEX}), ?Status (?P<mcgstatus>0x{_HEX})"),
    re.compile(rf'MCA: Vendor "(?P<vendor>\w{{1,20}})", ID (?P<cpuid>0x{_HEX}), APIC ID (?P<apicid>\d{{1,9}})'),
    re.compile(r"MCA: CPU (?P<cpu>\d{1,5}) "),
    re.compile(rf"MCA: Address (?P<addr>0x{_HEX})"),
    re.compile(rf"MCA: Misc (?P<misc>0x{_HEX})"),
)
_MAKERS = {"GenuineIntel": "intel", "AuthenticAMD": "amd", "HygonGenuine": "amd"}

# Xen, and Linux before 2.6: the CPU first, then its banks.
_LISTING = (
    re.compile(rf"CPU ?(?P<cpu>\d{{1,5}}): Machine Check Exception: {{1,16}}(?P<mcgstatus>{_HEX})$"),
    re.compile(r"MCE: The hardware reports .{1,60} occurred on CPU (?P<cpu>\d{1,5})"),
)
_LISTED = re.compile(
    rf"<?Bank (?P<bank>\d{{1,3}}): (?P<status>[0-9a-f]{{16}})(?:\[ {{0,16}}(?P<misc>{_HEX})\])?"
    rf"(?: at {{1,16}}(?P<addr>{_HEX}))?"
)

_ESXI = (
    re.compile(
        rf"(?:MCE|CMCI) on cpu(?P<cpu>\d{{1,5}}) bank(?P<bank>\d{{1,3}}): "
        rf"Status:(?P<status>{_0X}) Misc:(?P<misc>{_0X}) Addr:(?P<addr>{_0X})"
    ),
    re.compile(rf"MC:PCPU(?P<cpu>\d{{1,5}}) B:(?P<bank>\d{{1,3}}) S:(?P<status>{_0X}) M:(?P<misc>{_0X}) A:(?P<addr>{_0X})"),
    # How it was noticed, then global status, bank, status, address, misc; the processor is not said.
    re.compile(
        rf"MCA: \d{{1,5}}: \w{{2,5}} \w{{3,5}} G(?P<mcgstatus>{_HEX}) B(?P<bank>[0-9a-fA-F]{{1,3}}) S(?P<status>{_HEX})"
        rf"(?: A(?P<addr>{_HEX}))?(?: M(?P<misc>{_HEX}))?"
    ),
)
_RASDAEMON = re.compile(rf"\b(?P<name>bank|status|addr|misc|mcgcap|mcgstatus|cpu|cpuid|apicid|socketid|ipid|synd)= ?(?P<value>{_0X})\b")
_RAS_CPU = re.compile(r", CPU (\d{1,5}),")
_RAS_TYPE = re.compile(r"cpu_type= ?([\w /.,()-]{2,60}?), cpu=")
# An AMD bank by its unit; the number beside it is decimal, elsewhere hexadecimal.
_RAS_UNIT = re.compile(r"(?:, bank |[+-]\d{4} )(?P<unit>[\w ,.()-]{2,60}) \(bank=(?P<bank>\d{1,3})\)")
_COUNTED = frozenset({"cpu", "bank", "socketid"})


def freebsd(text: str) -> dict[str, str]:
    """Members of the first line of FreeBSD's record; empty where *text* is none."""
    match = _FREEBSD.search(text)
    return {"bank": match["bank"], "status": match["status"]} if match else {}


def freebsd_more(text: str) -> dict[str, str]:
    """Members that a further line of FreeBSD's record adds."""
    match = next((match for pattern in _FREEBSD_MORE if (match := pattern.search(text))), None)
    if match is None:
        return {}
    found = match.groupdict()
    return found | {"vendor": _MAKERS.get(found["vendor"], found["vendor"])} if "vendor" in found else found


class Listed:
    """Banks that are listed below the CPU that they are of."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def bank(self, text: str) -> dict[str, str]:
        """Members of the bank that *text* has; empty where it has none, or nobody said whose it is."""
        if match := next((match for pattern in _LISTING if (match := pattern.search(text))), None):
            self._of = _hexadecimal(match.groupdict())
        match = _LISTED.match(text) if self._of else None
        return self._of | _hexadecimal(match.groupdict()) if match else {}


def whole(text: str) -> dict[str, str]:
    """Members of a record that is one line: of ESXi, or of rasdaemon; empty where *text* is none."""
    if match := next((match for pattern in _ESXI if (match := pattern.search(text))), None):
        found = match.groupdict()
        if "cpu" not in found and found["bank"]:
            found["bank"] = str(int(found["bank"], 16))
        return _hexadecimal(found)
    return _rasdaemon(text) if "status=" in text and "bank=" in text else {}


def _rasdaemon(text: str) -> dict[str, str]:
    told = {match["name"]: match["value"] for match in _RASDAEMON.finditer(text)}
    if not told.keys() >= {"bank", "status"}:
        return {}
    if match := _RAS_CPU.search(text):
        told.setdefault("cpu", match[1])
    found = {name: _number(name, value) for name, value in told.items()}
    if match := _RAS_UNIT.search(text):
        found |= match.groupdict()
    if (match := _RAS_TYPE.search(text)) and "unknown" not in match[1].lower():
        found["vendor"] = "amd" if "AMD" in match[1] else "intel"
    return with_vendor(found)


def _number(name: str, value: str) -> str:
    # rasdaemon prints all in hexadecimal, and these without 0x in decimal.
    number = int(value, 10 if name in ("cpu", "socketid") and value.isdecimal() else 16)
    return str(number) if name in _COUNTED else f"{number:#x}"


def _hexadecimal(words: dict[str, str | None]) -> dict[str, str]:
    told = ((name, word) for name, word in words.items() if word)
    return {name: word if name in _COUNTED else f"0x{int(word, 16):x}" for name, word in told}


# Families that one maker alone has used (CPUID leaf 1, EAX). Of family 6 AMD's were the Athlons, whose models had one digit.
_AMD_FAMILIES = frozenset({0x10, 0x11, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A})


def with_vendor(fields: dict[str, str]) -> dict[str, str]:
    """*fields* with the maker that the processor's signature proves, where the record does not say it."""
    if "vendor" in fields or "cpuvendor" in fields or "cpuid" not in fields:
        return fields
    signature = int(fields["cpuid"], 16)
    family, model = signature >> 8 & 0xF, signature >> 4 & 0xF | signature >> 12 & 0xF0
    if family == 0xF and family + (signature >> 20 & 0xFF) in _AMD_FAMILIES:
        return fields | {"vendor": "amd"}
    return fields | {"vendor": "intel"} if family == 6 and model > 0xF else fields
