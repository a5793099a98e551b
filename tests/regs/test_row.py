"""Rows and names: Field, Register, Capability, Location, and what single capabilities say of their own layout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcifma.regs import dpc, dsn, dvsec, ht, ide, msi
from pcifma.regs.aer import AER
from pcifma.regs.exp import EXP, DevType
from pcifma.regs.header import HEADER
from pcifma.regs.msi import MSI
from pcifma.regs.table import Access, Location, Register

NAMES = st.sampled_from(["", "CAP_EXP", "ECAP_AER", "CAP15", "ECAP2a", "ECAP_L1PM", "ECAP_M_PCIE"])


@given(name=NAMES, offset=st.integers(0, 0xFFF), width=st.sampled_from([1, 2, 4]), number=st.integers(0, 0xFFF))
def test_location_reads_what_it_prints(name: str, offset: int, width: int, number: int) -> None:
    location = Location(name, offset, width, number)
    assert Location.parse(str(location)) == location


def test_location_prints_as_setpci_writes() -> None:
    assert str(Location("ECAP_AER", 0x10, 4)) == "ECAP_AER+10.l"
    assert str(Location("", 0x3E, 2)) == "3e.w"
    assert str(Location("ECAP_DVSEC", 0xE, 2, 1)) == "ECAP_DVSEC+e.w@1"


@pytest.mark.parametrize("text", ["", "4", "4.x", "STATUS.w", "ECAP_AER+4", "ECAP_AER+10000.l", "ECAP_AER-4.l", "4.l@", "4.l@x"])
def test_location_refuses_other_text_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="write it as setpci does"):
        Location.parse(text)


def test_clearable_is_what_a_written_one_clears() -> None:
    assert {a for a in Access if a.clearable} == {Access.RW1C, Access.RW1CS}


def test_a_field_has_its_registers_access_unless_it_says_its_own() -> None:
    status = EXP["device_status"]
    kinds = {f.key: status.access_of(f) for f in status.fields}
    assert kinds["fatal_error_detected"] == Access.RW1C
    assert kinds["aux_power_detected"] == Access.RO


def test_field_at_finds_the_field_of_a_bit() -> None:
    field = AER["correctable_error_status"].field_at(6)
    assert field is not None
    assert field.title == "Bad TLP"
    assert AER["correctable_error_status"].field_at(1) is None


def test_get_reads_a_field_by_key_and_knows_no_other() -> None:
    assert EXP["link_status"].get("negotiated_link_width", 0x1043) == 4
    with pytest.raises(KeyError):
        EXP["link_status"].get("width", 0)


@pytest.mark.parametrize(
    ("register", "dev_type", "layout", "version", "present"),
    [
        (AER["root_error_status"], DevType.ROOT_PORT, 1, 1, True),
        (AER["root_error_status"], DevType.ENDPOINT, 0, 1, False),
        (AER["secondary_uncorrectable_error_status"], DevType.PCIE_TO_PCI_BRIDGE, 1, 1, True),
        (AER["root_error_status"], None, 0, 1, False),
        (HEADER["secondary_status"], None, 1, 0, True),
        (HEADER["secondary_status"], None, 0, 0, False),
        (HEADER["status"], None, 2, 1, True),
        (EXP["link_status_2"], DevType.ENDPOINT, 0, 1, False),
        (EXP["link_status_2"], DevType.ENDPOINT, 0, 2, True),
        (EXP["link_status"], DevType.RCIEP, 0, 2, False),
    ],
)
def test_a_register_is_present_by_type_layout_and_version(
    register: Register, dev_type: int | None, layout: int, version: int, present: bool
) -> None:
    assert register.present(dev_type, layout, max(version, 1)) is present


def test_what_is_not_known_of_a_function_speaks_against_no_row() -> None:
    assert AER["root_error_status"].matches()
    assert not AER["root_error_status"].matches(DevType.ENDPOINT)
    assert not HEADER["secondary_status"].matches(layout=0)
    assert not MSI.in_form("pending_bits", "64-bit").matches(form="32-bit")


def test_the_same_key_stands_elsewhere_in_another_form() -> None:
    assert MSI.in_form("pending_bits", "32-bit").offset == 0x10
    assert MSI.in_form("pending_bits", "64-bit").offset == 0x14
    assert MSI["pending_bits"] is MSI.in_form("pending_bits", "32-bit")
    with pytest.raises(KeyError, match="message_upper_address"):
        MSI.in_form("message_upper_address", "32-bit")


@pytest.mark.parametrize(("control", "form", "masks"), [(0x0000, "32-bit", False), (0x0080, "64-bit", False), (0x0180, "64-bit", True)])
def test_message_control_tells_the_layout(control: int, form: str, masks: bool) -> None:
    assert (msi.form(control), msi.masks_vectors(control)) == (form, masks)


@pytest.mark.parametrize(
    ("command", "form"),
    [(0x0020, "primary"), (0x2000, "host"), (0x4000, "switch"), (0xA803, "msi-mapping"), (0xC000, "retry"), (0x9000, "other")],
)
def test_the_hypertransport_command_tells_the_form(command: int, form: str) -> None:
    assert ht.form(command) == form


@pytest.mark.parametrize(
    ("header_1", "header_2", "form"),
    [
        (0x03811E98, 0, "cxl-device"),
        (0x02801E98, 3, "cxl-port"),
        (0x01411E98, 0xABCD0007, "cxl-flex-bus"),
        (0x01E98, 8, "other"),
        (0x03818086, 0, "other"),
    ],
)
def test_vendor_and_id_tell_the_form_of_a_dvsec(header_1: int, header_2: int, form: str) -> None:
    assert dvsec.form(header_1, header_2) == form


def test_dpc_capability_tells_the_size_of_its_log() -> None:
    assert dpc.has_rp_extensions(0x0020)
    assert not dpc.has_rp_extensions(0xFFDF)
    assert (dpc.log_size_dw(0x0900), dpc.log_size_dw(0x2100)) == (9, 17)


def test_ide_capability_tells_how_many_link_streams_there_are() -> None:
    assert ide.link_streams(0) == 0
    assert ide.link_streams(0x0000_E001) == 8


def test_selective_ide_streams_follow_the_link_streams_with_their_own_lengths() -> None:
    words = {0x1C: 2, 0x1C + 20 + 24: 0}
    capability = 0x3 | 1 << 13 | 1 << 16
    assert list(ide.selective_offsets(capability, words.__getitem__)) == [0x24, 0x50]
    assert list(ide.selective_offsets(0x1, words.__getitem__)) == []


def test_serial_numbers_have_their_upper_half_first() -> None:
    assert dsn.serial(0x89ABCDEF, 0x01234567) == "0123456789abcdef"


def test_device_types_have_the_specifications_titles() -> None:
    assert DevType.RCEC.title == "Root Complex Event Collector"
    assert all(t.title for t in DevType)
