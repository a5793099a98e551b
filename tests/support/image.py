"""Configuration space made by hand: a builder for Functions, from the specification's offsets and not from pcifma's tables."""

from __future__ import annotations

from dataclasses import dataclass, field

ENDPOINT, ROOT_PORT, UPSTREAM, DOWNSTREAM, PCIE_TO_PCI, RCIEP, RCEC = 0x0, 0x4, 0x5, 0x6, 0x7, 0x9, 0xA


@dataclass
class Image:
    """One Function's bytes; `size` is 256 or 4096."""

    bdf: str
    title: str
    data: bytearray = field(default_factory=lambda: bytearray(4096))
    _last: int = 0x34
    _last_ext: int = 0

    def put(self, offset: int, value: int, width: int) -> Image:
        """Store *value* little-endian."""
        self.data[offset : offset + width] = value.to_bytes(width, "little")
        return self

    def header(self, vendor: int, device: int, class_code: int, *, header_type: int = 0, revision: int = 0) -> Image:
        """Identity, Command with memory, bus master and SERR# on, Status with a capability list."""
        self.put(0, vendor, 2).put(2, device, 2).put(4, 0x0106, 2).put(6, 0x0010, 2)
        return self.put(8, class_code << 8 | revision, 4).put(0xE, header_type, 1)

    def buses(self, primary: int, secondary: int, subordinate: int, *, control: int = 0) -> Image:
        """Bus numbers and Bridge Control of a type 1 header."""
        return self.put(0x18, primary, 1).put(0x19, secondary, 1).put(0x1A, subordinate, 1).put(0x3E, control, 2)

    def capability(self, offset: int, cap_id: int) -> Image:
        """Link a standard capability at *offset*."""
        self.put(self._last, offset, 1).put(offset, cap_id, 1)
        self._last = offset + 1
        return self

    def extended(self, offset: int, cap_id: int, version: int = 1) -> Image:
        """Link an extended capability at *offset*; the first must be at 0x100."""
        if self._last_ext:
            head = int.from_bytes(self.data[self._last_ext : self._last_ext + 4], "little")
            self.put(self._last_ext, head & 0xFFFFF | offset << 20, 4)
        self._last_ext = offset
        return self.put(offset, cap_id | version << 16, 4)

    def express(self, offset: int, port_type: int, *, device_control: int = 0x000F, slot: int | None = None) -> Image:
        """PCI Express capability, version 2, role-based error reporting; with *slot* also a physical slot number."""
        self.capability(offset, 0x10)
        self.put(offset + 2, 2 | port_type << 4 | (0x100 if slot is not None else 0), 2)
        self.put(offset + 4, 0x00008002, 4).put(offset + 8, device_control, 2)
        self.put(offset + 0xC, 0x0043, 4).put(offset + 0x12, 0x2043, 2)
        if slot is not None:
            self.put(offset + 0x14, slot << 19, 4).put(offset + 0x1A, 0x0040, 2)
        return self

    def aer(self, offset: int = 0x100, *, unc_mask: int = 0, cor_mask: int = 0x2000) -> Image:
        """Advanced Error Reporting with the default severities (PCIe Base Spec 7.8.4.4)."""
        self.extended(offset, 0x0001, 2)
        return self.put(offset + 8, unc_mask, 4).put(offset + 0xC, 0x00462030, 4).put(offset + 0x14, cor_mask, 4)

    def text(self, size: int = 4096) -> str:
        """As `lspci -xxxx` prints it."""
        digits = 3 if size > 256 else 2
        rows = [f"{o:0{digits if o >= 0x100 else 2}x}: {self.data[o : o + 16].hex(' ')}" for o in range(0, size, 16)]
        return "\n".join([f"{self.bdf} {self.title}", *rows]) + "\n"


def capture(*images: Image) -> str:
    """The lspci text of all *images*."""
    return "\n".join(image.text() for image in images)
