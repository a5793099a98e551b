"""pcifma's decoding of every real dump against lspci 3.14's text for it, and against a reader of bytes that knows only offsets."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support import bytereader
from support.dump import CORPUS, Dumped, needs_corpus, read_dump

from pcifma.regs import msi
from pcifma.regs.catalogue import BY_KEY, BY_NAME
from pcifma.regs.chain import Chain, walk
from pcifma.regs.dsn import serial
from pcifma.regs.exp import LINK_SPEEDS, DevType
from pcifma.regs.table import Register
from pcifma.regs.word import decode_word

pytestmark = needs_corpus

# lspci's names, by ours.
STATUS = {
    "INTx": "interrupt_status",
    "Cap": "capabilities_list",
    "66MHz": "66_mhz_capable",
    "UDF": "user_definable_features",
    "FastB2B": "fast_back_to_back_transactions_capable",
    "ParErr": "master_data_parity_error",
    ">TAbort": "signaled_target_abort",
    "<TAbort": "received_target_abort",
    "<MAbort": "received_master_abort",
    ">SERR": "signaled_system_error",
    "<SERR": "received_system_error",
    "<PERR": "detected_parity_error",
}
DEVCTL = {
    "CorrErr": "correctable_error_reporting_enable",
    "NonFatalErr": "non_fatal_error_reporting_enable",
    "FatalErr": "fatal_error_reporting_enable",
    "UnsupReq": "unsupported_request_reporting_enable",
}
DEVSTA = {
    "CorrErr": "correctable_error_detected",
    "NonFatalErr": "non_fatal_error_detected",
    "FatalErr": "fatal_error_detected",
    "UnsupReq": "unsupported_request_detected",
    "AuxPwr": "aux_power_detected",
    "TransPend": "transactions_pending",
}
LNKSTA = {
    "TrErr": "undefined",
    "Train": "link_training",
    "SlotClk": "slot_clock_configuration",
    "DLActive": "data_link_layer_link_active",
    "BWMgmt": "link_bandwidth_management_status",
    "ABWMgmt": "link_autonomous_bandwidth_status",
}
SLTSTA = {
    "AttnBtn": "attention_button_pressed",
    "PowerFlt": "power_fault_detected",
    "MRL": "mrl_sensor_state",
    "CmdCplt": "command_completed",
    "PresDet": "presence_detect_state",
    "Interlock": "electromechanical_interlock_status",
}
SLTCHG = {"MRL": "mrl_sensor_changed", "PresDet": "presence_detect_changed", "LinkState": "data_link_layer_state_changed"}
ROOTCTL = {
    "ErrCorrectable": "system_error_on_correctable_error_enable",
    "ErrNon-Fatal": "system_error_on_non_fatal_error_enable",
    "ErrFatal": "system_error_on_fatal_error_enable",
    "PMEIntEna": "pme_interrupt_enable",
    "CRSVisible": "configuration_rrs_software_visibility_enable",
}
UE = {
    "DLP": "data_link_protocol_error",
    "SDES": "surprise_down_error",
    "TLP": "poisoned_tlp_received",
    "FCP": "flow_control_protocol_error",
    "CmpltTO": "completion_timeout",
    "CmpltAbrt": "completer_abort",
    "UnxCmplt": "unexpected_completion",
    "RxOF": "receiver_overflow",
    "MalfTLP": "malformed_tlp",
    "ECRC": "ecrc_error",
    "UnsupReq": "unsupported_request_error",
    "ACSViol": "acs_violation",
    "UncorrIntErr": "uncorrectable_internal_error",
    "BlockedTLP": "mc_blocked_tlp",
    "AtomicOpBlocked": "atomicop_egress_blocked",
    "TLPBlockedErr": "tlp_prefix_blocked_error",
    "PoisonTLPBlocked": "poisoned_tlp_egress_blocked",
    "DMWrReqBlocked": "dmwr_request_egress_blocked",
    "IDECheck": "ide_check_failed",
    "MisIDETLP": "misrouted_ide_tlp",
    "PCRC_CHECK": "pcrc_check_failed",
    "TLPXlatBlocked": "tlp_translation_egress_blocked",
}
CE = {
    "RxErr": "receiver_error",
    "BadTLP": "bad_tlp",
    "BadDLLP": "bad_dllp",
    "Rollover": "replay_num_rollover",
    "Timeout": "replay_timer_timeout",
    "AdvNonFatalErr": "advisory_non_fatal_error",
    "CorrIntErr": "corrected_internal_error",
    "HeaderOF": "header_log_overflow",
}
AERCAP = {
    "ECRCGenCap": "ecrc_generation_capable",
    "ECRCGenEn": "ecrc_generation_enable",
    "ECRCChkCap": "ecrc_check_capable",
    "ECRCChkEn": "ecrc_check_enable",
    "MultHdrRecCap": "multiple_header_recording_capable",
    "MultHdrRecEn": "multiple_header_recording_enable",
    "TLPPfxPres": "tlp_prefix_log_present",
    "HdrLogCap": "completion_timeout_prefix_header_log_capable",
}
ROOTCMD = {
    "CERptEn": "correctable_error_reporting_enable",
    "NFERptEn": "non_fatal_error_reporting_enable",
    "FERptEn": "fatal_error_reporting_enable",
}
AER_ROOTSTA = {
    "CERcvd": "err_cor_received",
    "MultCERcvd": "multiple_err_cor_received",
    "UERcvd": "err_fatal_nonfatal_received",
    "MultUERcvd": "multiple_err_fatal_nonfatal_received",
    "FirstFatal": "first_uncorrectable_fatal",
    "NonFatalMsg": "non_fatal_error_messages_received",
    "FatalMsg": "fatal_error_messages_received",
}

# Path in the oracle's object: our register, the byte reader's name, lspci's names.
FLAGS: dict[tuple[str, ...], tuple[str, str, dict[str, str]]] = {
    ("status",): ("header.status", "status", STATUS),
    ("secondary_status",): ("header.secondary_status", "secondary_status", STATUS),
    ("express", "devctl"): ("exp.device_control", "devctl", DEVCTL),
    ("express", "devsta"): ("exp.device_status", "devsta", DEVSTA),
    ("express", "lnksta"): ("exp.link_status", "lnksta", LNKSTA),
    ("express", "sltsta", "status"): ("exp.slot_status", "sltsta", SLTSTA),
    ("express", "sltsta", "changed"): ("exp.slot_status", "sltsta", SLTCHG),
    ("express", "rootctl"): ("exp.root_control", "rootctl", ROOTCTL),
    ("aer", "uesta"): ("aer.uncorrectable_error_status", "uesta", UE),
    ("aer", "uemsk"): ("aer.uncorrectable_error_mask", "uemsk", UE),
    ("aer", "uesvrt"): ("aer.uncorrectable_error_severity", "uesvrt", UE),
    ("aer", "cesta"): ("aer.correctable_error_status", "cesta", CE),
    ("aer", "cemsk"): ("aer.correctable_error_mask", "cemsk", CE),
    ("aer", "aercap"): ("aer.advanced_error_capabilities_and_control", "aercap", AERCAP),
    ("aer", "rootcmd"): ("aer.root_error_command", "aer_rootcmd", ROOTCMD),
    ("aer", "rootsta"): ("aer.root_error_status", "aer_rootsta", AER_ROOTSTA),
}


class Seen:
    """A Function as pcifma sees it: its chain, and its registers by table key."""

    def __init__(self, function: Dumped) -> None:
        self.data = function.data
        self.chain: Chain = walk(function.read, len(function.data))
        self.layout = function.data[0x0E] & 0x7F
        express = self.offset("CAP_EXP")
        self.dev_type = None if express is None else function.data[express + 2] >> 4

    def offset(self, name: str) -> int | None:
        return 0 if not name else next((c.offset for c in self.chain.capabilities if c.name == name), None)

    def word(self, key: str, form: str = "") -> tuple[Register, int]:
        table, _, name = key.partition(".")
        capability = BY_KEY[table]
        register = capability.in_form(name, form)
        assert register.matches(self.dev_type, self.layout, form), f"{key} is not for this Function"
        base = self.offset(capability.name)
        assert base is not None, f"{key}: pcifma does not find {capability.name}"
        start = base + register.offset
        return register, int.from_bytes(self.data[start : start + register.width], "little")

    def field(self, key: str, form: str = "") -> int:
        register_key, _, name = key.rpartition(".")
        register, word = self.word(register_key, form)
        return register.get(name, word)


def oracles() -> list[Any]:
    sources = ((CORPUS, "oracle.dev.json"), (CORPUS / "fuzz-sample", "oracle.json"))
    return [pytest.param(base, name, id=name) for base, file in sources if CORPUS.is_dir() for name in oracle(base / file)]


@cache
def oracle(path: Path) -> dict[str, list[dict[str, Any]]]:
    dumps: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())["dumps"]
    return dumps


@cache
def pairs(base: Path, name: str) -> list[tuple[Dumped, dict[str, Any]]]:
    file = base / ("oracle.json" if base.name == "fuzz-sample" else "oracle.dev.json")
    functions = {f.bdf: f for f in read_dump(base / name)}
    told = oracle(file)[name]
    assert {t["bdf"] for t in told} == set(functions)
    return [(functions[t["bdf"]], t) for t in told]


def at(told: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = told
    for step in path:
        value = value.get(step) if value else None
        value = value[0] if isinstance(value, list) and value else value
    return value


EACH_DUMP = pytest.mark.parametrize(("base", "name"), oracles())


@EACH_DUMP
def test_flags_equal_lspci_and_the_byte_reader(base: Path, name: str) -> None:
    for function, told in pairs(base, name):
        seen = Seen(function)
        for path, (key, place, names) in FLAGS.items():
            flags = at(told, path)
            if flags is None:
                continue
            register, word = seen.word(key)
            ours = {p.field.key for p in decode_word(register, word) if p.field} & set(names.values())
            where = (function.bdf, key, f"{word:#x}")
            assert ours == {names[n] for n in flags["set"]}, where
            assert word & flags["known_mask"] == flags["value"], where
            assert word == bytereader.word(function.data, place), where


@EACH_DUMP
def test_capability_lists_equal_lspci_and_the_byte_reader(base: Path, name: str) -> None:
    for function, told in pairs(base, name):
        chain = Seen(function).chain
        ours = [(c.extended, c.offset, c.version) for c in chain.capabilities]
        theirs = [(c["extended"], c["offset"], c.get("version", 0)) for c in told["capabilities"] if "chain" not in c["name"]]
        assert ours == legal(theirs), function.bdf
        assert [(c.extended, c.id, c.offset, c.version) for c in chain.capabilities] == bytereader.capabilities(function.data)
        if any("chain" in w for w in told["warnings"]) or ours != theirs:
            assert chain.complaints, function.bdf


# lspci follows standard pointers below 40h and extended ones below 100h; pcifma stops there.
def legal(capabilities: list[tuple[bool, int, int]]) -> list[tuple[bool, int, int]]:
    stop = next((i for i, (extended, offset, _) in enumerate(capabilities) if offset < (0x100 if extended else 0x40)), len(capabilities))
    return capabilities[:stop] + (
        [c for c in capabilities[stop:] if c[0]] if stop < len(capabilities) and not capabilities[stop][0] else []
    )


@EACH_DUMP
def test_header_equals_lspci(base: Path, name: str) -> None:
    for function, told in pairs(base, name):
        seen = Seen(function)
        for theirs, key in (("vendor", "vendor_id"), ("device", "device_id"), ("class", "class_code"), ("revision", "revision_id")):
            if told.get(theirs):
                assert seen.word(f"header.{key}")[1] == int(told[theirs], 16), (function.bdf, key)
        for bus in ("primary", "secondary", "subordinate") if "bus" in told else ():
            assert seen.word(f"header.{bus}_bus_number")[1] == told["bus"][bus], (function.bdf, bus)


@EACH_DUMP
def test_express_numbers_equal_lspci(base: Path, name: str) -> None:
    for function, told in pairs(base, name):
        if "express" not in told:
            continue
        seen, express = Seen(function), told["express"]
        assert seen.field("exp.pci_express_capabilities.capability_version") == express["version"]
        assert seen.field("exp.pci_express_capabilities.interrupt_message_number") == express["int_msg_num"]
        assert seen.field("exp.pci_express_capabilities.flit_mode_supported") == express["flit_mode"]
        if "lnkcap" in express:
            assert seen.field("exp.link_capabilities.maximum_link_width") == express["lnkcap"]["width"]
            assert seen.field("exp.link_capabilities.port_number") == express["lnkcap"]["port"]
            assert speed(seen.field("exp.link_capabilities.max_link_speed")) == express["lnkcap"]["speed"]
        if "width" in express.get("lnksta", {}):
            assert seen.field("exp.link_status.negotiated_link_width") == express["lnksta"]["width"]
            assert speed(seen.field("exp.link_status.current_link_speed")) == express["lnksta"]["speed"]
        if "rootsta" in express:
            assert seen.field("exp.root_status.pme_requester_id") == express["rootsta"]["pme_req_id"]
            assert seen.field("exp.root_status.pme_status") == express["rootsta"]["pme_status"]
            assert seen.field("exp.root_status.pme_pending") == express["rootsta"]["pme_pending"]


# "8.0 GT/s" as lspci writes it: "8GT/s"; a speed without a name is "unknown".
def speed(value: int) -> str:
    return LINK_SPEEDS.get(value, "unknown").replace(".0 ", "").replace(" ", "")


TYPES = {
    "Endpoint": "ENDPOINT",
    "Legacy Endpoint": "LEGACY_ENDPOINT",
    "Root Port": "ROOT_PORT",
    "Upstream Port": "UPSTREAM_PORT",
    "Downstream Port": "DOWNSTREAM_PORT",
    "PCI-Express to PCI/PCI-X Bridge": "PCIE_TO_PCI_BRIDGE",
    "PCI/PCI-X to PCI-Express Bridge": "PCI_TO_PCIE_BRIDGE",
    "Root Complex Integrated Endpoint": "RCIEP",
    "Root Complex Event Collector": "RCEC",
}


@EACH_DUMP
def test_port_types_equal_lspci(base: Path, name: str) -> None:
    for function, told in pairs(base, name):
        if "express" in told:
            assert DevType[TYPES[told["express"]["type"]]] == Seen(function).field("exp.pci_express_capabilities.device_port_type")


@EACH_DUMP
def test_aer_logs_equal_lspci(base: Path, name: str) -> None:
    for function, told in pairs(base, name):
        aer = at(told, ("aer",))
        if not aer or "uesta" not in aer:
            continue
        seen = Seen(function)
        assert seen.field("aer.advanced_error_capabilities_and_control.first_error_pointer") == aer["first_error_pointer"]
        assert [f"{seen.word(f'aer.header_log_{i}')[1]:08x}" for i in range(4)] == aer["header_log"]
        if "err_cor_source" in aer:
            source = "aer.error_source_identification"
            assert f"{seen.field(f'{source}.err_cor_source_identification'):04x}" == aer["err_cor_source"]
            assert f"{seen.field(f'{source}.err_fatal_nonfatal_source_identification'):04x}" == aer["err_uncor_source"]
            assert seen.field("aer.root_error_status.advanced_error_interrupt_message_number") == aer["int_msg_num"]


@EACH_DUMP
def test_interrupts_and_serial_numbers_equal_lspci(base: Path, name: str) -> None:
    for function, told in pairs(base, name):
        seen = Seen(function)
        if "msi" in told:
            check_msi(seen, told["msi"][0])
        if "msix" in told:
            assert seen.field("msix.message_control.msi_x_enable") == told["msix"][0]["enable"]
            assert seen.field("msix.message_control.table_size") + 1 == told["msix"][0]["count"]
            assert seen.field("msix.message_control.function_mask") == told["msix"][0]["masked"]
        if "serial" in told:
            ours = serial(seen.word("dsn.serial_number_lower_dw")[1], seen.word("dsn.serial_number_upper_dw")[1])
            assert ours == told["serial"].replace("-", "")


def check_msi(seen: Seen, told: dict[str, Any]) -> None:
    _, control = seen.word("msi.message_control")
    assert seen.field("msi.message_control.msi_enable") == told["enable"]
    assert 1 << seen.field("msi.message_control.multiple_message_capable") == told["max"]
    assert 1 << seen.field("msi.message_control.multiple_message_enable") == told["count"]
    assert msi.masks_vectors(control) == told["maskable"]
    assert (msi.form(control) == "64-bit") == told["64bit"]


def test_the_oracles_say_enough_to_mean_something() -> None:
    told = [t for base, name in ((p.values[0], p.values[1]) for p in oracles()) for _, t in pairs(base, name)]
    words = sum(at(t, path) is not None for t in told for path in FLAGS)
    assert len(told) > 1000
    assert words > 5000
    assert set(BY_NAME) >= {"", "CAP_EXP", "ECAP_AER", "CAP_MSI", "CAP_MSIX", "ECAP_DSN"}
