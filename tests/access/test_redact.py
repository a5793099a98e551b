from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.image import ENDPOINT, Image

from pcifma.access.capture import parse_capture
from pcifma.access.open import open_capture
from pcifma.access.recording import Recording, take, write
from pcifma.access.redact import redact
from pcifma.regs.bdf import Bdf

FIRST, SECOND, THIRD = (Bdf.parse(f"0000:01:00.{n}") for n in range(3))
SERIALS = {FIRST: 0x248A07_FFFFA1B2C3, SECOND: 0x248A07_FFFFA1B2C3, THIRD: 0x248A07_FFFF000001}


def image(bdf: Bdf) -> Image:
    made = Image(str(bdf), "Ethernet controller: NIC").header(0x15B3, 0x1017, 0x020000).express(0x40, ENDPOINT).aer()
    return made.extended(0x180, 0x0003).put(0x184, SERIALS[bdf], 8)


@pytest.fixture
def recording() -> Recording:
    return take(open_capture("\n".join(image(bdf).text() for bdf in SERIALS).encode(), "a"))


def redacted(recording: Recording, path: str, data: bytes) -> bytes:
    return redact(replace(recording, files={path: data})).files[path]


def test_redact_keeps_the_maker_of_a_serial_number_and_who_shares_it(recording: Recording) -> None:
    images = redact(recording).images

    serials = [int.from_bytes(images[bdf][0x180][4:12], "little") for bdf in SERIALS]
    assert [serial >> 40 for serial in serials] == [0x248A07] * 3
    assert [serial & 0xFFFFFFFFFF for serial in serials] == [1, 1, 2]


def test_redact_changes_no_other_byte(recording: Recording) -> None:
    images = redact(recording).images

    for bdf, rows in recording.images.items():
        assert {at: row for at, row in images[bdf].items() if at != 0x180} == {at: row for at, row in rows.items() if at != 0x180}
        assert images[bdf][0x180][:4] == rows[0x180][:4]
        assert images[bdf][0x180][12:] == rows[0x180][12:]


def test_redact_keeps_parameters_that_decide_who_hears_of_errors(recording: Recording) -> None:
    line = b"root=UUID=1234 pci=nomsi,noaer host=node7 pcie_ports=native luks.key=secret ghes.disable=1 iommu=pt -- --token=x\n"

    assert redacted(recording, "/proc/cmdline", line) == b"pci=nomsi,noaer pcie_ports=native ghes.disable=1 iommu=pt\n"


def test_redact_keeps_interrupt_rows_of_port_services(recording: Recording) -> None:
    rows = b"  CPU0\n 24:  1  PCI-MSI  PCIe PME, aerdrv\n 25:  9  PCI-MSI  vif-customer7\nMCE:  0  Machine check exceptions\n"

    kept = redacted(recording, "/proc/interrupts", rows)

    assert kept == b"  CPU0\n 24:  1  PCI-MSI  PCIe PME, aerdrv\nMCE:  0  Machine check exceptions\n"


def test_redact_keeps_slots_and_drops_serials_of_smbios(recording: Recording) -> None:
    slot = bytes([9, 5, 0, 0, 1]) + b"Slot 3\0\0"
    system = bytes([1, 8, 0, 0, 1, 2, 3, 4]) + b"Maker\0Model\0S/N 12345\0\0"
    end = bytes([127, 4, 0, 0]) + b"\0\0"

    assert redacted(recording, "/sys/firmware/dmi/tables/DMI", system + slot + end) == slot + end


@pytest.mark.parametrize("table", [b"", b"\x01", b"\x09\x00\x00\x00", b"\x09\xff\x00\x00abc", bytes(100)])
def test_redact_of_a_broken_smbios_table_keeps_nothing_of_it(recording: Recording, table: bytes) -> None:
    assert redacted(recording, "/sys/firmware/dmi/tables/DMI", table) == b""


def test_redact_names_no_host(recording: Recording, tmp_path: Path) -> None:
    boot = b"8a8d4b9c-0000-4000-8000-000000000001\n"
    files = {"/proc/sys/kernel/hostname": b"node7\n", "/proc/sys/kernel/random/boot_id": boot, "/proc/cpuinfo": b"model: x\nSerial : 77\n"}

    write(redact(replace(recording, files=files, about="recorded on node7")), tmp_path / "made")

    everything = b"".join(path.read_bytes() for path in (tmp_path / "made").rglob("*") if path.is_file())
    assert not any(word in everything for word in (b"node7", b"8a8d4b9c", b"Serial", b"b2 a1"))


def test_redact_keeps_facts_that_identify_nobody(recording: Recording) -> None:
    assert redacted(recording, "/sys/class/dmi/id/product_name", b"Model 5\n") == b"Model 5\n"


def test_redact_of_a_capture_with_holes_keeps_the_holes(recording: Recording) -> None:
    text = "\n".join(line for line in image(FIRST).text().splitlines() if not line.startswith(("190:", "20:")))
    rows = parse_capture(text, "a").configs[FIRST].rows()

    kept = redact(replace(recording, images={FIRST: rows})).images[FIRST]

    assert kept.keys() == rows.keys()
