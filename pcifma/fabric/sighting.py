"""What one look at one Function's registers tells about the fabric, before buses connect it to others.

Only the header, the capability chains and registers that a table declares are read, and nothing at all of what sleeps.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from pcifma.access.seam import ConfigSpace, Host
from pcifma.errors import ReadError, ShortReadError
from pcifma.fabric import power
from pcifma.fabric.function import FoundCapability, Function
from pcifma.fabric.window import bars, windows
from pcifma.regs.bdf import Bdf
from pcifma.regs.chain import Found, walk
from pcifma.regs.form import FORMS, form_of

HEADER_SIZE = 64
ALL_ONES = 0xFFFF
BRIDGE, CARDBUS = 1, 2
_SLOT_IMPLEMENTED = 0x100
_VF_ENABLE = 1
_STATUS, _HAS_CAPABILITIES = 0x06, 0x10
_HEADER_TYPE, _SECONDARY = 0x0E, 0x19
# Vendor ID, Device ID, Command, Status, Revision ID, Programming Interface, Class Code (PCIe Base Spec 7.5.1.1).
_IDS = Struct("<HHHHBBH")
_SUBSYSTEM, _SUBSYSTEM_AT = Struct("<HH"), 0x2C
_RETRY_STATUS = b"\x01\x00\xff\xff"  # a Function that is not ready after reset (PCIe Base Spec 2.3.2)


class VirtualRange(NamedTuple):
    """The VFs that a PF has enabled (SR-IOV capability): *number* Functions from Requester ID + *offset*, *stride* apart."""

    number: int
    offset: int
    stride: int
    device: int


class Collector(NamedTuple):
    """The RCiEPs that an RCEC speaks for: *devices* (bit n: device n of its own bus), *buses* (first, last) or None."""

    devices: int
    buses: tuple[int, int] | None


class Sighting(NamedTuple):
    """One Function as its own registers and sysfs show it; *slot_number* is the Physical Slot Number that a port leads to."""

    function: Function
    virtual: VirtualRange | None = None
    collector: Collector | None = None
    slot_number: int | None = None


def sight(bdf: Bdf, config: ConfigSpace | None, host: Host, reason: str = "") -> Sighting:
    """Look at the Function at *bdf*; what sleeps or cannot be read (*reason*) is taken from sysfs and keeps a note."""
    asleep = power.state(host, bdf)
    if asleep is not None:
        return _unread(bdf, host, "asleep", f"asleep ({asleep}), not woken")
    if config is None:
        return _unread(bdf, host, reason or "gone", reason or "not readable")
    try:
        return _read(bdf, config, host)
    except ReadError as err:
        return _unread(bdf, host, err.tag, str(err))


def _unread(bdf: Bdf, host: Host, reason: str, note: str) -> Sighting:
    # sysfs keeps what enumeration saw; a capture has none of it, and ids then read as all ones, which no device has.
    def known(name: str, absent: int) -> int:
        value = power.number(host, bdf, name)
        return absent if value is None else value

    secondary, subordinate = known("secondary_bus_number", 0), known("subordinate_bus_number", 0)
    class_revision = known("class", 0xFFFFFF)
    function = Function(
        bdf=bdf, vendor=known("vendor", ALL_ONES), device=known("device", ALL_ONES),
        subsystem_vendor=known("subsystem_vendor", 0), subsystem_device=known("subsystem_device", 0),
        class_code=class_revision, revision=known("revision", 0), header_type=BRIDGE if secondary else 0, multifunction=False,
        dev_type=None, capabilities=(), size=0, bus_range=(secondary, subordinate) if secondary else None, unread=reason, note=note,
    )  # fmt: skip
    return Sighting(function._replace(**_place(bdf, host)._asdict()))


class _Place(NamedTuple):
    # What sysfs knows of a Function beside its registers.
    driver: str | None
    physfn: Bdf | None
    sysfs: str


def _place(bdf: Bdf, host: Host) -> _Place:
    base = power.directory(bdf)
    driver, physfn, path = host.link(f"{base}/driver"), host.link(f"{base}/physfn"), host.link(base)
    return _Place(
        driver=driver.rpartition("/")[2] if driver else None,
        physfn=_bdf(physfn.rpartition("/")[2]) if physfn else None,
        sysfs=path[path.index("/devices/") :] if path and "/devices/" in path else "",
    )


def _bdf(text: str) -> Bdf | None:
    try:
        return Bdf.parse(text)
    except ValueError:
        return None


def _read(bdf: Bdf, config: ConfigSpace, host: Host) -> Sighting:
    size = config.size
    header = config.read(0, min(size, HEADER_SIZE))
    if header.count(0xFF) == len(header):
        return _unread(bdf, host, "gone", "reads all ones")
    if len(header) < HEADER_SIZE:
        raise ShortReadError(f"only {len(header)} bytes: not even a whole header")
    if header[:4] == _RETRY_STATUS:
        return _unread(bdf, host, "busy", "not ready after reset")
    look = _Look(header, config, size)
    if size <= HEADER_SIZE and header[_STATUS] & _HAS_CAPABILITIES:
        return Sighting(look.function(bdf, _place(bdf, host), unread="short", note="64 bytes only"))
    look.follow()
    return Sighting(look.function(bdf, _place(bdf, host)), look.virtual(), look.collector(), look.slot_number())


# Functions of one kind have the same capabilities: one tuple for all of them, which is then told by its identity.
_SHAPES: dict[tuple[FoundCapability, ...], tuple[FoundCapability, ...]] = {}
_MOST_SHAPES = 1024


class _Look:
    # One Function's registers: the header, read once, and of the capabilities those that shape the fabric; None where the capability,
    # or the capture, ends before them.

    def __init__(self, header: bytes, config: ConfigSpace, size: int) -> None:
        self._header, self._config, self._size = header, config, size
        self._layout = header[_HEADER_TYPE] & 0x7F
        self._found: dict[str, FoundCapability] = {}
        self._capabilities: tuple[FoundCapability, ...] = ()
        self._note = ""

    def follow(self) -> None:
        """Walk the capability lists."""
        chain = walk(self._read, self._size)
        capabilities = tuple(map(self._form, chain.capabilities))
        self._capabilities = _SHAPES.setdefault(capabilities, capabilities) if len(_SHAPES) < _MOST_SHAPES else capabilities
        for capability in self._capabilities:
            self._found.setdefault(capability.name, capability)
        self._note = "; ".join(chain.complaints)

    def function(self, bdf: Bdf, place: _Place, *, unread: str = "", note: str = "") -> Function:
        """The Function, as far as it can be told without others."""
        vendor, device, _, _, revision, interface, class_code = _IDS.unpack_from(self._header)
        subsystem = self._subsystem()
        buses = (self._header[_SECONDARY], self._header[_SECONDARY + 1]) if self._layout in (BRIDGE, CARDBUS) else (0, 0)
        flags = self._flags()
        return Function(
            bdf=bdf, vendor=vendor, device=device, subsystem_vendor=subsystem[0], subsystem_device=subsystem[1],
            class_code=class_code << 8 | interface, revision=revision, header_type=self._layout,
            multifunction=bool(self._header[_HEADER_TYPE] & 0x80), dev_type=None if flags is None else flags >> 4 & 0xF,
            capabilities=self._capabilities, size=self._size, bus_range=buses if buses[0] else None, serial=self._serial(),
            driver=place.driver, physfn=place.physfn, sysfs=place.sysfs, note=note or self._note, unread=unread,
            bars=bars(self._header, self._layout), windows=windows(self._header, self._layout),
        )  # fmt: skip

    def _read(self, offset: int, length: int) -> bytes:
        end = offset + length
        return self._header[offset:end] if end <= HEADER_SIZE else self._config.read(offset, length)

    def _form(self, found: Found) -> FoundCapability:
        if found.name not in FORMS:
            return FoundCapability(*found[:3], found.version, found.offset)

        def word(offset: int, width: int) -> int:  # what the image does not have is no register there either
            start = found.offset + offset
            return int.from_bytes(self._config.read(start, width), "little") if start + width <= self._size else 0

        form = form_of(found.name, word)
        version = form.head & 0xF if found.name == "CAP_EXP" else found.version
        return FoundCapability(found.name, found.id, found.extended, version, found.offset, form)

    def _word(self, capability: str, offset: int, width: int) -> int | None:
        found = self._found.get(capability)
        if found is None or found.offset + offset + width > self._size:
            return None
        return int.from_bytes(self._config.read(found.offset + offset, width), "little")

    def _flags(self) -> int | None:
        express = self._found.get("CAP_EXP")
        return None if express is None or express.offset + 4 > self._size else express.form.head

    def _subsystem(self) -> tuple[int, int]:
        if self._layout == BRIDGE:
            both = self._word("CAP_SSVID", 4, 4) or 0
            return both & 0xFFFF, both >> 16
        if self._layout:
            return 0, 0
        vendor, device = _SUBSYSTEM.unpack_from(self._header, _SUBSYSTEM_AT)
        return vendor, device

    def _serial(self) -> str | None:
        serial = self._word("ECAP_DSN", 4, 8)  # two registers, the lower half first (PCIe Base Spec 7.9.3)
        return None if serial in (None, 0, (1 << 64) - 1) else f"{serial:016x}"

    def slot_number(self) -> int | None:
        flags = self._flags()
        if flags is None or not flags & _SLOT_IMPLEMENTED or self._layout != BRIDGE:
            return None
        word = self._word("CAP_EXP", 0x14, 4)  # bits 31:19 (7.5.3.9); 0 means soldered down
        return None if word is None else word >> 19

    def virtual(self) -> VirtualRange | None:
        control, number = self._word("ECAP_SRIOV", 0x08, 2), self._word("ECAP_SRIOV", 0x10, 2)  # 9.3.3
        offset, stride = self._word("ECAP_SRIOV", 0x14, 2), self._word("ECAP_SRIOV", 0x16, 2)
        device = self._word("ECAP_SRIOV", 0x1A, 2)
        if control is None or number is None or offset is None or stride is None or device is None:
            return None
        return VirtualRange(number, offset, stride, device) if control & _VF_ENABLE and number and offset else None

    def collector(self) -> Collector | None:
        found = self._found.get("ECAP_RCEC")
        devices = self._word("ECAP_RCEC", 4, 4)  # 7.9.10; the bus range came with version 2
        if found is None or devices is None:
            return None
        newer = any(c.name == found.name and c.version >= 2 for c in self._capabilities)
        buses = self._word("ECAP_RCEC", 8, 4) if newer else None
        return Collector(devices, None if buses is None else (buses >> 8 & 0xFF, buses >> 16 & 0xFF))
