"""AER and DPC messages of each era of Linux."""

from __future__ import annotations

import pytest
from support.logdata import only, read, sample

from pcifma.access.kernlog.report import AerError, AerMessage, DpcEvent, PrintedBit
from pcifma.regs.bdf import Bdf

DEVICE = "  device [8086:1537] error status/mask="


def error(text: str) -> AerError:
    (found,) = read(text)
    assert isinstance(found, AerError)
    return found


def test_block_of_2_6_28_names_the_lowest_bit() -> None:
    first, second = only(AerError, sample("aer-2.6.28.log"))
    assert (str(first.bdf), first.severity, first.printed, first.multiple) == (
        "0000:03:00.0",
        "correctable",
        (PrintedBit(7, "Bad DLLP"),),
        True,
    )
    assert (str(second.bdf), second.severity, second.agent, second.printed) == ("0000:03:03.0", "fatal", "Unregistered Agent ID", ())


def test_block_of_2_6_33_names_each_bit_and_the_header() -> None:
    (found,) = only(AerError, sample("aer-2.6.33.log"))
    assert [(p.bit, p.first) for p in found.printed] == [(14, False), (20, True), (24, False)]
    assert found.header == (0x04000001, 0x0F, 0x02080000, 0)
    assert (found.first_error, found.side, found.status) == (20, "uncorrectable", None)


def test_messages_of_3_10_give_16_bit_ids() -> None:
    messages, errors = only(AerMessage, sample("aer-3.10.log")), only(AerError, sample("aer-3.10.log"))
    assert [(str(m.port), m.source_id, m.multiple) for m in messages] == [
        ("0000:00:1c.5", 0xE5, True),
        ("0000:00:1c.0", 0x400, False),
        ("0000:00:1c.0", 0x500, False),
    ]
    assert [(e.status, e.agent_id) for e in errors] == [(0x41, 0xE5), (None, 0x400), (0x40104000, 0x500)]
    assert errors[2].printed[2] == PrintedBit(30, "Unknown Error Bit")


def test_messages_of_7_0_give_flit_headers_and_drop_prefixes() -> None:
    errors = only(AerError, sample("aer-7.0.log"))
    assert [(e.protocol, e.flit, len(e.header)) for e in errors] == [("CXL", True, 6), ("PCIe", False, 0), ("PCIe", False, 4)]
    assert str(errors[1].bdf) == "10000:e1:00.0"
    assert not any(e.doubts for e in errors)


def test_interleaved_wrapped_and_quoted_reports_are_told_apart() -> None:
    errors = only(AerError, sample("mixed.log"))
    assert [(str(e.bdf), e.status, e.severity, [p.bit for p in e.printed]) for e in errors] == [
        ("0000:00:1c.5", 0x1, "correctable", [0]),
        ("0000:01:00.0", 0x1000, "correctable", [12]),
        ("0000:09:00.0", 0x4000, "nonfatal", [14]),
    ]
    assert [e.line for e in errors] == [2, 2, 7]


def test_reports_come_in_the_order_of_their_first_lines() -> None:
    found = sample("dpc.log")
    assert [report.line for report in found] == sorted(report.line for report in found)


@pytest.mark.parametrize(
    ("line", "side"),
    [
        (f"igb 0000:09:00.0: {DEVICE}00004000/00000000", None),
        (f"igb 0000:09:00.0: {DEVICE}00000001/00000000", "correctable"),
        (f"igb 0000:09:00.0: {DEVICE}00100000/00000000", "uncorrectable"),
        (f"igb 0000:09:00.0: {DEVICE}00004000/00000000\nigb 0000:09:00.0:    [14] CorrIntErr", "correctable"),
        (f"igb 0000:09:00.0: {DEVICE}00004000/00000000\nigb 0000:09:00.0:    [14] CmpltTO", "uncorrectable"),
    ],
)
def test_register_is_told_from_what_the_excerpt_has(line: str, side: str | None) -> None:
    assert error(line).side == side


def test_excerpt_that_begins_with_a_bit_is_a_report() -> None:
    found = error("pcieport 0000:00:1c.5:    [12] Timeout")
    assert (found.status, found.printed, found.side) == (None, (PrintedBit(12, "Timeout"),), "correctable")


def test_driver_message_with_a_number_in_brackets_is_none() -> None:
    assert not read("nvme 0000:01:00.0:    [12] queue depth")


def test_firmware_record_as_the_kernel_prints_it_is_apei() -> None:
    port = "pcieport 0000:c9:02.0: AER: "
    found = error(f"{port}aer_status: 0x00200000, aer_mask: 0x00100020\n{port}aer_uncor_severity: 0x00463010")
    assert (found.origin, found.side, found.uncorrectable_severity, found.mask) == ("apei", "uncorrectable", 0x463010, 0x100020)


def test_garbled_report_says_what_does_not_fit() -> None:
    head = "a 0000:01:00.0: PCIe Bus Error: severity=Corrected, type=Transaction Layer, (Completer ID)"
    found = error(f"{head}\na 0000:01:00.0: {DEVICE}00000001/00000000\na 0000:01:00.0:    [ 6] BadTLP\na 0000:01:00.0:    [ 1] RxErr")
    assert found.status == 1
    assert len(found.doubts) == 5


def test_line_cut_in_the_mask_keeps_the_status() -> None:
    found = error(f"igb 0000:09:00.0: {DEVICE}00100000/0000")
    assert (found.status, found.mask) == (0x100000, None)


def test_line_cut_in_the_status_is_no_report() -> None:
    assert not read(f"igb 0000:09:00.0: {DEVICE}001000")


def test_uncorrected_without_its_kind_is_no_severity() -> None:
    assert not read("pcieport 0000:00:01.0: AER: Uncorrected error received: 0000:01:00.0")


def test_same_function_twice_is_two_reports() -> None:
    line = "a 0000:01:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)\n"
    assert len(read(line * 3)) == 3


def test_dpc_of_each_era() -> None:
    found = only(DpcEvent, sample("dpc.log"))
    assert [(str(d.bdf), d.status, d.source_id, d.reason) for d in found] == [
        ("0000:00:10.0", 0x1F07, 0, "RP PIO error"),
        ("0000:30:03.0", 0x1F03, 0x3400, "ERR_NONFATAL"),
        ("0015:00:00.0", 0x200D, None, "ERR_FATAL"),
        ("0016:00:00.0", 0x2009, None, "unmasked uncorrectable error"),
    ]
    assert (found[0].rp_pio_status, found[0].rp_pio_mask, found[0].impspec) == (0x10000, 0x303, 0x42)
    assert found[0].header == (1, 0xF, 0xFE000000, 0)
    assert found[2].source == Bdf(0x15, 1, 0, 0)


def test_containment_reason_without_event_is_no_event() -> None:
    assert not read("pcieport 0000:00:10.0: DPC: unmasked uncorrectable error detected")
