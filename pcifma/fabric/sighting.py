"""What one look at one Function's registers tells about the fabric, before buses connect it to others.

Only the header, the capability chains and registers that a table declares are read, and nothing at all of what sleeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def sight(addresses: Sequence[Bdf], configs: Mapping[Bdf, ConfigSpace], host: Host, unread: Mapping[Bdf, str]) -> list[Sighting]:
    """Look at the Functions at *addresses*; what sleeps or cannot be read (*unread*: why) is taken from sysfs and keeps a note.

    One thing is done for all of them, then the next: on a large machine that takes two thirds of the time, for the sake of caches.
    """
    states = [power.state(host, bdf) for bdf in addresses]
    places = [_place(bdf, host) for bdf in addresses]
    looks = [_look(configs.get(bdf), state, unread.get(bdf, "")) for bdf, state in zip(addresses, states, strict=True)]
    walked = [_walked(look) for look in looks]
    return [_sighting(bdf, host, place, look) for bdf, place, look in zip(addresses, places, walked, strict=True)]


class _Unread(NamedTuple):
    # Why a Function could not be looked at: the word for it, and for people.
    reason: str
    note: str


def _look(config: ConfigSpace | None, state: str | None, reason: str) -> _Look | _Unread:
    if state is not None:
        return _Unread("asleep", f"asleep ({state}), not woken")
    if config is None:
        return _Unread(reason or "gone", reason or "not readable")
    try:
        return _header(config)
    except ReadError as err:
        return _Unread(err.tag, str(err))


def _header(config: ConfigSpace) -> _Look | _Unread:
    size = config.size
    header = config.read(0, min(size, HEADER_SIZE))
    if header.count(0xFF) == len(header):
        return _Unread("gone", "reads all ones")
    if len(header) < HEADER_SIZE:
        raise ShortReadError(f"only {len(header)} bytes: not even a whole header")
    if header[:4] == _RETRY_STATUS:
        return _Unread("busy", "not ready after reset")
    return _Look(header, config, size)


def _walked(look: _Look | _Unread) -> _Look | _Unread:
    if isinstance(look, _Unread):
        return look
    try:
        look.follow()
    except ReadError as err:
        return _Unread(err.tag, str(err))
    return look


def _sighting(bdf: Bdf, host: Host, place: _Place, look: _Look | _Unread) -> Sighting:
    if isinstance(look, _Unread):
        return Sighting(_known(bdf, host, look)._replace(**place._asdict()))
    try:
        function = look.function(bdf, place)
        return Sighting(function, look.virtual(), look.collector(), look.slot_number())
    except ReadError as err:
        return _sighting(bdf, host, place, _Unread(err.tag, str(err)))


def numbers(bdf: Bdf, host: Host) -> tuple[int, int] | None:
    """The buses below a bridge, (first, last) of those with a Function, by the directories of sysfs; None where there is none."""
    # For the attributes that say so (secondary_bus_number) the kernel would read, or wake, the bridge itself.
    below = _below(bdf, host)
    buses = {child.bus for child in below} - {bdf.bus}
    if not buses:
        return None
    deeper = [found[1] for child in below if (found := numbers(child, host)) is not None]
    return min(buses), max([*buses, *deeper])


def _below(bdf: Bdf, host: Host) -> list[Bdf]:
    names = host.entries(power.directory(bdf))
    return [child for name in names if (child := _bdf(name)) is not None and child.segment == bdf.segment and child.bus > bdf.bus]


def _known(bdf: Bdf, host: Host, why: _Unread) -> Function:
    # sysfs keeps what enumeration saw; a capture has none of it, and ids then read as all ones, which no device has.
    def known(name: str, absent: int) -> int:
        value = power.number(host, bdf, name)
        return absent if value is None else value

    buses = numbers(bdf, host)
    return Function(
        bdf=bdf, vendor=known("vendor", ALL_ONES), device=known("device", ALL_ONES),
        subsystem_vendor=known("subsystem_vendor", 0), subsystem_device=known("subsystem_device", 0),
        class_code=known("class", 0xFFFFFF), revision=known("revision", 0), header_type=BRIDGE if buses else 0, multifunction=False,
        dev_type=None, capabilities=(), size=0, bus_range=buses,
        unread=why.reason, note=why.note,
    )  # fmt: skip


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
        self._note = self._unread = ""

    def follow(self) -> None:
        """Walk the capability lists, if they can be read."""
        if self._size <= HEADER_SIZE and self._header[_STATUS] & _HAS_CAPABILITIES:
            self._unread, self._note = "short", "64 bytes only"
            return
        chain = walk(self._read, self._size)
        capabilities = tuple(map(self._form, chain.capabilities))
        self._capabilities = _SHAPES.setdefault(capabilities, capabilities) if len(_SHAPES) < _MOST_SHAPES else capabilities
        for capability in self._capabilities:
            self._found.setdefault(capability.name, capability)
        self._note = "; ".join(chain.complaints)

    def function(self, bdf: Bdf, place: _Place) -> Function:
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
            driver=place.driver, physfn=place.physfn, sysfs=place.sysfs, note=self._note, unread=self._unread,
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
