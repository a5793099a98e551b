"""Every table, found by (kind, id), by setpci's name or by key; and how people write a register: `resolve`."""

from __future__ import annotations

import re

from pcifma.regs.acs import ACS
from pcifma.regs.aer import AER
from pcifma.regs.doe import DOE
from pcifma.regs.dpc import DPC
from pcifma.regs.dsn import DSN
from pcifma.regs.dvsec import DVSEC
from pcifma.regs.exp import EXP
from pcifma.regs.flit import FLIT
from pcifma.regs.header import HEADER
from pcifma.regs.ht import HT
from pcifma.regs.ide import IDE
from pcifma.regs.lane import PL16, PL32, PL64, SECPCI
from pcifma.regs.msi import MSI
from pcifma.regs.msix import MSIX
from pcifma.regs.name import HEADER as HEADER_NAMES
from pcifma.regs.name import canonical
from pcifma.regs.npem import NPEM
from pcifma.regs.pcix import PCIX
from pcifma.regs.pm import PM
from pcifma.regs.pri import PRI
from pcifma.regs.rcec import RCEC
from pcifma.regs.table import WIDTHS, Capability, CapabilityKind, Location, Register

CAPABILITIES: tuple[Capability, ...] = (
    HEADER,
    PM,
    MSI,
    PCIX,
    HT,
    EXP,
    MSIX,
    AER,
    DSN,
    RCEC,
    ACS,
    PRI,
    SECPCI,
    DPC,
    DVSEC,
    PL16,
    NPEM,
    PL32,
    DOE,
    IDE,
    PL64,
    FLIT,
)

BY_ID: dict[tuple[CapabilityKind, int], Capability] = {(c.kind, c.id): c for c in CAPABILITIES}
BY_NAME: dict[str, Capability] = {c.name: c for c in CAPABILITIES}
BY_KEY: dict[str, Capability] = {c.key: c for c in CAPABILITIES}

# Words that people use for setpci's names.
_ALIASES = {"SECONDARY_STATUS": "SEC_STATUS", "REVISION_ID": "REVISION"}
_NAMES = {**HEADER_NAMES, **{alias: HEADER_NAMES[name] for alias, name in _ALIASES.items()}}

# As text: most commands never read a name, and compiling it takes longer than all of the tables' rows of one capability.
_FORM = (
    r"(?P<base>[0-9a-f]{1,3}|[a-z]\w*)(?:\+(?P<offset>[0-9a-f]{1,3}))?(?:\.(?P<width>[bwl]))?(?:@(?P<number>[0-9a-f]{1,3}))?"
)
_HOW = "write it as setpci does (ECAP_AER+4.l, STATUS.w, 98.l) or by key (aer.correctable_error_status)"


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


def lookup(text: str) -> tuple[Location, Register | None]:
    """What *text* names (see `resolve`), with its row; None where no table has one. A key finds its very row, also where another
    layout has the same bytes; of a key that several forms share, the first. A key that one table alone has needs no table in front.
    """
    table, _, key = text.strip().lower().partition(".")
    if key and table in BY_KEY:
        return _by_key(BY_KEY[table], key)
    owners = [c for c in CAPABILITIES if table in c.by_key] if not key else []
    if len(owners) == 1:
        return _by_key(owners[0], table)
    location = _by_name(text.strip())
    row = register_at(location)
    return location, row[1] if row else None


def resolve(text: str) -> Location:
    """The register that *text* names: as setpci writes it (`STATUS`, `CAP_EXP+a.w`, `ECAP1+4.l`, `98.l`) or as the tables do
    (`aer.correctable_error_status`). Offsets are hexadecimal; a width that is left out comes from the table.

    ValueError with the remedy where nothing of the kind is known.
    """
    return lookup(text)[0]


def _by_key(capability: Capability, key: str) -> tuple[Location, Register]:
    if key in capability.by_key:
        return capability.location(capability[key]), capability[key]
    text = f"{capability.key}.{key}"
    raise ValueError(f"{text!r}: {capability.title} has no register {key!r}{_nearest(key, list(capability.by_key))}")


def _by_name(text: str) -> Location:
    match = re.fullmatch(_FORM, text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"{text!r} is no register: {_HOW}")
    width, offset = WIDTHS.get((match["width"] or "").lower(), 0), int(match["offset"] or "0", 16)
    name = canonical(match["base"])
    if name is not None:
        return _checked(text, Location(name, offset, width, int(match["number"] or "0", 16)))
    start, known = _in_header(text, match["base"])
    return _checked(text, Location("", start + offset, width or (known if not offset else 0)))


# Where a header register starts and how wide setpci takes it; the width of a bare number is 0.
def _in_header(text: str, base: str) -> tuple[int, int]:
    named = _NAMES.get(base.upper())
    if named is not None:
        return named
    if re.fullmatch(r"[0-9a-fA-F]{1,3}", base):
        return int(base, 16), 0
    names = [*_NAMES, *(c.name for c in CAPABILITIES if c.name)]
    raise ValueError(f"{text!r}: no register or capability is called {base!r}{_nearest(base.upper(), names)}; {_HOW}")


def _nearest(word: str, words: list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - for mistakes

    near = get_close_matches(word, words, 1, 0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def _checked(text: str, place: Location) -> Location:
    capability, width = BY_NAME.get(place.capability), place.width
    if not width and capability is not None:
        width = next((r.width for r in capability.registers if r.offset == place.offset), 0)
    if not width:
        raise ValueError(f"{text!r}: no table names a register there, so say how wide it is: {text}.b, {text}.w or {text}.l")
    limit = 0x100 if place.capability.startswith("CAP") else 0x1000
    if place.offset % width or place.offset + width > limit:
        raise ValueError(f"{text!r}: a register of {width} bytes starts at a multiple of {width} and ends at {limit:x}h at the latest")
    return place._replace(width=width)
