"""Every real log of the corpus says what its expect.json says. The corpus is not part of the project; where it is absent these skip."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pcifma.access.kernlog.name import bit_of
from pcifma.access.kernlog.reader import reports
from pcifma.access.kernlog.report import (
    AerError,
    AerEvent,
    AerMessage,
    AnyReport,
    BriefError,
    CperSection,
    DpcEvent,
    EehDevice,
    FmaFault,
    GhesRecord,
    PhbDiag,
    RasLine,
    RegisterText,
)
from pcifma.regs.table import Location

LOGS = Path(__file__).parents[3] / "shared/corpus/logs"
NAMES = sorted(path.name.removesuffix(".expect.json") for path in LOGS.glob("*.expect.json"))
Record = dict[str, Any]

TITLES = {"correctable": "Correctable Error Status", "uncorrectable": "Uncorrectable Error Status"}


def number(text: str | None) -> int | None:
    return None if text is None else int(text, 16)


def address(bdf: object) -> str | None:
    return None if bdf is None else str(bdf)


def ids(report: AerError) -> str | None:
    return None if report.vendor is None else f"{report.vendor:04x}:{report.device:04x}"


def message(want: Record, got: AnyReport) -> None:
    assert isinstance(got, AerMessage)
    assert (str(got.port), address(got.source), got.severity, got.multiple) == (
        want["root_port"],
        want["source"],
        want["severity"],
        want["multiple"],
    )
    assert got.source_id == number(want["source_id"])


def error(want: Record, got: AnyReport) -> None:
    assert isinstance(got, AerError)
    assert (str(got.bdf), got.driver) == (want["bdf"], want["driver"])
    assert got.severity == want.get("severity")
    assert (got.layer, got.agent) == (want.get("layer"), want.get("agent"))
    assert [(p.bit, p.text, p.first) for p in got.printed] == [(p["bit"], p["text"], p["first"]) for p in want["printed"]]
    assert got.status == number(want.get("status"))
    assert got.mask == number(want.get("mask"))
    assert ids(got) == want.get("vendor_device")
    assert got.first_error == want.get("first_error_bit")
    assert list(got.header) == [int(w, 16) for w in want.get("tlp_header", {}).get("dwords", [])]
    assert got.uncorrectable_severity == number(want.get("uncor_severity"))
    if want.get("status") is not None:
        assert (TITLES[got.side] if got.side else None) == want["register"]


def old_error(want: Record, got: AnyReport) -> None:
    assert isinstance(got, AerError)
    assert (str(got.bdf), got.severity, got.layer, got.agent) == (want["bdf"], want["severity"], want["layer"], want["agent"])
    assert (got.agent_id, got.multiple, got.status) == (number(want["id"]), want["multiple"], None)
    assert [p.text for p in got.printed] == want["error_names_printed"]
    assert [p.bit for p in got.printed] == want["bits_set"]


def event(want: Record, got: AnyReport) -> None:
    assert isinstance(got, AerEvent)
    assert (str(got.bdf), got.protocol, got.severity, list(got.names)) == (
        want["bdf"],
        want["protocol"],
        want["severity"],
        want["names_printed"],
    )
    assert bool(got.header) == (want["tlp_header"] is not None)


def dpc(want: Record, got: AnyReport) -> None:
    assert isinstance(got, DpcEvent)
    assert (str(got.bdf), got.status, got.source_id) == (want["bdf"], number(want["status"]), number(want["source_id"]))
    assert address(got.source) == want.get("source")
    assert got.reason == (want["printed_reason"] or "").removesuffix(" detected") or got.reason is None
    for name in ("status", "mask", "severity", "syserror", "exception"):
        assert getattr(got, f"rp_pio_{name}") == number(want.get(f"rp_pio_{name}"))
    assert list(got.header) == [int(w, 16) for w in want.get("tlp_header", {}).get("dwords", [])]


def section(want: Record, got: CperSection) -> None:
    assert (got.index, got.severity, got.section_type) == (want["index"], want["severity"], want["section_type"])
    assert (address(got.bdf), got.class_code, got.port_type_text) == (want.get("bdf"), want.get("class_code"), want.get("port_type_text"))
    assert (got.command, got.status) == (number(want.get("command")), number(want.get("pci_status")))
    assert (got.vendor, got.device) == (number(want.get("vendor_id")), number(want.get("device_id")))
    assert got.secondary_status == number(want.get("bridge_secondary_status"))
    assert got.words == {name: int(word, 16) for name, word in want.items() if name.startswith("aer_")}
    assert list(got.header) == [int(w, 16) for w in want.get("tlp_header", {}).get("dwords", [])]


def ghes(want: Record, got: AnyReport) -> None:
    assert isinstance(got, GhesRecord)
    assert got.severity == want.get("event_severity")
    assert len(got.sections) == len(want["sections"])
    for one, other in zip(want["sections"], got.sections, strict=True):
        section(one, other)


def eeh(want: Record, got: AnyReport) -> None:
    assert isinstance(got, EehDevice)
    assert str(got.bdf) == want["bdf"]
    assert got.identity == int(want["device"] + want["vendor"], 16)
    assert got.command_status == number(want["pci_status"][2:] + want["command"][2:])
    assert list(got.express) == [int(w, 16) for w in want["pcie_words"]]
    assert list(got.aer) == [int(w, 16) for w in want["aer_words"]]
    assert got.gone == want.get("device_gone", False)


def phb(want: Record, got: AnyReport) -> None:
    assert isinstance(got, PhbDiag)
    assert (got.kind, got.number) == (want["phb"], want["phb_number"])
    rows = {name: tuple(int(w, 16) for w in words) for name, words in want.items() if isinstance(words, list)}
    assert got.values == rows


# oracle.py's registers of an AER capability, as setpci names them.
_AER = {"uesta": "4.l", "uemsk": "8.l", "uesvrt": "c.l", "cesta": "10.l", "cemsk": "14.l", "rootcmd": "2c.l", "rootsta": "30.l"}


def registers(want: Record) -> Iterator[tuple[str, Record]]:
    for name, register in (("status", "6.w"), ("secondary_status", "1e.w")):
        if name in want:
            yield register, want[name]
    express = want.get("express") or {}
    for name, register in (("devctl", "8.w"), ("devsta", "a.w"), ("rootctl", "1c.w")):
        if name in express:
            yield f"CAP_EXP+{register}", express[name]
    for capability in want.get("aer", [])[:1]:
        yield from ((f"ECAP_AER+{register}", capability[name]) for name, register in _AER.items() if name in capability)


def text(want: Record, got: AnyReport) -> None:
    assert isinstance(got, RegisterText)
    assert address(got.bdf) == want.get("bdf")
    for register, value in registers(want):
        assert str(Location.parse(register)) == register
        assert got.words[register] & value["known_mask"] == value["value"], register
        assert got.known[register] & value["known_mask"] == value["known_mask"], register
    for capability in want.get("aer", [])[:1]:
        if "first_error_pointer" in capability:
            assert got.words["ECAP_AER+18.l"] & 0x1F == capability["first_error_pointer"]
        assert list(got.header) == [int(w, 16) for w in capability.get("header_log", [])]


def pciconf(want: Record, got: AnyReport) -> None:
    assert isinstance(got, RegisterText)
    assert got.counts == want["counts"]
    assert got.words["ECAP_AER+10.l"] == number(want["cor"]["status"])
    assert got.words["CAP_EXP+a.w"] == sum({"CorrErr": 1, "UnsupReq": 8}[name] for name in want["devsta_set"])


def fault(want: Record, got: AnyReport) -> None:
    assert isinstance(got, FmaFault)
    assert (got.code, got.uuid, got.severity) == (want["msg_id"], want["uuid"], want["severity_fma"])
    assert list(got.classes) == [(c["class"], c.get("certainty_max", c.get("certainty"))) for c in want["fault_classes"]]
    assert (list(got.affects), got.state) == (want["affects"], want["affected_state"])


def esxi(want: Record, got: AnyReport) -> None:
    assert isinstance(got, BriefError)


def ras(want: Record, got: AnyReport) -> None:
    assert isinstance(got, RasLine)


CHECKS: dict[str, Callable[[Record, AnyReport], None]] = {
    "aer_irq": message,
    "aer_error": error,
    "apei_aer": error,
    "aer_error_old": old_error,
    "trace_aer_event": event,
    "dpc": dpc,
    "ghes": ghes,
    "eeh_device": eeh,
    "phb_diag": phb,
    "lspci_device": text,
    "lspci_fragment": text,
    "pciconf_device": pciconf,
    "fma_fault": fault,
    "esxi_apei": esxi,
    "ras_summary": ras,
}


@pytest.mark.skipif(not NAMES, reason=f"the corpus of real logs is not at {LOGS}")
@pytest.mark.parametrize("name", NAMES or ["absent"])
def test_real_log_says_what_it_is_known_to_say(name: str) -> None:
    expected = json.loads((LOGS / f"{name}.expect.json").read_text())
    with (LOGS / f"{name}.txt").open("rb") as log:
        got = list(reports(log))
    assert len(got) == len(expected["records"]), got
    for want, report in zip(expected["records"], got, strict=True):
        CHECKS[want["type"]](want, report)


@pytest.mark.skipif(not NAMES, reason=f"the corpus of real logs is not at {LOGS}")
@pytest.mark.parametrize("name", NAMES or ["absent"])
def test_real_log_doubts_only_what_contradicts_itself(name: str) -> None:
    expected = json.loads((LOGS / f"{name}.expect.json").read_text())
    with (LOGS / f"{name}.txt").open("rb") as log:
        doubts = [doubt for report in reports(log) for doubt in report.doubts]
    assert not doubts or expected["inconsistencies"]


def test_names_of_the_oracle_are_known() -> None:
    assert bit_of("AdvNonFatalErr", "correctable") == 13
    assert bit_of("TLPXlatBlocked", "uncorrectable") == 31
