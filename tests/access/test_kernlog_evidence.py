"""Which register words a report stands on."""

from __future__ import annotations

from support.logdata import only, read, sample

from pcifma.access.kernlog.evidence import shown
from pcifma.access.kernlog.report import EehDevice
from pcifma.access.kernlog.sight import Shown


def words(text: str) -> list[dict[str, int]]:
    return [{str(location): word for location, word in sight.words.items()} for sight in sights(text)]


def sights(text: str) -> list[Shown]:
    return [sight for report in read(text) for sight in shown(report)]


def test_aer_error_has_status_mask_pointer_and_log() -> None:
    lines = (
        "a 0000:01:00.0: PCIe Bus Error: severity=Uncorrectable (Non-Fatal), type=Transaction Layer, (Requester ID)",
        "a 0000:01:00.0:   device [8086:1537] error status/mask=00104000/00400000",
        "a 0000:01:00.0:    [20] UnsupReq               (First)",
        "a 0000:01:00.0: AER:   TLP Header (Flit): 00000001 00000002 00000003 00000004 00000005",
    )
    assert words("\n".join(lines)) == [
        {
            "ECAP_AER+1c.l": 1, "ECAP_AER+20.l": 2, "ECAP_AER+24.l": 3, "ECAP_AER+28.l": 4,
            "ECAP_AER+4.l": 0x104000, "ECAP_AER+8.l": 0x400000, "ECAP_AER+18.l": 20 | 1 << 18,
        }
    ]  # fmt: skip


def test_old_block_has_the_bits_it_names() -> None:
    found = [sight for report in sample("aer-2.6.33.log") for sight in shown(report)]
    assert [{str(k): v for k, v in s.words.items()}["ECAP_AER+4.l"] for s in found] == [1 << 14 | 1 << 20 | 1 << 24]


def test_containment_has_its_source_however_it_is_written() -> None:
    event = "pcieport 0015:00:00.0: DPC: containment event, status:0x200d"
    assert words(f"{event}, ERR_FATAL received from 0015:01:00.0") == [{"ECAP_DPC+8.w": 0x200D, "ECAP_DPC+a.w": 0x100}]
    assert words(f"{event} source:0x0100") == words(f"{event}, ERR_FATAL received from 0015:01:00.0")


def test_header_log_of_a_record_without_pointer_belongs_to_its_only_bit() -> None:
    section = "{1}[Hardware Error]:  Error 0, type: fatal\n{1}[Hardware Error]:   section_type: PCIe error\n"
    header = "{1}[Hardware Error]:   TLP Header: 00000001 00000000 00000000 00000000\n"
    one = words(f"{section}{{1}}[Hardware Error]:   aer_uncor_status: 0x00044000, aer_uncor_mask: 0x00004000\n{header}")
    two = words(f"{section}{{1}}[Hardware Error]:   aer_uncor_status: 0x00044000, aer_uncor_mask: 0x00000000\n{header}")
    assert one[0]["ECAP_AER+18.l"] == 18
    assert "ECAP_AER+18.l" not in two[0]


def test_registers_of_a_gone_function_are_left_out_of_firmware_records() -> None:
    text = "{1}[Hardware Error]:  Error 0, type: fatal\n{1}[Hardware Error]:   section_type: PCIe error\n"
    text += "{1}[Hardware Error]:   command: 0xffff, status: 0xffff\n"
    (sight,) = sights(text)
    assert not sight.words
    assert [c.class_ for c in sight.conditions] == ["ereport.io.pciex.fatal"]


def test_sections_that_are_no_pcie_error_show_nothing() -> None:
    assert not sights("{1}[Hardware Error]:  Error 0, type: corrected\n{1}[Hardware Error]:   section_type: memory error\n")


def test_eeh_dwords_are_taken_apart_where_they_hold_two_registers() -> None:
    (sight, *_) = [s for r in only(EehDevice, sample("eeh.log")) for s in shown(r)]
    found = {str(location): word for location, word in sight.words.items()}
    assert (found["4.w"], found["6.w"], found["CAP_EXP+2.w"], found["CAP_EXP+a.w"]) == (0x140, 0x2010, 0x142, 0xD)
    assert (found["CAP_EXP+4.l"], found["ECAP_AER+4.l"], found["1e.w"]) == (0x8002, 0x40000, 0x2000)
    assert (sight.vendor, sight.device, sight.dev_type, sight.state) == (0x14E4, 0x0302, 4, True)


def test_host_bridge_rows_of_all_ones_say_nothing() -> None:
    row = "ffffffff ffffffff ffffffff"
    (sight,) = sights(f"PHB3 PHB#3 Diag-data (Version: 1)\nRootErrSts:  {row}\nnFir:        {'f' * 16} {'f' * 16} {'f' * 16}\n")
    assert list(map(str, sight.words)) == ["CAP_EXP+2.w"]
    assert not sight.conditions


def test_severity_of_a_foreign_ereport_is_the_tables() -> None:
    assert [s.conditions[0].severity for s in sights("Nov 29 15:00:22.0000 ereport.io.pciex.dl.btlp  0x7d2a5ff2bd100801\n")] == [
        "correctable"
    ]
    assert [s.conditions[0].severity for s in sights("Nov 29 15:00:22.0000 ereport.io.pciex.tl.cto  0x7d2a5ff2bd100801\n")] == ["nonfatal"]


def test_number_that_its_register_cannot_hold_is_left_out() -> None:
    text = "Fatal error from 0000:3b:00.0(PCI Express Endpoint), VID:8086, DID:1572 DevSts: 0xd0000, AERUeSts: 0x2000."
    assert words(text) == [{"ECAP_AER+4.l": 0x2000}]


def test_firmware_that_takes_command_for_status_is_understood() -> None:
    record = "{1}[Hardware Error]:  Error 0, type: fatal\n{1}[Hardware Error]:   section_type: PCIe error\n"
    (swapped,) = words(f"{record}{{1}}[Hardware Error]:   command: 0x6010, status: 0x0143\n")
    (straight,) = words(f"{record}{{1}}[Hardware Error]:   command: 0x0143, status: 0x6010\n")
    assert swapped == straight == {"4.w": 0x0143, "6.w": 0x6010}
