"""A memory error that several tell is one ereport."""

from __future__ import annotations

from support.logdata import read, sample

from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.plugin.loader import builtin
from pcifma.poll.logged import Logged

SOURCES = [plugin for plugin in builtin() if plugin.manifest.kind == "source"]
INTEL = """\
EDAC sbridge MC1: CPU 7: Machine Check Event: 0 Bank 9: 8c000052000800c1
EDAC sbridge MC1: ADDR 12345e080
EDAC sbridge MC1: PROCESSOR 0:306e4 TIME 1500000000 SOCKET 1 APIC 2a
EDAC MC1: 1 CE memory scrubbing error on DIMM_B1 (channel:0 slot:1 page:0x12345e offset:0x80 grain:32 syndrome:0x0)
"""
AMD = """\
[Hardware Error]: CPU:2 (19:21:0) MC18_STATUS[-|CE|MiscV|AddrV|-|-|SyndV|CECC|-|-|-]: 0x9c2040000000011b
[Hardware Error]: Error Addr: 0x0000000319deb440
[Hardware Error]: IPID: 0x0000009600150f00, Syndrome: 0x000041000a801100
EDAC MC0: 1 CE on mc#0csrow#1channel#1 (csrow:1 channel:1 page:0x7a9e54 offset:0x500 grain:64 syndrome:0x4100)
"""
FIRMWARE = """\
EDAC MC0: 1 CE single-bit ECC on DIMM 3 (node:0 page:0x963d9b offset:0x20 grain:1 syndrome:0x0)
{2}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 2
{2}[Hardware Error]: event severity: corrected
{2}[Hardware Error]:  Error 0, type: corrected
{2}[Hardware Error]:   section_type: memory error
{2}[Hardware Error]:   physical_address: 0x0000000963d9b020
"""


def events(text: str) -> list[Ereport | ListEvent]:
    return list(Logged("log", "boot", SOURCES).events(read(text)))


def only(text: str) -> Ereport:
    (event,) = events(text)
    assert isinstance(event, Ereport)
    return event


def test_a_processor_s_record_gets_the_module_from_edac() -> None:
    event = only(INTEL)
    assert (event.class_, event.device, event.sources) == ("ereport.cpu.intel.mc", "cpu7", ["log", "edac"])
    assert event.payload["label"] == "DIMM_B1"


def test_edac_s_line_belongs_to_amd_s_bank_whatever_its_address() -> None:
    event = only(AMD)
    assert (event.class_, event.payload["label"]) == ("ereport.cpu.amd.nb.mem_ce", "mc#0csrow#1channel#1")
    assert "address" not in event.payload  # a scalable memory controller's address is no physical one


def test_firmware_and_edac_tell_one_error() -> None:
    event = only(FIRMWARE)
    assert (event.class_, event.device, event.sources) == ("ereport.memory.ce", "host", ["log", "edac", "firmware"])
    assert (event.payload["label"], event.payload["address"]) == ("DIMM 3", "0000000963d9b020")


def test_another_page_is_another_error() -> None:
    assert len(events(INTEL.replace("page:0x12345e", "page:0x22345e"))) == 2


def test_an_uncorrected_error_is_not_the_corrected_one() -> None:
    assert len(events(INTEL.replace("1 CE", "1 UE"))) == 2


def test_what_nobody_else_tells_is_an_error_of_its_own() -> None:
    found = list(Logged("log", "boot", SOURCES).events(sample("memory.log")))
    assert [(e.class_, e.severity) for e in found[:2] if isinstance(e, Ereport)] == [
        ("ereport.memory.ce", "correctable"),
        ("ereport.memory.ue", "nonfatal"),
    ]
    *_, firmware = found
    assert isinstance(firmware, Ereport)
    assert firmware.payload["label"] == "CPU 1 DIMM_A1"


def test_a_processor_that_is_not_named_is_marked() -> None:
    event = only("[Hardware Error]: MC4_STATUS[Over|CE|MiscV|-|AddrV|-|-|CECC]: 0xdc10410040080a13\n")
    assert (event.device, event.payload["unaddressed"]) == ("cpu0", True)
