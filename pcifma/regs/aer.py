"""Advanced Error Reporting (PCIe Base Spec 7.8.4), whole, and the secondary side of a PCIe-to-PCI bridge
(PCI Express to PCI/PCI-X Bridge Specification 1.0, 5.2.3).

Status, Mask and Severity of one side share one field table. From 2Ch on Root Ports and Event Collectors have the Root Error
registers, PCIe-to-PCI bridges the secondary ones.
"""

from __future__ import annotations

from pcifma.regs.exp import DevType
from pcifma.regs.table import Access, Capability, Field, Register

_ROOT = frozenset({DevType.ROOT_PORT, DevType.RCEC})
_BRIDGE = frozenset({DevType.PCIE_TO_PCI_BRIDGE})
_NOT_BRIDGE = frozenset(DevType) - _BRIDGE

# The device says the severity itself (Uncorrectable Error Severity). Bit 0 was Training Error in PCIe 1.0a and is undefined since.
UNCORRECTABLE = (
    Field(0, 0, "undefined", "Undefined", ereport="io.pciex.pl.te"),
    Field(4, 4, "data_link_protocol_error", "Data Link Protocol Error", ereport="io.pciex.dl.dllp"),
    Field(5, 5, "surprise_down_error", "Surprise Down Error", ereport="io.pciex.dl.sd"),
    Field(12, 12, "poisoned_tlp_received", "Poisoned TLP Received", ereport="io.pciex.tl.ptlp"),
    Field(13, 13, "flow_control_protocol_error", "Flow Control Protocol Error", ereport="io.pciex.tl.fcp"),
    Field(14, 14, "completion_timeout", "Completion Timeout", ereport="io.pciex.tl.cto"),
    Field(15, 15, "completer_abort", "Completer Abort", ereport="io.pciex.tl.ca"),
    Field(16, 16, "unexpected_completion", "Unexpected Completion", ereport="io.pciex.tl.uc"),
    Field(17, 17, "receiver_overflow", "Receiver Overflow", ereport="io.pciex.tl.rof"),
    Field(18, 18, "malformed_tlp", "Malformed TLP", ereport="io.pciex.tl.mtlp"),
    Field(19, 19, "ecrc_error", "ECRC Error", ereport="io.pciex.tl.ecrc"),
    Field(20, 20, "unsupported_request_error", "Unsupported Request Error", ereport="io.pciex.tl.ur", residue=True),
    Field(21, 21, "acs_violation", "ACS Violation", ereport="io.pciex.tl.acsv"),
    Field(22, 22, "uncorrectable_internal_error", "Uncorrectable Internal Error", ereport="io.pciex.int.ue"),
    Field(23, 23, "mc_blocked_tlp", "MC Blocked TLP", ereport="io.pciex.tl.mcb"),
    Field(24, 24, "atomicop_egress_blocked", "AtomicOp Egress Blocked", ereport="io.pciex.tl.aob"),
    Field(25, 25, "tlp_prefix_blocked_error", "TLP Prefix Blocked Error", ereport="io.pciex.tl.tpb"),
    Field(26, 26, "poisoned_tlp_egress_blocked", "Poisoned TLP Egress Blocked", ereport="io.pciex.tl.peb"),
    Field(27, 27, "dmwr_request_egress_blocked", "DMWr Request Egress Blocked", ereport="io.pciex.tl.dmwb"),
    Field(28, 28, "ide_check_failed", "IDE Check Failed", ereport="io.pciex.ide.chk"),
    Field(29, 29, "misrouted_ide_tlp", "Misrouted IDE TLP", ereport="io.pciex.ide.mis"),
    Field(30, 30, "pcrc_check_failed", "PCRC Check Failed", ereport="io.pciex.tl.pcrc"),
    Field(31, 31, "tlp_translation_egress_blocked", "TLP Translation Egress Blocked", ereport="io.pciex.tl.xlb"),
)

CORRECTABLE = (
    Field(0, 0, "receiver_error", "Receiver Error", ereport="io.pciex.pl.re", severity="correctable"),
    Field(6, 6, "bad_tlp", "Bad TLP", ereport="io.pciex.dl.btlp", severity="correctable"),
    Field(7, 7, "bad_dllp", "Bad DLLP", ereport="io.pciex.dl.bdllp", severity="correctable"),
    Field(8, 8, "replay_num_rollover", "REPLAY_NUM Rollover", ereport="io.pciex.dl.rnr", severity="correctable"),
    Field(12, 12, "replay_timer_timeout", "Replay Timer Timeout", ereport="io.pciex.dl.rto", severity="correctable"),
    Field(
        13, 13, "advisory_non_fatal_error", "Advisory Non-Fatal Error", ereport="io.pciex.a-nonfatal", severity="correctable", residue=True
    ),
    Field(14, 14, "corrected_internal_error", "Corrected Internal Error", ereport="io.pciex.int.ce", severity="correctable"),
    Field(15, 15, "header_log_overflow", "Header Log Overflow", ereport="io.pciex.tl.hlo", severity="correctable"),
)

# Device says the severity (Secondary Uncorrectable Error Severity).
SECONDARY_UNCORRECTABLE = (
    Field(0, 0, "target_abort_on_split_completion", "Target-Abort on Split Completion", ereport="io.pciex.bdg.sec-ta-sc"),
    Field(1, 1, "master_abort_on_split_completion", "Master-Abort on Split Completion", ereport="io.pciex.bdg.sec-ma-sc"),
    Field(2, 2, "received_target_abort", "Received Target-Abort", ereport="io.pciex.bdg.sec-rta"),
    Field(3, 3, "received_master_abort", "Received Master-Abort", ereport="io.pciex.bdg.sec-rma"),
    Field(5, 5, "unexpected_split_completion_error", "Unexpected Split Completion Error", ereport="io.pciex.bdg.usc"),
    Field(
        6,
        6,
        "uncorrectable_split_completion_message_data_error",
        "Uncorrectable Split Completion Message Data Error",
        ereport="io.pciex.bdg.uscmd",
    ),
    Field(7, 7, "uncorrectable_data_error", "Uncorrectable Data Error", ereport="io.pciex.bdg.sec-ude"),
    Field(8, 8, "uncorrectable_attribute_error", "Uncorrectable Attribute Error", ereport="io.pciex.bdg.sec-uat"),
    Field(9, 9, "uncorrectable_address_error", "Uncorrectable Address Error", ereport="io.pciex.bdg.sec-uadr"),
    Field(10, 10, "delayed_transaction_discard_timer_expired", "Delayed Transaction Discard Timer Expired", ereport="io.pciex.bdg.sec-tex"),
    Field(11, 11, "perr_assertion_detected", "PERR# Assertion Detected", ereport="io.pciex.bdg.sec-perr"),
    Field(12, 12, "serr_assertion_detected", "SERR# Assertion Detected", ereport="io.pciex.bdg.sec-serr"),
    Field(13, 13, "internal_bridge_error", "Internal Bridge Error", ereport="io.pciex.bdg.sec-interr"),
)

CONTROL = (
    Field(4, 0, "first_error_pointer", "First Error Pointer", access=Access.ROS),
    Field(5, 5, "ecrc_generation_capable", "ECRC Generation Capable", access=Access.RO),
    Field(6, 6, "ecrc_generation_enable", "ECRC Generation Enable"),
    Field(7, 7, "ecrc_check_capable", "ECRC Check Capable", access=Access.RO),
    Field(8, 8, "ecrc_check_enable", "ECRC Check Enable"),
    Field(9, 9, "multiple_header_recording_capable", "Multiple Header Recording Capable", access=Access.RO),
    Field(10, 10, "multiple_header_recording_enable", "Multiple Header Recording Enable"),
    Field(11, 11, "tlp_prefix_log_present", "TLP Prefix Log Present", access=Access.ROS),
    Field(12, 12, "completion_timeout_prefix_header_log_capable", "Completion Timeout Prefix/Header Log Capable", access=Access.RO),
    Field(17, 13, "header_log_size", "Header Log Size", access=Access.RO),
    Field(18, 18, "logged_tlp_was_flit_mode", "Logged TLP was Flit Mode", access=Access.ROS),
    Field(23, 19, "logged_tlp_size", "Logged TLP Size", access=Access.ROS),
)

ROOT_COMMAND = (
    Field(0, 0, "correctable_error_reporting_enable", "Correctable Error Reporting Enable"),
    Field(1, 1, "non_fatal_error_reporting_enable", "Non-Fatal Error Reporting Enable"),
    Field(2, 2, "fatal_error_reporting_enable", "Fatal Error Reporting Enable"),
)

ROOT_STATUS = (
    Field(0, 0, "err_cor_received", "ERR_COR Received", ereport="io.pciex.rc.ce-msg", severity="correctable"),
    Field(1, 1, "multiple_err_cor_received", "Multiple ERR_COR Received", ereport="io.pciex.rc.mce-msg", severity="correctable"),
    Field(2, 2, "err_fatal_nonfatal_received", "ERR_FATAL/NONFATAL Received", ereport="io.pciex.rc.ue-msg", severity="nonfatal"),
    Field(
        3,
        3,
        "multiple_err_fatal_nonfatal_received",
        "Multiple ERR_FATAL/NONFATAL Received",
        ereport="io.pciex.rc.mue-msg",
        severity="nonfatal",
    ),
    Field(4, 4, "first_uncorrectable_fatal", "First Uncorrectable Fatal", ereport="io.pciex.rc.ffe-msg", severity="fatal"),
    Field(
        5, 5, "non_fatal_error_messages_received", "Non-Fatal Error Messages Received", ereport="io.pciex.rc.nfe-msg", severity="nonfatal"
    ),
    Field(6, 6, "fatal_error_messages_received", "Fatal Error Messages Received", ereport="io.pciex.rc.fe-msg", severity="fatal"),
    Field(8, 7, "err_cor_subclass", "ERR_COR Subclass", access=Access.ROS, names={0: "legacy", 1: "SIG_SFW", 2: "SIG_OS", 3: "extended"}),
    Field(31, 27, "advanced_error_interrupt_message_number", "Advanced Error Interrupt Message Number", access=Access.RO),
)

SOURCE = (
    Field(15, 0, "err_cor_source_identification", "ERR_COR Source Identification"),
    Field(31, 16, "err_fatal_nonfatal_source_identification", "ERR_FATAL/NONFATAL Source Identification"),
)

SECONDARY_CONTROL = (
    Field(4, 0, "secondary_uncorrectable_first_error_pointer", "Secondary Uncorrectable First Error Pointer", access=Access.ROS),
)

AER = Capability(
    id=0x0001,
    kind="extended",
    name="ECAP_AER",
    key="aer",
    title="Advanced Error Reporting",
    section="PCIe 7.8.4",
    registers=(
        Register(
            0x04,
            4,
            "uncorrectable_error_status",
            "Uncorrectable Error Status",
            UNCORRECTABLE,
            access=Access.RW1CS,
            ack=True,
            section="7.8.4.2",
        ),
        Register(0x08, 4, "uncorrectable_error_mask", "Uncorrectable Error Mask", UNCORRECTABLE, access=Access.RWS, section="7.8.4.3"),
        Register(
            0x0C, 4, "uncorrectable_error_severity", "Uncorrectable Error Severity", UNCORRECTABLE, access=Access.RWS, section="7.8.4.4"
        ),
        Register(
            0x10, 4, "correctable_error_status", "Correctable Error Status", CORRECTABLE, access=Access.RW1CS, ack=True, section="7.8.4.5"
        ),
        Register(0x14, 4, "correctable_error_mask", "Correctable Error Mask", CORRECTABLE, access=Access.RWS, section="7.8.4.6"),
        Register(
            0x18,
            4,
            "advanced_error_capabilities_and_control",
            "Advanced Error Capabilities and Control",
            CONTROL,
            access=Access.RWS,
            section="7.8.4.7",
        ),
        *(Register(0x1C + 4 * i, 4, f"header_log_{i}", f"Header Log {i}", access=Access.ROS, section="7.8.4.8") for i in range(4)),
        Register(0x2C, 4, "root_error_command", "Root Error Command", ROOT_COMMAND, access=Access.RW, types=_ROOT, section="7.8.4.9"),
        Register(
            0x30, 4, "root_error_status", "Root Error Status", ROOT_STATUS, access=Access.RW1CS, ack=True, types=_ROOT, section="7.8.4.10"
        ),
        Register(
            0x34,
            4,
            "error_source_identification",
            "Error Source Identification",
            SOURCE,
            access=Access.ROS,
            types=_ROOT,
            section="7.8.4.11",
        ),
        *(
            Register(
                0x38 + 4 * i,
                4,
                f"tlp_prefix_log_{i}",
                f"TLP Prefix Log {i}",
                access=Access.ROS,
                types=_NOT_BRIDGE,
                since=2,
                form="non-flit",
                section="7.8.4.12",
            )
            for i in range(4)
        ),
        *(
            Register(
                0x38 + 4 * (i - 4),
                4,
                f"header_log_{i}",
                f"Header Log {i}",
                access=Access.ROS,
                types=_NOT_BRIDGE,
                since=2,
                form="flit",
                section="7.8.4.8",
            )
            for i in range(4, 14)
        ),
        Register(
            0x2C,
            4,
            "secondary_uncorrectable_error_status",
            "Secondary Uncorrectable Error Status",
            SECONDARY_UNCORRECTABLE,
            access=Access.RW1CS,
            ack=True,
            types=_BRIDGE,
            section="Bridge 5.2.3.1",
        ),
        Register(
            0x30,
            4,
            "secondary_uncorrectable_error_mask",
            "Secondary Uncorrectable Error Mask",
            SECONDARY_UNCORRECTABLE,
            access=Access.RWS,
            types=_BRIDGE,
            section="Bridge 5.2.3.2",
        ),
        Register(
            0x34,
            4,
            "secondary_uncorrectable_error_severity",
            "Secondary Uncorrectable Error Severity",
            SECONDARY_UNCORRECTABLE,
            access=Access.RWS,
            types=_BRIDGE,
            section="Bridge 5.2.3.3",
        ),
        Register(
            0x38,
            4,
            "secondary_error_capabilities_and_control",
            "Secondary Error Capabilities and Control",
            SECONDARY_CONTROL,
            types=_BRIDGE,
            section="Bridge 5.2.3.4",
        ),
        *(
            Register(
                0x3C + 4 * i,
                4,
                f"secondary_header_log_{i}",
                f"Secondary Header Log {i}",
                access=Access.ROS,
                types=_BRIDGE,
                section="Bridge 5.2.3.5",
            )
            for i in range(4)
        ),
    ),
)
