"""Slot labels: every source, their agreement, and the ways in which boards lie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fabric import at, endpoint, root_port
from support.host import FactHost, machine_of

from pcifma.fabric.build import build
from pcifma.fabric.function import Slot
from pcifma.fabric.smbios import TABLE, system_slots

SLOTS = "/sys/bus/pci/slots"


def system_slot(name: str, *, bus: int = 1, devfn: int = 0, segment: int = 0, length: int = 0x13) -> bytes:
    body = bytearray(length)
    body[0], body[1], body[4] = 9, length, 1
    if length > 0x10:
        body[0xD:0xF], body[0xF], body[0x10] = segment.to_bytes(2, "little"), bus, devfn
    return bytes(body) + name.encode("latin-1") + b"\0\0"


END = bytes([127, 4, 0, 0]) + b"\0\0"


def slot(*tables: bytes, number: int | None = None, sysfs: dict[str, str] | None = None) -> Slot | None:
    facts = {f"{SLOTS}/{name}/address": f"{address}\n".encode() for name, address in (sysfs or {}).items()}
    if tables:
        facts[TABLE] = b"".join(tables) + END
    fabric = build(machine_of(root_port("0000:00:03.0", 1, 1, slot=number), endpoint("0000:01:00.0"), host=FactHost(facts)))
    return fabric[at("01:00.0")].slot


def test_board_print_comes_first_and_agrees() -> None:
    found = slot(system_slot("PCIe Slot 3"), number=3, sysfs={"3": "0000:01:00"})
    assert found == Slot("PCIe Slot 3", "smbios", 3, (("Slot 3", "slot-capability"), ("Slot 3", "sysfs")))
    assert found.agreed is True


def test_disagreement_is_kept_and_said() -> None:
    found = slot(system_slot("SLOT 5 (G5 x16)"), number=3)
    assert found is not None
    assert (found.label, found.agreed) == ("SLOT 5 (G5 x16)", False)


@pytest.mark.parametrize("devfn", [0x18, 0x00, 0x01])
def test_address_may_be_the_ports_or_the_cards(devfn: int) -> None:
    found = slot(system_slot("Slot 3", bus=0 if devfn == 0x18 else 1, devfn=devfn))
    assert found is not None and found.source == "smbios"


def test_one_address_for_all_slots_names_none() -> None:
    assert slot(system_slot("Slot 1"), system_slot("Slot 2")) is None


def test_unknown_address_names_none() -> None:
    assert slot(system_slot("Slot 1", bus=0xFF, devfn=0xFF)) is None


def test_sysfs_address_that_two_slots_share_names_none() -> None:
    assert slot(sysfs={"1": "0000:01:00", "2": "0000:01:00"}) is None


def test_sysfs_name_that_firmware_gave_to_several_names_none() -> None:
    assert slot(sysfs={"0": "0000:01:00", "0-1": "0000:02:00"}) is None


def test_slot_number_0_is_no_slot() -> None:
    assert slot(number=0) is None


def test_single_source_agrees_with_nobody() -> None:
    found = slot(number=7)
    assert found == Slot("Slot 7", "slot-capability", 7)
    assert found.agreed is None


def test_label_reaches_no_terminal_raw() -> None:
    found = slot(system_slot("Slot\x1b[31m 3"))
    assert found is not None and found.label == "Slot [31m 3"


def test_old_table_without_addresses_has_its_names() -> None:
    assert [s.address for s in system_slots(system_slot("J6B2", length=0x0D) + END)] == [None]


@given(st.binary(max_size=300))
def test_any_bytes_end(data: bytes) -> None:
    assert len(system_slots(data)) <= len(data)
