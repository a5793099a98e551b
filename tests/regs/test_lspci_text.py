"""Capabilities beyond AER against the lines that lspci 3.14 prints of them, on real dumps; DPC and ACS against its objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from support.dump import CORPUS, Dumped, needs_corpus, read_dump

from pcifma.regs import dvsec, ht
from pcifma.regs.catalogue import BY_KEY
from pcifma.regs.ide import IDE, selective_offsets
from pcifma.regs.table import Capability
from pcifma.regs.word import decode_word

pytestmark = needs_corpus

LINK = {
    "CFlE": "crc_flood_enable",
    "CST": "crc_start_test",
    "CFE": "crc_force_error",
    "<LkFail": "link_failure",
    "Init": "initialization_complete",
    "EOC": "end_of_chain",
    "TXO": "transmitter_off",
    "IsocEn": "isochronous_flow_control_enable",
    "LSEn": "ldtstop_tristate_enable",
    "ExtCTL": "extended_ctl_time",
    "64b": "64_bit_addressing_enable",
}
LINK_ERROR = {"<Prot": "protocol_error", "<Ovfl": "overflow_error", "<EOC": "end_of_chain_error", "CTLTm": "ctl_timeout"}
SPLIT = {
    "64bit": "64_bit_device",
    "133MHz": "133_mhz_capable",
    "SCD": "split_completion_discarded",
    "USC": "unexpected_split_completion",
    "SCO": "split_completion_overrun",
    "SRD": "split_request_delayed",
    "RSCEM": "received_split_completion_error_message",
}


def equalization(rate: str) -> dict[str, str]:
    return {
        "EquComplete": f"equalization_{rate}_complete",
        **{f"EquPhase{i}": f"equalization_{rate}_phase_{i}_successful" for i in (1, 2, 3)},
        "LinkEquRequest": f"link_equalization_request_{rate}",
    }


# Words of the capability's line, line's key: our register, form, names.
LINES: dict[tuple[str, str], tuple[str, str, dict[str, str]]] = {
    ("HyperTransport: Slave", "Link Control 0"): ("ht.link_control_0", "primary", LINK),
    ("HyperTransport: Slave", "Link Control 1"): ("ht.link_control_1", "primary", LINK),
    ("HyperTransport: Slave", "Link Error 0"): ("ht.link_error_0", "primary", LINK_ERROR),
    ("HyperTransport: Slave", "Link Error 1"): ("ht.link_error_1", "primary", LINK_ERROR),
    ("HyperTransport: Host", "Link Control"): ("ht.link_control", "host", LINK),
    ("HyperTransport: Host", "Link Error"): ("ht.link_error", "host", LINK_ERROR),
    ("HyperTransport: Host", "Command"): (
        "ht.host_command",
        "host",
        {"WarmRst": "warm_reset", "DblEnd": "double_ended", "HostHide": "host_hide", "<EOCErr": "inbound_end_of_chain_error"},
    ),
    ("PCI-X bridge", "Secondary Status"): ("pcix.pci_x_secondary_status", "", SPLIT),
    ("PCI-X bridge", "Status"): ("pcix.pci_x_bridge_status", "", SPLIT),
    ("PCI-X non-bridge", "Status"): ("pcix.pci_x_status", "", SPLIT),
    ("Physical Layer 16.0", "Phy16Sta"): ("pl16.16_0_gt_s_status", "", equalization("16_0_gt_s")),
    ("Physical Layer 32.0", "Phy32Sta"): ("pl32.32_0_gt_s_status", "", equalization("32_0_gt_s")),
    ("Page Request", "PRISta"): (
        "pri.page_request_status",
        "",
        {
            "RF": "response_failure",
            "UPRGI": "unexpected_page_request_group_index",
            "Stopped": "stopped",
            "PASID": "prg_response_pasid_required",
        },
    ),
    ("Data Object", "DOESta"): (
        "doe.doe_status",
        "",
        {"Busy": "doe_busy", "IntSta": "doe_interrupt_status", "Error": "doe_error", "ObjectReady": "data_object_ready"},
    ),
    ("Vendor=1e98 ID=0000", "CXLSta"): ("dvsec.cxl_status", "cxl-device", {"Viral": "viral_status"}),
    ("Vendor=1e98 ID=0000", "CXLSta2"): (
        "dvsec.cxl_status_2",
        "cxl-device",
        {
            "ResetComplete": "cxl_reset_complete",
            "ResetError": "cxl_reset_error",
            "PMComplete": "power_management_initialization_complete",
        },
    ),
    ("Vendor=1e98 ID=0007", "FBSta"): (
        "dvsec.dvsec_flex_bus_port_status",
        "cxl-flex-bus",
        {
            "Cache": "cache_enabled",
            "IO": "io_enabled",
            "Mem": "mem_enabled",
            "SynHdrByp": "cxl_sync_hdr_bypass_enabled",
            "DrftBuf": "drift_buffer_enabled",
            "68BFlit": "68b_flit_and_vh_enabled",
            "MltLogDev": "cxl_multi_logical_device_enabled",
        },
    ),
    ("Express", "SltSta"): (
        "exp.slot_status",
        "",
        {"PowerFlt": "power_fault_detected", "CmdCplt": "command_completed", "Interlock": "electromechanical_interlock_status"},
    ),
}
FLAG = re.compile(r"([<>]?[A-Za-z0-9]+)([+-])(?=\s|,|$)")
HEAD = re.compile(r"((?:[0-9a-f]{4,8}:)[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) ")


def shown(path: Path) -> Iterator[tuple[str, int, str, str, str]]:
    """(address, offset of the capability, its line, key of a line within, that line) of a dump's lspci text."""
    bdf, offset, title = "", 0, ""
    for line in path.read_text().splitlines():
        if head := HEAD.match(line):
            bdf = head[1]
        elif cap := re.match(r"\tCapabilities: \[([0-9a-f]+)(?: v\d+)?\] (.*)", line):
            offset, title = int(cap[1], 16), cap[2]
        elif ":" in line:
            yield bdf, offset, title, line.strip().partition(":")[0], line


@cache
def lines() -> list[tuple[Dumped, int, str, str, str]]:
    found = []
    for path in sorted(CORPUS.glob("*/*.lspci.txt")):
        functions = {f.bdf: f for f in read_dump(path.with_name(path.name.replace(".lspci.txt", ".txt")))}
        found += [(functions[bdf], offset, title, key, line) for bdf, offset, title, key, line in shown(path)]
    return found


def word_at(function: Dumped, offset: int, key: str, form: str = "") -> tuple[Any, int]:
    table, _, name = key.partition(".")
    register = BY_KEY[table].in_form(name, form)
    return register, int.from_bytes(function.read(offset + register.offset, register.width), "little")


@pytest.mark.parametrize(("title", "key"), LINES)
def test_capability_equals_lspci(title: str, key: str) -> None:
    name, form, names = LINES[title, key]
    seen = 0
    for function, offset, shown_title, shown_key, line in lines():
        if title not in shown_title or shown_key != key:
            continue
        register, word = word_at(function, offset, name, form)
        flags = {flag: sign == "+" for flag, sign in FLAG.findall(line) if flag in names}
        ours = {p.field.key for p in decode_word(register, word) if p.field}
        assert {names[f] for f, on in flags.items() if on} == ours & {names[f] for f in flags}, (function.bdf, line)
        seen += 1
    assert seen


def test_forms_equal_lspci() -> None:
    seen = set()
    for function, offset, title, _, _ in lines():
        if "HyperTransport: " in title and "#" not in title:
            kind = title.removeprefix("HyperTransport: ").split()[0]
            form = ht.form(int.from_bytes(function.read(offset + 2, 2), "little"))
            expected = {"Slave": "primary", "Host": "host", "MSI": "msi-mapping", "Retry": "retry"}.get(kind, "other")
            assert form == expected, (function.bdf, title)
            seen.add(form)
        if told := re.search(r"Vendor=([0-9a-f]{4}) ID=([0-9a-f]{4})", title):
            headers = (int.from_bytes(function.read(offset + 4 + 4 * i, 4), "little") for i in (0, 1))
            expected = {0: "cxl-device", 3: "cxl-port", 7: "cxl-flex-bus"}.get(int(told[2], 16), "other")
            assert dvsec.form(*headers) == (expected if told[1] == "1e98" else "other")
            seen.add(expected)
    assert seen >= {"primary", "host", "msi-mapping", "cxl-device", "cxl-flex-bus"}


def dword(function: Dumped, base: int, offset: int) -> int:
    return int.from_bytes(function.read(base + offset, 4), "little")


def test_selective_streams_of_ide_are_where_lspci_shows_them() -> None:
    seen = 0
    for function, offset, title, key, _ in lines():
        if "Integrity" in title and (place := re.match(r"\[([0-9a-f]+)\]SelectiveIDE#\d+ Sta", key)):
            capability = int.from_bytes(function.read(offset + IDE["ide_capability"].offset, 4), "little")
            at = selective_offsets(capability, partial(dword, function, offset))
            assert int(place[1], 16) in [offset + o for o in at]
            seen += 1
    assert seen


@cache
def objects() -> list[tuple[Dumped, dict[str, Any]]]:
    told = json.loads((CORPUS / "fuzz-sample" / "oracle.json").read_text())["dumps"]
    functions = {(name, f.bdf): f for name in told for f in read_dump(CORPUS / "fuzz-sample" / name)}
    return [(functions[name, t["bdf"]], t) for name in told for t in told[name]]


DPC_STATUS = {
    "trigger": "dpc_trigger_status",
    "reason": "dpc_trigger_reason",
    "int": "dpc_interrupt_status",
    "rp_busy": "dpc_rp_busy",
    "trigger_ext": "dpc_trigger_reason_extension",
    "rp_pio_err_ptr": "rp_pio_first_error_pointer",
}


def test_containment_equals_lspci() -> None:
    told = [(f, t["dpc"][0]) for f, t in objects() if t.get("dpc") and "status" in t["dpc"][0]]
    for function, dpc in told:
        status, word = word_at(function, dpc["offset"], "dpc.dpc_status")
        assert {name: status.get(key, word) for name, key in DPC_STATUS.items()} == dpc["status"]
        capability, word = word_at(function, dpc["offset"], "dpc.dpc_capability")
        assert capability.get("dpc_interrupt_message_number", word) == dpc["int_msg_num"]
        assert capability.get("rp_pio_log_size", word) == dpc["rp_pio_log_size"]
        assert capability.get("rp_extensions_for_dpc", word) == dpc["cap_flags"]["RPExt"]
        control, word = word_at(function, dpc["offset"], "dpc.dpc_control")
        assert control.get("dpc_trigger_enable", word) == dpc["trigger_enable"]
        assert control.get("dpc_interrupt_enable", word) == dpc["ctl_flags"]["INT"]
        assert f"{word_at(function, dpc['offset'], 'dpc.dpc_error_source_id')[1]:04x}" == dpc["source"]
    assert len(told) > 40


ACS_NAMES = {
    "SrcValid": "acs_source_validation",
    "TransBlk": "acs_translation_blocking",
    "ReqRedir": "acs_p2p_request_redirect",
    "CmpltRedir": "acs_p2p_completion_redirect",
    "UpstreamFwd": "acs_upstream_forwarding",
    "EgressCtrl": "acs_p2p_egress_control",
    "DirectTrans": "acs_direct_translated_p2p",
}


def test_access_control_equals_lspci() -> None:
    told = [(f, t["acs"][0]) for f, t in objects() if t.get("acs") and "acscap" in t["acs"][0]]
    for function, acs in told:
        for key, shown_flags, suffix in (("acs_capability", acs["acscap"], ""), ("acs_control", acs["acsctl"], "_enable")):
            register, word = word_at(function, acs["offset"], f"acs.{key}")
            assert sorted(n for n, k in ACS_NAMES.items() if register.get(k + suffix, word)) == shown_flags
    assert len(told) > 40


def test_lane_errors_equal_lspci() -> None:
    seen = 0
    capability: Capability = BY_KEY["secpci"]
    for function, told in objects():
        if "lane_err_stat" in told:
            at = next(c["offset"] for c in told["capabilities"] if c["name"] == capability.title)
            register, word = word_at(function, at, "secpci.lane_error_status")
            lanes = [int(p.title.split()[1]) for p in decode_word(register, word & 0xFFFF)]
            assert lanes == [int(lane) for lane in re.findall(r"\d+", told["lane_err_stat"].partition(":")[2])]
            seen += 1
    assert seen > 40
