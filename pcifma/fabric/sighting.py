"""What one look at one Function's registers tells about the fabric, before buses connect it to others.

Only the header, the capability chains and registers that a table declares are read, and nothing at all of what sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pcifma.access.seam import ConfigSpace, Host
from pcifma.errors import ReadError, ShortReadError
from pcifma.fabric import power
from pcifma.fabric.function import FoundCapability, Function
from pcifma.fabric.window import bars, windows
from pcifma.regs.bdf import Bdf
from pcifma.regs.chain import Found, walk
from pcifma.regs.form import form_of
from pcifma.regs.header import HEADER

HEADER_SIZE = 64
ALL_ONES = 0xFFFF
BRIDGE, CARDBUS = 1, 2
_SLOT_IMPLEMENTED = 0x100
_VF_ENABLE = 1
_STATUS, _HAS_CAPABILITIES = 0x06, 0x10
_RETRY_STATUS = b"\x01\x00\xff\xff"  # a Function that is not ready after reset (PCIe Base Spec 2.3.2)


@dataclass(frozen=True, slots=True)
class VirtualRange:
    """The VFs that a PF has enabled (SR-IOV capability): *count* Functions from Requester ID + *offset*, *stride* apart."""

    count: int
    offset: int
    stride: int
    device: int


@dataclass(frozen=True, slots=True)
class Collector:
    """The RCiEPs that an RCEC speaks for: *devices* (bit n: device n of its own bus), *buses* (first, last) or None."""

    devices: int
    buses: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Sighting:
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
    return Sighting(_with_host(function, host))


def _with_host(function: Function, host: Host) -> Function:
    base = f"{power.DEVICES}/{function.bdf}"
    driver, physfn, path = (host.link(f"{base}{name}") for name in ("/driver", "/physfn", ""))
    return replace(
        function,
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
    function = _with_host(_from_header(bdf, header, size), host)
    if size <= HEADER_SIZE and header[_STATUS] & _HAS_CAPABILITIES:
        return Sighting(replace(function, unread="short", note="64 bytes only"))
    return _from_capabilities(function, config)


def _from_header(bdf: Bdf, header: bytes, size: int) -> Function:
    def word(key: str) -> int:
        register = HEADER[key]
        return int.from_bytes(header[register.offset : register.offset + register.width], "little")

    layout = header[HEADER["header_type"].offset]
    kind = layout & 0x7F
    bridge = kind in (BRIDGE, CARDBUS)
    buses = (word("secondary_bus_number"), word("subordinate_bus_number")) if bridge else (0, 0)
    return Function(
        bdf=bdf, vendor=word("vendor_id"), device=word("device_id"),
        subsystem_vendor=word("subsystem_vendor_id") if kind == 0 else 0,
        subsystem_device=word("subsystem_id") if kind == 0 else 0,
        class_code=word("class_code") << 8 | word("programming_interface"), revision=word("revision_id"),
        header_type=kind, multifunction=bool(layout & 0x80), dev_type=None, capabilities=(), size=size,
        bus_range=buses if buses[0] else None, bars=bars(header, kind), windows=windows(header, kind),
    )  # fmt: skip


def _from_capabilities(function: Function, config: ConfigSpace) -> Sighting:
    chain = walk(config.read, config.size)
    capabilities = tuple(_found(c, config) for c in chain.capabilities)
    function = replace(function, capabilities=capabilities, note="; ".join(chain.complaints))
    look = _Look(function, config)
    flags = next((c.form.head for c in capabilities if c.name == "CAP_EXP" and c.offset + 4 <= config.size), None)
    function = replace(function, dev_type=None if flags is None else flags >> 4 & 0xF, serial=look.serial())
    if function.header_type == BRIDGE:
        vendor, device = look.word("CAP_SSVID", 4, 2), look.word("CAP_SSVID", 6, 2)
        function = replace(function, subsystem_vendor=vendor or 0, subsystem_device=device or 0)
    slotted = flags is not None and flags & _SLOT_IMPLEMENTED and function.header_type == BRIDGE
    return Sighting(function, look.virtual(), look.collector(), look.slot_number() if slotted else None)


def _found(found: Found, config: ConfigSpace) -> FoundCapability:
    def word(offset: int, width: int) -> int:  # what the image does not have is no register there either
        start = found.offset + offset
        return int.from_bytes(config.read(start, width), "little") if start + width <= config.size else 0

    form = form_of(found.name, word)
    version = form.head & 0xF if found.name == "CAP_EXP" else found.version
    return FoundCapability(found.name, found.id, found.extended, version, found.offset, form)


class _Look:
    # Registers of the capabilities that shape the fabric; None where the capability, or the capture, ends before them.
    def __init__(self, function: Function, config: ConfigSpace) -> None:
        self._function = function
        self._config = config

    def word(self, capability: str, offset: int, width: int) -> int | None:
        start = self._function.offset_of(capability)
        if start is None or start + offset + width > self._config.size:
            return None
        return int.from_bytes(self._config.read(start + offset, width), "little")

    def serial(self) -> str | None:
        low, high = self.word("ECAP_DSN", 4, 4), self.word("ECAP_DSN", 8, 4)  # PCIe Base Spec 7.9.3
        if low is None or high is None or (low, high) in ((0, 0), (0xFFFFFFFF, 0xFFFFFFFF)):
            return None
        return f"{high:08x}{low:08x}"

    def slot_number(self) -> int | None:
        word = self.word("CAP_EXP", 0x14, 4)  # bits 31:19 (7.5.3.9); 0 means soldered down
        return None if word is None else word >> 19

    def virtual(self) -> VirtualRange | None:
        control, count = self.word("ECAP_SRIOV", 0x08, 2), self.word("ECAP_SRIOV", 0x10, 2)  # 9.3.3
        offset, stride = self.word("ECAP_SRIOV", 0x14, 2), self.word("ECAP_SRIOV", 0x16, 2)
        device = self.word("ECAP_SRIOV", 0x1A, 2)
        if control is None or count is None or offset is None or stride is None or device is None:
            return None
        return VirtualRange(count, offset, stride, device) if control & _VF_ENABLE and count and offset else None

    def collector(self) -> Collector | None:
        devices = self.word("ECAP_RCEC", 4, 4)  # 7.9.10; the bus range came with version 2
        if devices is None:
            return None
        newer = any(c.name == "ECAP_RCEC" and c.version >= 2 for c in self._function.capabilities)
        buses = self.word("ECAP_RCEC", 8, 4) if newer else None
        return Collector(devices, None if buses is None else (buses >> 8 & 0xFF, buses >> 16 & 0xFF))
