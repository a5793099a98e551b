"""Every table, found by (kind, id), by setpci's name or by key; and how people write a register: `resolve`."""

from __future__ import annotations

import re
from difflib import get_close_matches

from pcifma.regs.aer import AER
from pcifma.regs.dsn import DSN
from pcifma.regs.exp import EXP
from pcifma.regs.header import HEADER
from pcifma.regs.msi import MSI
from pcifma.regs.msix import MSIX
from pcifma.regs.name import HEADER as HEADER_NAMES
from pcifma.regs.name import canonical
from pcifma.regs.pm import PM
from pcifma.regs.table import Capability, CapabilityKind, Location, Register

CAPABILITIES: tuple[Capability, ...] = (HEADER, PM, MSI, EXP, MSIX, AER, DSN)

BY_ID: dict[tuple[CapabilityKind, int], Capability] = {(c.kind, c.id): c for c in CAPABILITIES}
BY_NAME: dict[str, Capability] = {c.name: c for c in CAPABILITIES}
BY_KEY: dict[str, Capability] = {c.key: c for c in CAPABILITIES}

# Words that people use for setpci's names.
_ALIASES = {"SECONDARY_STATUS": "SEC_STATUS", "REVISION_ID": "REVISION"}
_NAMES = {**HEADER_NAMES, **{alias: HEADER_NAMES[name] for alias, name in _ALIASES.items()}}

_WIDTHS = {"": 0, "b": 1, "w": 2, "l": 4}
_FORM = re.compile(r"(?:(?P<cap>E?CAP_?\w+)\+)?(?P<place>[0-9a-f]{1,3}|[a-z]\w*)(?:\.(?P<width>[bwl]))?", re.IGNORECASE)


def register_at(
    location: Location, *, dev_type: int | None = None, layout: int | None = None, form: str = ""
) -> tuple[Capability, Register] | None:
    """The table row at *location*; None where no table names it.

    Where several rows share the bytes, Device/Port Type, header type and form tell which; what is left out may be any, and
    the first row of the table is taken.
    """
    capability = BY_NAME.get(location.capability)
    if capability is None:
        return None
    for register in capability.registers:
        if (register.offset, register.width) != (location.offset, location.width):
            continue
        if register.matches(dev_type, layout, form):
            return capability, register
    return None


def resolve(text: str) -> Location:
    """The register that *text* names: as setpci writes it (`STATUS`, `CAP_EXP+a.w`, `ECAP1+4.l`, `98.l`) or as the tables do
    (`aer.correctable_error_status`). Offsets are hexadecimal; a width that is left out comes from the table.

    ValueError with the remedy where nothing of the kind is known.
    """
    text = text.strip()
    if "." in text and text.lower().partition(".")[0] in BY_KEY:
        return _by_key(text.lower())
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no register: write it as setpci does (ECAP_AER+4.l, STATUS.w, 98.l) or by key (aer.correctable_error_status)"
        )
    width = _WIDTHS[(match["width"] or "").lower()]
    if match["cap"]:
        return _in_capability(text, match["cap"], match["place"], width)
    return _in_header(text, match["place"], width)


def _by_key(text: str) -> Location:
    table, _, key = text.partition(".")
    capability = BY_KEY[table]
    if key in capability.by_key:
        return capability.location(capability[key])
    near = get_close_matches(key, capability.by_key, 1, 0.0)
    raise ValueError(f"{text!r}: {capability.title} has no register {key!r}; the nearest is {table}.{near[0]}")


def _in_capability(text: str, name: str, place: str, width: int) -> Location:
    known = canonical(name)
    if known is None:
        raise ValueError(f"{text!r}: no capability is called {name!r}; `setpci --dumpregs` lists the names, CAP10+ and ECAP1+ go by number")
    if re.fullmatch(r"[0-9a-fA-F]{1,3}", place) is None:
        raise ValueError(f"{text!r}: after the + stands an offset in hexadecimal, as CAP_EXP+a.w")
    return _checked(text, known, int(place, 16), width)


def _in_header(text: str, place: str, width: int) -> Location:
    named = _NAMES.get(place.upper())
    if named is not None:
        return _checked(text, "", named[0], width or named[1])
    if re.fullmatch(r"[0-9a-fA-F]{1,3}", place):
        return _checked(text, "", int(place, 16), width)
    near = get_close_matches(place.upper(), _NAMES, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "`setpci --dumpregs` lists the names"
    raise ValueError(f"{text!r}: no header register is called {place!r}; {hint}")


def _checked(text: str, name: str, offset: int, width: int) -> Location:
    capability = BY_NAME.get(name)
    if not width:
        width = next((r.width for r in capability.registers if r.offset == offset), 0) if capability else 0
    if not width:
        raise ValueError(f"{text!r}: no table names a register there, so say how wide it is: {text}.b, {text}.w or {text}.l")
    limit = 0x100 if name.startswith("CAP") else 0x1000
    if offset % width or offset + width > limit:
        raise ValueError(f"{text!r}: a register of {width} bytes starts at a multiple of {width} and ends below {limit:x}h")
    return Location(name, offset, width)
