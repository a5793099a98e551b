"""Xen's telemetry: its structure, the device's records, and one error that several tell."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.host import FactHost

from pcifma.access.mca.mcelog import records
from pcifma.access.mca.merge import WAIT_NS, Merger, reported
from pcifma.access.mca.processor import Processors
from pcifma.access.mca.stream import is_dom0, words_of
from pcifma.access.mca.telemetry import Reported, parse
from pcifma.access.mca.virq import interrupts
from pcifma.access.seam import MCE_RECORD, Record

WHOSE = Processors("intel", 0x106A3, numbers={4: 1})
STATUS = 0x9C00_0000_0400_0091
# As seen through a probe in a dom0 under Xen 4.20 (words of struct mc_info): a polled record of an idle processor.
SEEN = (0x2, 0x7FFF00200000, 0x0, 0x900000000, 0x0, 0x400300001, 0x9C00004000010091, 0x60000000, 0x8C, 0, 0)


def globe(*, domid: int = 0x7FFF, apicid: int = 4, flags: int = 0x9) -> bytes:
    return struct.pack("<HHHHIHHIIQ", 0, 32, domid, 0, 0, 1, 0, apicid, flags, 0)


def bank(status: int = STATUS, *, number: int = 4, owner: int = 0x7FF4, addr: int = 0x6000_0000) -> bytes:
    return struct.pack("<HHHHQQQQQ", 1, 48, number, owner, status, addr, 0x8C, 0, 0)


def recovery(frame: int, status: int, *, number: int = 4) -> bytes:
    return struct.pack("<HHHBBQQ", 3, 24, number, 0, 1, frame, status)


def device(status: int = STATUS, *, apicid: int = 4, addr: int = 0x6000_0000, number: int = 4) -> dict[str, str]:
    return {"cpu": "1", "apicid": str(apicid), "bank": str(number), "status": hex(status), "addr": hex(addr), "mcgcap": "0x100010a"}


def test_a_polled_record_has_its_processor_bank_and_machine_address() -> None:
    (one,) = parse(globe() + bank(), 2)
    members = one.members()
    assert (one.apicid, one.bank, one.status, one.addr) == (4, 4, STATUS, 0x6000_0000)
    assert members["action"] == "correctable polled" and "domid" not in members and "owner" not in members


def test_recovery_tells_frame_owner_and_that_the_page_is_pending() -> None:
    urgent = globe(domid=0, flags=0x46) + bank(0xBD00_0000_0040_00CF, owner=0, addr=0x4A41_F000) + recovery(0x7F000, 0x3004)
    (one,) = parse(urgent, 3)
    assert one.urgent and one.more["mfn"] == "0x7f000" and one.more["address"] == "guest"
    assert (one.more["owner"], one.more["recovery"], one.more["domid"]) == ("0", "page offline pending", "0")


def test_two_processors_of_one_record_stay_apart() -> None:
    found = parse(globe(apicid=0) + bank(number=2) + bank(number=3) + globe(apicid=6) + bank(number=5), 5)
    assert [(one.apicid, one.bank) for one in found] == [(0, 2), (0, 3), (6, 5)]


@given(st.binary(max_size=800), st.integers(0, 1 << 31))
def test_whatever_the_hypervisor_says_is_read_to_its_end(data: bytes, count: int) -> None:
    parse(data, min(count, 4096))


def test_a_probe_s_words_are_the_same_structure() -> None:
    record = Record("mca", {"mi": ",".join(map(str, SEEN)), "mi2": ""}, 7)
    (one,) = words_of(record)
    assert (one.apicid, one.bank, one.status, one.addr) == (0, 4, SEEN[6], 0x6000_0000)
    assert one.more["owner"] == "0"


def test_records_of_the_device_are_read_by_the_length_it_says() -> None:
    body = struct.pack("<7Q2BHI4B3IQ", STATUS, 0x8C, 0x6000_0000, 0, 0, 0, 0, 1, 0, 0, 0, 0, 4, 0, 0, 9, 1, 4, 0x100010A)
    (first, second) = records((body + bytes(24)) * 2 + b"cut", 112)
    assert first == second
    assert (first["cpu"], first["bank"], first["socketid"], int(first["status"], 0)) == ("9", "4", "1", STATUS)
    assert "cpuvendor" not in first


def test_probe_and_device_tell_one_error() -> None:
    merger = Merger(WHOSE)
    (one,) = parse(globe() + bank(), 2)
    assert merger.take([], [(one, 5)], [], now_ns=10) == []
    (record,) = merger.take([device()], [], [], now_ns=20)
    assert (record.boot_ns, record.fields["cpu"], record.fields["mcgcap"]) == (5, "1", "0x100010a")
    assert record.fields["action"] == "correctable polled" and record.fields["vendor"] == "intel"
    assert merger.take([], [], [], now_ns=20 + 2 * WAIT_NS) == []


def test_what_another_reader_took_is_told_and_said() -> None:
    merger = Merger(WHOSE)
    (one,) = parse(globe() + bank(), 2)
    merger.take([], [(one, 0)], [], now_ns=0)
    error, lost = merger.take([], [], [], now_ns=WAIT_NS + 1)
    assert (error.fields["cpu"], error.fields["bank"]) == ("1", "4")
    assert lost.fields["lost"] == "1" and "another program reads" in lost.fields["reason"]


def test_a_processor_whose_number_is_unknown_is_marked() -> None:
    (one,) = parse(globe(apicid=9) + bank(), 2)
    assert (reported(one, WHOSE)["cpu"], reported(one, WHOSE)["identity"]) == ("9", "unchecked")
    (one,) = parse(globe() + bank(), 2)
    assert reported(one, WHOSE)["cpu"] == "1" and "identity" not in reported(one, WHOSE)


def virtual(addr: int, at_ns: int, code: int = 0xCF) -> Record:
    fields = {"cpu": "0", "bank": "1", "status": hex(0xBD00_0000_0000_0000 | code), "addr": hex(addr), "apicid": "0"}
    return Record(MCE_RECORD, fields, at_ns)


def test_a_virtual_machine_check_and_its_real_one_are_one() -> None:
    merger = Merger(WHOSE)
    assert merger.take([], [], [virtual(0x4A41_F000, 1)], now_ns=2) == []
    found = merger.take([device(0xBD00_0000_0040_00CF, addr=0x4A41_F000, number=8)], [], [], now_ns=3)
    assert [record.fields["bank"] for record in found] == ["8"]
    assert merger.take([], [], [], now_ns=3 * WAIT_NS) == []


def test_they_are_matched_by_the_machine_frame_too() -> None:
    merger = Merger(WHOSE)
    urgent = parse(globe(flags=0x46) + bank(0xBD00_0000_0040_00CF, owner=0, addr=0x7F00_0000) + recovery(0x4A41F, 0x1004), 3)
    merger.take([device(0xBD00_0000_0040_00CF, addr=0x7F00_0000)], [(urgent[0], 1)], [virtual(0x4A41_F000, 1)], now_ns=2)
    assert merger.take([], [], [], now_ns=3 * WAIT_NS) == []


def test_a_virtual_machine_check_alone_is_told_late() -> None:
    merger = Merger(WHOSE)
    merger.take([device(STATUS)], [], [virtual(0x4A41_F000, 1)], now_ns=2)
    (record,) = merger.take([], [], [], now_ns=WAIT_NS + 2)
    assert (record.fields["via"], record.fields["address"]) == ("virtual", "guest")


def test_an_address_that_may_be_a_domain_s_is_not_called_the_machine_s() -> None:
    (record,) = Merger(WHOSE).take([device(0xBD00_0000_0040_00CF)], [], [], now_ns=1)
    assert record.fields["address"] == "guest" and "doubt" in record.fields
    (record,) = Merger(WHOSE).take([device(STATUS)], [], [], now_ns=1)
    assert "doubt" not in record.fields


def test_interrupts_of_the_virq_are_summed() -> None:
    class Facts:
        def read(self, path: str) -> bytes | None:
            return b"     CPU0 CPU1\n 38:   3   4   xen-dyn    -virq      mce\n 39: 9 9 xen-dyn -virq timer0\nMCE: 7 7 Machine check\n"

    assert interrupts(Facts()) == 7  # type: ignore[arg-type]


def test_a_record_cut_short_is_none() -> None:
    assert words_of(Record("mca", {"lost": "3"}, 0)) == []
    assert [one.bank for one in parse((globe() + bank())[:-1], 2)] == []
    assert isinstance(Reported(0, 0, 0, 0, 0, False).members(), dict)


@pytest.mark.parametrize(
    ("facts", "dom0"),
    [
        ({}, False),
        ({"/sys/hypervisor/type": b"xen\n"}, False),
        ({"/sys/hypervisor/type": b"xen\n", "/proc/xen/capabilities": b"control_d\n"}, True),
        ({"/sys/hypervisor/type": b"xen\n", "/sys/hypervisor/properties/features": b"00000b05\n"}, True),
        ({"/sys/hypervisor/type": b"xen\n", "/sys/hypervisor/properties/features": b"00000305\n"}, False),
        ({"/proc/xen/capabilities": b"control_d\n"}, False),
    ],
)
def test_only_a_dom0_listens_to_xen(facts: dict[str, bytes], dom0: bool) -> None:
    assert is_dom0(FactHost(facts)) is dom0


def test_an_urgent_error_of_a_domain_has_the_domain_s_address() -> None:
    status = 0xBD00_0000_0040_00CF
    (told,) = parse(globe(flags=0x46) + bank(status, owner=1), 2)
    (polled,) = parse(globe() + bank(status, owner=1), 2)
    assert told.more["address"] == "guest" and "address" not in polled.more
