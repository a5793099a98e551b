"""Register words as people write them on a command line: `ECAP_AER+4.l 0x40000`, `UESta=40000`, four words of a Header Log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from pcifma.errors import UsageError
from pcifma.regs.catalogue import BY_NAME, register_at, resolve
from pcifma.regs.exp import DevType
from pcifma.regs.table import Location, Register
from pcifma.regs.tlp import decode_header
from pcifma.regs.word import decode_word

# What lspci, Linux and its headers call registers, in lower case, beside setpci's names and the tables' keys.
SHORT_NAMES = {
    "secstatus": "1e.w",
    "secsta": "1e.w",
    "secondary_status": "1e.w",
    "bridgectl": "3e.w",
    "devcap": "CAP_EXP+4.l",
    "devctl": "CAP_EXP+8.w",
    "devsta": "CAP_EXP+a.w",
    "lnkcap": "CAP_EXP+c.l",
    "lnkctl": "CAP_EXP+10.w",
    "lnksta": "CAP_EXP+12.w",
    "sltcap": "CAP_EXP+14.l",
    "sltctl": "CAP_EXP+18.w",
    "sltsta": "CAP_EXP+1a.w",
    "rootctl": "CAP_EXP+1c.w",
    "rtctl": "CAP_EXP+1c.w",
    "rtsta": "CAP_EXP+20.l",
    "lnksta2": "CAP_EXP+32.w",
    "uesta": "ECAP_AER+4.l",
    "uemsk": "ECAP_AER+8.l",
    "uesvrt": "ECAP_AER+c.l",
    "cesta": "ECAP_AER+10.l",
    "cemsk": "ECAP_AER+14.l",
    "aercap": "ECAP_AER+18.l",
    "headerlog": "ECAP_AER+1c.l",
    "rootcmd": "ECAP_AER+2c.l",
    "rootsta": "ECAP_AER+30.l",
    "errorsrc": "ECAP_AER+34.l",
    "dpccap": "ECAP_DPC+4.w",
    "dpcctl": "ECAP_DPC+6.w",
    "dpcsta": "ECAP_DPC+8.w",
    "dpcsrc": "ECAP_DPC+a.w",
    "laneerrstat": "ECAP_SECPCI+8.l",
    # What the kernel prints of firmware's records.
    "aer_uncor_status": "ECAP_AER+4.l",
    "aer_uncor_mask": "ECAP_AER+8.l",
    "aer_uncor_severity": "ECAP_AER+c.l",
    "aer_cor_status": "ECAP_AER+10.l",
    "aer_cor_mask": "ECAP_AER+14.l",
    "cap_control": "ECAP_AER+18.l",
    "tlp_header": "ECAP_AER+1c.l",
    "tlpheader": "ECAP_AER+1c.l",
    "rooterrsta": "ECAP_AER+30.l",
    "pci_status": "6.w",
    "pci_sec_status": "1e.w",
    "pci_exp_devsta": "CAP_EXP+a.w",
    "pci_exp_lnksta": "CAP_EXP+12.w",
    "pci_exp_sltsta": "CAP_EXP+1a.w",
    "pci_err_uncor_status": "ECAP_AER+4.l",
    "pci_err_uncor_mask": "ECAP_AER+8.l",
    "pci_err_uncor_sever": "ECAP_AER+c.l",
    "pci_err_cor_status": "ECAP_AER+10.l",
    "pci_err_cor_mask": "ECAP_AER+14.l",
    "pci_err_cap": "ECAP_AER+18.l",
    "pci_err_header_log": "ECAP_AER+1c.l",
    "pci_err_root_status": "ECAP_AER+30.l",
    "pci_err_root_err_src": "ECAP_AER+34.l",
    "pci_exp_dpc_status": "ECAP_DPC+8.w",
    "pci_exp_dpc_rp_pio_status": "ECAP_DPC+c.l",
}

_EITHER = {
    "aer_status": "UESta or CESta, as the severity of the report says",
    "aer_mask": "UEMsk or CEMsk, as the severity of the report says",
}
_HEXADECIMAL = re.compile(r"\+0[xX]")
_LARGEST = 32
_VALUE = re.compile(r"(?:0[xX])?[0-9a-fA-F_]{1,20}")
_QUOTED = re.compile(r"(?P<name>[^:=]{1,60}):(?P<values>(?:\s{1,4}(?:0[xX])?[0-9a-fA-F]{1,8}){1,14})\s*")  # `TLP Header: 40000001 …`
_WORD_DIGITS = 8


def words(tokens: Iterable[str]) -> dict[Location, int]:
    """The registers and values of *tokens*; values after the first go to the registers that follow it.

    Values are hexadecimal, as setpci prints them, with or without 0x. UsageError says what is off and how it is written.
    """
    found: dict[Location, int] = {}
    named: Location | None = None  # still without its value
    at: Location | None = None
    for token in _split(tokens):
        if at is not None and _VALUE.fullmatch(token):
            found[at] = _value(token, at)
            at, named = Location(at.capability, at.offset + at.width, at.width), None
        elif named is not None:
            flags = "; flags as lspci prints them: pcifma decode --log FILE" if token[-1:] in ("+", "-") else ""
            raise UsageError(f"{token!r}: after {named} comes its value in hexadecimal, as 0x00040000{flags}")
        else:
            named = at = _register(token)
    if named is not None:
        raise UsageError(f"{named}: its value is missing: pcifma decode {named} VALUE")
    return found


def _split(tokens: Iterable[str]) -> Iterator[str]:
    for token in tokens:
        if quoted := _QUOTED.fullmatch(token):
            yield quoted["name"]
            yield from quoted["values"].split()
            continue
        name, equals, value = token.partition("=")
        yield name
        if equals:
            # setpci takes several values after a comma; a mask after a colon means writing, and nothing is written here.
            yield from value.split(",")


def _register(token: str) -> Location:
    # As copied from a log or the specification: a colon behind it, spaces in it, 0x before the offset.
    name = _HEXADECIMAL.sub("+", token.rstrip(": "))
    plain = "_".join(name.lower().split())
    if plain in _EITHER:
        raise UsageError(f"{token!r}: {_EITHER[plain]}")
    asked = SHORT_NAMES.get(plain) or (plain if " " in name else name)
    try:
        return resolve(asked)
    except ValueError as err:
        raise UsageError(f"{str(err).replace(asked, token)}{_instead(token)}") from None


def _instead(token: str) -> str:
    # What somebody had in mind who gave a line of a log, or a value without its register.
    if " " in token.strip() or "/" in token:
        return "; a line of a log: pcifma decode --log FILE"
    if not _VALUE.fullmatch(token):
        return ""
    digits = token.lower().removeprefix("0x")
    return f"; before a value stands its register: pcifma decode {'mci_status' if len(digits) > _WORD_DIGITS else 'UESta'} {token}"


def _value(token: str, at: Location) -> int:
    try:
        value = int(token.replace("_", ""), 16)
    except ValueError:
        raise UsageError(f"{token!r} is no hexadecimal number") from None
    if value >= 1 << 8 * at.width:
        row = register_at(at)
        name = f"{at} ({row[1].title})" if row else str(at)
        bank = "; of a processor's bank it is mci_status" if value >> _LARGEST else ""
        raise UsageError(f"{token} does not fit into {name}, which has {8 * at.width} bits{bank}")
    return value


def layout(found: Iterable[Location], port_type: str | None) -> int | None:
    """The Device/Port Type that *port_type* names, or that the registers themselves need (Root Error Status); None if any does."""
    if port_type is not None:
        return _type_named(port_type)
    for location in found:
        row = register_at(location)
        if row is not None and row[1].types and DevType.ENDPOINT not in row[1].types:
            return min(row[1].types)
    return None


def _type_named(text: str) -> int:
    known = {kind.name.lower().replace("_", "-"): int(kind) for kind in DevType}
    name = text.lower().replace("_", "-").replace(" ", "-")
    if name not in known:
        raise UsageError(f"--type {text!r}: there are {', '.join(known)}")
    return known[name]


def row_at(location: Location, kind: int | None) -> Register | None:
    """The table row at *location* of a Function of type *kind*."""
    capability = BY_NAME.get(location.capability)
    rows = [r for r in (capability.registers if capability else ()) if (r.offset, r.width) == (location.offset, location.width)]
    return next((r for r in rows if not r.types or kind is None or kind in r.types), None)


# First dwords of header logs: AER's, the secondary side's of a PCIe-to-PCI bridge, RP PIO's.
_LOGS = frozenset({Location("ECAP_AER", 0x1C, 4), Location("ECAP_AER", 0x3C, 4), Location("ECAP_DPC", 0x20, 4)})
_LONGEST = 14


def header_log(location: Location, found: Mapping[Location, int]) -> list[Location]:
    """The places of the header log that starts at *location*, as far as it is given; empty if none starts there."""
    if location not in _LOGS:
        return []
    places = [Location(location.capability, location.offset + 4 * i, 4) for i in range(_LONGEST)]
    return places[: next((i for i, place in enumerate(places) if place not in found), _LONGEST)]


def fields(found: Mapping[Location, int], kind: int | None, *, flit: bool) -> Iterator[str]:
    """What *found* holds, a line each: `ECAP_AER+10.l Bad TLP`; a header log is one line."""
    told: set[Location] = set()
    for location, word in found.items():
        log = header_log(location, found)
        row = None if log or location in told else row_at(location, kind)
        told.update(log)
        if log:
            yield f"{location} {decode_header([found[place] for place in log], flit=flit).text}"
        elif row is not None:
            yield from (f"{location} {part.text}" for part in decode_word(row, word))
