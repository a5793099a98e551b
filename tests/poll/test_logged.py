"""Reports of a log become the ereports that a look at the same registers gives."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest
from support.logdata import DATA, read

from pcifma.access.kernlog.report import AnyReport
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.line import encode
from pcifma.event.value import FABRIC_CLASS
from pcifma.plugin.loader import Plugin, builtin
from pcifma.poll.logged import Logged

ERROR = "igb 0000:09:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer, (Requester ID)\n"
WORDS = "igb 0000:09:00.0:   device [8086:1537] error status/mask=00104000/00100000\n"
EVENT = "aer_event: 0000:09:00.0 PCIe Bus Error: severity=Fatal, Completion Timeout, TLP Header=Not available\n"


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return builtin(["mca", "pcie_aer", "pci_status"])


def events(plugins: list[Plugin], reports: list[AnyReport]) -> list[Ereport | ListEvent]:
    return list(Logged("log", "boot", plugins).events(reports))


def bits(plugins: list[Plugin], text: str) -> list[Ereport]:
    found = events(plugins, read(text))
    return [e for e in found if isinstance(e, Ereport) and e.class_ != FABRIC_CLASS]


def test_each_set_bit_is_one_ereport_after_its_snapshot(plugins: list[Plugin]) -> None:
    found = events(plugins, read(ERROR + WORDS))
    assert [e.class_ for e in found] == [FABRIC_CLASS, "ereport.io.pciex.tl.cto", "ereport.io.pciex.tl.ur"]
    snapshot, timeout, request = (e for e in found if isinstance(e, Ereport))
    assert snapshot.payload["pcie_ue_status"] == 0x104000
    assert (timeout.severity, timeout.payload["register"], timeout.payload["bit"], timeout.payload["line"]) == (
        "fatal",
        "ECAP_AER+4.l",
        14,
        1,
    )
    assert "masked" not in timeout.payload
    assert (request.payload["masked"], request.severity) == (True, "nonfatal")
    assert timeout.ena == snapshot.ena
    assert timeout.sources == ["log"]


def test_reported_unsupported_request_is_no_residue(plugins: list[Plugin]) -> None:
    text = ERROR.replace("Fatal", "Non-Fatal") + WORDS.replace("00104000/00100000", "00100000/00000000")
    (found,) = bits(plugins, text)
    assert (found.class_, found.first_look, found.residue, found.severity) == ("ereport.io.pciex.tl.ur", False, False, "nonfatal")


def test_registers_as_they_stood_are_a_first_look(plugins: list[Plugin]) -> None:
    (found,) = bits(plugins, "\tUESta:\tDLP- SDES- TLP- UnsupReq+ ACSViol-\n")
    assert (found.first_look, found.residue, found.severity) == (True, True, "info")
    assert found.payload["unaddressed"] is True


def test_same_error_twice_is_two_events(plugins: list[Plugin]) -> None:
    first, second = [e for e in bits(plugins, (ERROR + WORDS) * 2) if e.payload["bit"] == 14]
    assert first.uuid != second.uuid
    assert (first.tick, second.tick) == (0, 1)


def test_kernel_line_and_tracepoint_are_one_event_with_two_sources(plugins: list[Plugin]) -> None:
    found = bits(plugins, ERROR + WORDS + EVENT)
    assert [e.sources for e in found] == [["log", "aer_event"]] * 2


def test_tracepoint_of_another_error_is_its_own_event(plugins: list[Plugin]) -> None:
    found = bits(plugins, ERROR + WORDS + EVENT.replace("Completion Timeout", "Malformed TLP"))
    assert [e.class_.rpartition(".")[2] for e in found] == ["cto", "ur", "mtlp"]


def test_firmware_record_and_the_kernel_reading_of_it_are_one_event(plugins: list[Plugin]) -> None:
    record = "{1}[Hardware Error]:  Error 0, type: recoverable\n{1}[Hardware Error]:   section_type: PCIe error\n"
    record += "{1}[Hardware Error]:   device_id: 0000:c9:02.0\n"
    alone = bits(plugins, record)
    assert [(e.class_, e.payload["register"]) for e in alone] == [("ereport.io.pciex.nonfatal", "log:ghes")]
    both = bits(plugins, record + "pcieport 0000:c9:02.0: AER: aer_status: 0x00200000, aer_mask: 0x00000000\n")
    assert [e.class_ for e in both] == ["ereport.io.pciex.tl.acsv"]


def test_firmware_record_with_registers_is_not_counted_again_by_the_kernel_s_line(plugins: list[Plugin]) -> None:
    record = "{1}[Hardware Error]:  Error 0, type: recoverable\n{1}[Hardware Error]:   section_type: PCIe error\n"
    record += "{1}[Hardware Error]:   device_id: 0000:c9:02.0\n{1}[Hardware Error]:   aer_uncor_status: 0x00200000, aer_uncor_mask: 0x0\n"
    line = "pcieport 0000:c9:02.0: AER: aer_status: 0x00200000, aer_mask: 0x00000000\n"
    assert [e.class_ for e in bits(plugins, record + line)] == ["ereport.io.pciex.tl.acsv"]
    event = "aer_event: 0000:c9:02.0 PCIe Bus Error: severity=Uncorrected, non-fatal, ACS Violation, TLP Header=Not available\n"
    (found,) = bits(plugins, record + line + event)
    assert found.sources == ["log", "aer_event"]
    assert len(bits(plugins, record + line + event.replace("ACS Violation", "Completion Timeout"))) == 2
    assert len(bits(plugins, record + line + line)) == 2  # a record that the kernel did not print again
    assert len(bits(plugins, record + line.replace("c9:02.0", "c9:03.0"))) == 2
    assert len(bits(plugins, record + line.replace("0x00200000", "0x00100000"))) == 2


def test_message_of_a_root_port_is_its_root_error_status(plugins: list[Plugin]) -> None:
    found = bits(plugins, "pcieport 0000:00:1c.0: AER: Multiple Uncorrectable (Fatal) error message received from 0000:04:00.0\n")
    assert [(e.class_.rpartition(".")[2], e.payload["bit"]) for e in found] == [("ue-msg", 2), ("mue-msg", 3), ("fe-msg", 6)]
    assert found[0].payload["source-id"] == 0x400


def test_error_without_status_word_keeps_its_severity(plugins: list[Plugin]) -> None:
    (found,) = bits(plugins, "a 0000:04:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Inaccessible, (Unregistered Agent ID)")
    assert (found.class_, found.severity, found.payload["register"]) == ("ereport.io.pciex.fatal", "fatal", "log:aer")


def test_bit_of_an_unknown_register_is_said_to_be_unknown(plugins: list[Plugin]) -> None:
    (found,) = bits(plugins, "igb 0000:09:00.0:   device [8086:1537] error status/mask=00004000/00000000")
    assert (found.class_, found.payload["value"]) == ("ereport.io.pciex.unknown", 0x4000)
    assert found.is_error


def test_gone_function_is_unread_and_not_32_errors(plugins: list[Plugin]) -> None:
    text = "EEH: of node=0030:0d:00.0\nEEH: PCI device/vendor: ffffffff\nEEH: PCI-E AER 00: ffffffff ffffffff ffffffff ffffffff\n"
    (found,) = bits(plugins, text)
    assert (found.class_, found.payload["reason"], found.is_error) == ("ereport.pcifma.unread", "gone", False)


def test_host_bridge_words_of_64_bits_are_text(plugins: list[Plugin]) -> None:
    text = "PHB4 PHB#48 Diag-data (Version: 1)\nLem:        8000000100000080 0000000000000080 0000000000000080\n"
    found = bits(plugins, text)
    assert [(e.payload["bit"], e.payload.get("masked", False)) for e in found] == [(7, True), (32, False), (63, False)]
    assert found[0].payload["value"] == "8000000100000080"
    assert found[0].device == "0030:00:00.0"


def test_severity_without_any_word_for_it_is_the_one_after_reset(plugins: list[Plugin]) -> None:
    (found,) = bits(plugins, "pcieport 0000:00:1b.0:   device [8086:06ac] error status/mask=00040000/00000000")
    assert (found.severity, found.payload["severity-assumed"]) == ("fatal", True)


def test_fault_of_another_manager_is_a_case(plugins: list[Plugin]) -> None:
    (case,) = [e for e in events(plugins, list_of("fma.log")) if isinstance(e, ListEvent) and e.fault_list]
    assert (case.class_, case.code, case.fault_list[0].certainty) == ("list.suspect", "PCIEX-8000-KP", 67)


def test_doubts_are_in_the_payload(plugins: list[Plugin]) -> None:
    text = ERROR + WORDS + "igb 0000:09:00.0:    [ 4] DLP\n"
    assert all("bit 4" in str(e.payload["doubts"]) for e in bits(plugins, text))


def test_count_of_a_summary_is_kept(plugins: list[Plugin]) -> None:
    (found,) = bits(plugins, "PCIe AER events summary:\n\t28 Corrected errors: Bad TLP\n")
    assert found.count == 28


def list_of(name: str) -> list[AnyReport]:
    return read((DATA / name).read_bytes())


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*.log")))
def test_every_event_of_every_sample_follows_the_schema(plugins: list[Plugin], name: str) -> None:
    schema = json.loads((files("pcifma.event") / "schema.json").read_text())
    found = events(plugins, list_of(name))
    assert found
    for event in found:
        jsonschema.validate(json.loads(encode(event)), schema)
    assert [e.seq for e in found] == list(range(1, len(found) + 1))
    assert len({e.uuid for e in found if isinstance(e, Ereport)}) == sum(isinstance(e, Ereport) for e in found)


RECORD = """\
{1}[Hardware Error]:  Error 0, type: corrected
{1}[Hardware Error]:   section_type: PCIe error
{1}[Hardware Error]:   command: 0x0407, status: 0x4010
{1}[Hardware Error]:   device_id: 0000:60:03.1
{1}[Hardware Error]:   bridge: secondary_status: 0x2000, control: 0x0012
"""


def test_status_in_firmware_s_record_is_as_it_stood(plugins: list[Plugin]) -> None:
    found = {e.class_: e for e in bits(plugins, RECORD)}
    assert found["ereport.io.pci.sec-ma"].residue
    assert not found["ereport.io.pci.sserr"].residue
    assert not found["ereport.io.pciex.correctable"].first_look


def test_line_without_a_bit_adds_nothing_to_firmware_s_record(plugins: list[Plugin]) -> None:
    line = "pcieport 0000:60:03.1: AER: aer_status: 0x00000000, aer_mask: 0x00000000\n"
    assert len(bits(plugins, RECORD + line)) == len(bits(plugins, RECORD))
    (alone,) = bits(plugins, line)
    assert alone.payload["name"] == "error reported without an error bit"
