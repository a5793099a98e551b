"""The PCI Express Capability (PCIe Base Spec 7.5.3), whole. Registers from 24h on exist since version 2 of the capability."""

from __future__ import annotations

from enum import IntEnum

from pcifma.regs.table import Access, Capability, Field, Register


class DevType(IntEnum):
    """Device/Port Type, bits 7:4 of the PCI Express Capabilities Register (PCIe Base Spec 7.5.3.2)."""

    ENDPOINT = 0x0
    LEGACY_ENDPOINT = 0x1
    ROOT_PORT = 0x4
    UPSTREAM_PORT = 0x5
    DOWNSTREAM_PORT = 0x6
    PCIE_TO_PCI_BRIDGE = 0x7
    PCI_TO_PCIE_BRIDGE = 0x8
    RCIEP = 0x9
    RCEC = 0xA

    @property
    def title(self) -> str:
        """The specification's words."""
        return DEV_TYPE_TITLES[self]


DEV_TYPE_TITLES: dict[int, str] = {
    DevType.ENDPOINT: "PCI Express Endpoint",
    DevType.LEGACY_ENDPOINT: "Legacy PCI Express Endpoint",
    DevType.ROOT_PORT: "Root Port of PCI Express Root Complex",
    DevType.UPSTREAM_PORT: "Upstream Port of PCI Express Switch",
    DevType.DOWNSTREAM_PORT: "Downstream Port of PCI Express Switch",
    DevType.PCIE_TO_PCI_BRIDGE: "PCI Express to PCI/PCI-X Bridge",
    DevType.PCI_TO_PCIE_BRIDGE: "PCI/PCI-X to PCI Express Bridge",
    DevType.RCIEP: "Root Complex Integrated Endpoint",
    DevType.RCEC: "Root Complex Event Collector",
}

_SLOT = frozenset({DevType.ROOT_PORT, DevType.DOWNSTREAM_PORT, DevType.PCI_TO_PCIE_BRIDGE})
_ROOT = frozenset({DevType.ROOT_PORT, DevType.RCEC})
_LINK = frozenset(DevType) - {DevType.RCIEP, DevType.RCEC}

_RO = Access.RO
_RW1C = Access.RW1C

LINK_SPEEDS = {1: "2.5 GT/s", 2: "5.0 GT/s", 3: "8.0 GT/s", 4: "16.0 GT/s", 5: "32.0 GT/s", 6: "64.0 GT/s", 7: "128.0 GT/s"}
_BYTES = {i: f"{128 << i} bytes" for i in range(6)}
_L0S_LATENCY = {0: "< 64 ns", 1: "< 128 ns", 2: "< 256 ns", 3: "< 512 ns", 4: "< 1 us", 5: "< 2 us", 6: "<= 4 us", 7: "> 4 us"}
_L1_LATENCY = {0: "< 1 us", 1: "< 2 us", 2: "< 4 us", 3: "< 8 us", 4: "< 16 us", 5: "< 32 us", 6: "<= 64 us", 7: "> 64 us"}
_ASPM = {0: "none", 1: "L0s", 2: "L1", 3: "L0s and L1"}
_INDICATOR = {1: "on", 2: "blinking", 3: "off"}

CAPABILITIES = (
    Field(3, 0, "capability_version", "Capability Version"),
    Field(7, 4, "device_port_type", "Device/Port Type", names=DEV_TYPE_TITLES),
    Field(8, 8, "slot_implemented", "Slot Implemented"),
    Field(13, 9, "interrupt_message_number", "Interrupt Message Number"),
    Field(14, 14, "undefined", "Undefined"),
    Field(15, 15, "flit_mode_supported", "Flit Mode Supported"),
)

DEVICE_CAPABILITIES = (
    Field(2, 0, "max_payload_size_supported", "Max_Payload_Size Supported", names=_BYTES),
    Field(4, 3, "phantom_functions_supported", "Phantom Functions Supported"),
    Field(5, 5, "extended_tag_field_supported", "Extended Tag Field Supported"),
    Field(8, 6, "endpoint_l0s_acceptable_latency", "Endpoint L0s Acceptable Latency", names=_L0S_LATENCY),
    Field(11, 9, "endpoint_l1_acceptable_latency", "Endpoint L1 Acceptable Latency", names=_L1_LATENCY),
    Field(14, 12, "undefined", "Undefined"),
    Field(15, 15, "role_based_error_reporting", "Role-Based Error Reporting"),
    Field(16, 16, "err_cor_subclass_capable", "ERR_COR Subclass Capable"),
    Field(17, 17, "rx_mps_fixed", "Rx_MPS_Fixed"),
    Field(25, 18, "captured_slot_power_limit_value", "Captured Slot Power Limit Value"),
    Field(27, 26, "captured_slot_power_limit_scale", "Captured Slot Power Limit Scale"),
    Field(28, 28, "function_level_reset_capability", "Function Level Reset Capability"),
    Field(29, 29, "mixed_mps_supported", "Mixed_MPS_Supported"),
    Field(30, 30, "tee_io_supported", "TEE-IO Supported"),
)

DEVICE_CONTROL = (
    Field(0, 0, "correctable_error_reporting_enable", "Correctable Error Reporting Enable"),
    Field(1, 1, "non_fatal_error_reporting_enable", "Non-Fatal Error Reporting Enable"),
    Field(2, 2, "fatal_error_reporting_enable", "Fatal Error Reporting Enable"),
    Field(3, 3, "unsupported_request_reporting_enable", "Unsupported Request Reporting Enable"),
    Field(4, 4, "enable_relaxed_ordering", "Enable Relaxed Ordering"),
    Field(7, 5, "max_payload_size", "Max_Payload_Size", names=_BYTES),
    Field(8, 8, "extended_tag_field_enable", "Extended Tag Field Enable"),
    Field(9, 9, "phantom_functions_enable", "Phantom Functions Enable"),
    Field(10, 10, "aux_power_pm_enable", "Aux Power PM Enable"),
    Field(11, 11, "enable_no_snoop", "Enable No Snoop"),
    Field(14, 12, "max_read_request_size", "Max_Read_Request_Size", names=_BYTES),
    Field(
        15,
        15,
        "bridge_configuration_retry_enable_initiate_function_level_reset",
        "Bridge Configuration Retry Enable / Initiate Function Level Reset",
    ),
)

# Bits 0 to 3 are set whether or not AER masks the error (7.5.3.5); none of them says which error it was.
DEVICE_STATUS = (
    Field(
        0,
        0,
        "correctable_error_detected",
        "Correctable Error Detected",
        ereport="io.pciex.correctable",
        severity="correctable",
        residue=True,
    ),
    Field(1, 1, "non_fatal_error_detected", "Non-Fatal Error Detected", ereport="io.pciex.nonfatal", severity="nonfatal", residue=True),
    Field(2, 2, "fatal_error_detected", "Fatal Error Detected", ereport="io.pciex.fatal", severity="fatal"),
    Field(
        3, 3, "unsupported_request_detected", "Unsupported Request Detected", ereport="io.pciex.tl.ur", severity="nonfatal", residue=True
    ),
    Field(4, 4, "aux_power_detected", "AUX Power Detected", access=_RO),
    Field(5, 5, "transactions_pending", "Transactions Pending", access=_RO),
    Field(6, 6, "emergency_power_reduction_detected", "Emergency Power Reduction Detected", ereport="io.pciex.epr", severity="info"),
)

LINK_CAPABILITIES = (
    Field(3, 0, "max_link_speed", "Max Link Speed", names=LINK_SPEEDS),
    Field(9, 4, "maximum_link_width", "Maximum Link Width"),
    Field(11, 10, "active_state_power_management_support", "Active State Power Management Support", names=_ASPM),
    Field(14, 12, "l0s_exit_latency", "L0s Exit Latency", names=_L0S_LATENCY),
    Field(17, 15, "l1_exit_latency", "L1 Exit Latency", names=_L1_LATENCY),
    Field(18, 18, "clock_power_management", "Clock Power Management"),
    Field(19, 19, "surprise_down_error_reporting_capable", "Surprise Down Error Reporting Capable"),
    Field(20, 20, "data_link_layer_link_active_reporting_capable", "Data Link Layer Link Active Reporting Capable"),
    Field(21, 21, "link_bandwidth_notification_capability", "Link Bandwidth Notification Capability"),
    Field(22, 22, "aspm_optionality_compliance", "ASPM Optionality Compliance"),
    Field(31, 24, "port_number", "Port Number"),
)

LINK_CONTROL = (
    Field(1, 0, "active_state_power_management_control", "Active State Power Management Control", names=_ASPM),
    Field(2, 2, "ptm_propagation_delay_adaptation_interpretation_b", "PTM Propagation Delay Adaptation Interpretation B"),
    Field(3, 3, "read_completion_boundary", "Read Completion Boundary"),
    Field(4, 4, "link_disable", "Link Disable"),
    Field(5, 5, "retrain_link", "Retrain Link"),
    Field(6, 6, "common_clock_configuration", "Common Clock Configuration"),
    Field(7, 7, "extended_synch", "Extended Synch"),
    Field(8, 8, "enable_clock_power_management", "Enable Clock Power Management"),
    Field(9, 9, "hardware_autonomous_width_disable", "Hardware Autonomous Width Disable"),
    Field(10, 10, "link_bandwidth_management_interrupt_enable", "Link Bandwidth Management Interrupt Enable"),
    Field(11, 11, "link_autonomous_bandwidth_interrupt_enable", "Link Autonomous Bandwidth Interrupt Enable"),
    Field(12, 12, "sris_clocking", "SRIS Clocking"),
    Field(13, 13, "flit_mode_disable", "Flit Mode Disable"),
    Field(15, 14, "drs_signaling_control", "DRS Signaling Control"),
)

# Bit 10 was Training Error in PCIe 1.0a. Bits 14 and 15 tell of changes that may well be wanted: no errors by themselves.
LINK_STATUS = (
    Field(3, 0, "current_link_speed", "Current Link Speed", access=_RO, names=LINK_SPEEDS),
    Field(9, 4, "negotiated_link_width", "Negotiated Link Width", access=_RO),
    Field(10, 10, "undefined", "Undefined", access=_RO),
    Field(11, 11, "link_training", "Link Training", access=_RO),
    Field(12, 12, "slot_clock_configuration", "Slot Clock Configuration", access=_RO),
    Field(13, 13, "data_link_layer_link_active", "Data Link Layer Link Active", access=_RO),
    Field(14, 14, "link_bandwidth_management_status", "Link Bandwidth Management Status", access=_RW1C),
    Field(15, 15, "link_autonomous_bandwidth_status", "Link Autonomous Bandwidth Status", access=_RW1C),
)

SLOT_CAPABILITIES = (
    Field(0, 0, "attention_button_present", "Attention Button Present"),
    Field(1, 1, "power_controller_present", "Power Controller Present"),
    Field(2, 2, "mrl_sensor_present", "MRL Sensor Present"),
    Field(3, 3, "attention_indicator_present", "Attention Indicator Present"),
    Field(4, 4, "power_indicator_present", "Power Indicator Present"),
    Field(5, 5, "hot_plug_surprise", "Hot-Plug Surprise"),
    Field(6, 6, "hot_plug_capable", "Hot-Plug Capable"),
    Field(14, 7, "slot_power_limit_value", "Slot Power Limit Value"),
    Field(16, 15, "slot_power_limit_scale", "Slot Power Limit Scale"),
    Field(17, 17, "electromechanical_interlock_present", "Electromechanical Interlock Present"),
    Field(18, 18, "no_command_completed_support", "No Command Completed Support"),
    Field(31, 19, "physical_slot_number", "Physical Slot Number"),
)

SLOT_CONTROL = (
    Field(0, 0, "attention_button_pressed_enable", "Attention Button Pressed Enable"),
    Field(1, 1, "power_fault_detected_enable", "Power Fault Detected Enable"),
    Field(2, 2, "mrl_sensor_changed_enable", "MRL Sensor Changed Enable"),
    Field(3, 3, "presence_detect_changed_enable", "Presence Detect Changed Enable"),
    Field(4, 4, "command_completed_interrupt_enable", "Command Completed Interrupt Enable"),
    Field(5, 5, "hot_plug_interrupt_enable", "Hot-Plug Interrupt Enable"),
    Field(7, 6, "attention_indicator_control", "Attention Indicator Control", names=_INDICATOR),
    Field(9, 8, "power_indicator_control", "Power Indicator Control", names=_INDICATOR),
    Field(10, 10, "power_controller_control", "Power Controller Control"),
    Field(11, 11, "electromechanical_interlock_control", "Electromechanical Interlock Control"),
    Field(12, 12, "data_link_layer_state_changed_enable", "Data Link Layer State Changed Enable"),
    Field(13, 13, "auto_slot_power_limit_disable", "Auto Slot Power Limit Disable"),
    Field(14, 14, "in_band_pd_disable", "In-Band PD Disable"),
)

SLOT_STATUS = (
    Field(0, 0, "attention_button_pressed", "Attention Button Pressed", access=_RW1C),
    Field(1, 1, "power_fault_detected", "Power Fault Detected", ereport="io.pciex.slot.pf", severity="nonfatal", access=_RW1C),
    Field(2, 2, "mrl_sensor_changed", "MRL Sensor Changed", access=_RW1C),
    Field(3, 3, "presence_detect_changed", "Presence Detect Changed", access=_RW1C),
    Field(4, 4, "command_completed", "Command Completed", access=_RW1C),
    Field(5, 5, "mrl_sensor_state", "MRL Sensor State", names={0: "closed", 1: "open"}),
    Field(6, 6, "presence_detect_state", "Presence Detect State", names={0: "empty", 1: "present"}),
    Field(7, 7, "electromechanical_interlock_status", "Electromechanical Interlock Status"),
    Field(8, 8, "data_link_layer_state_changed", "Data Link Layer State Changed", access=_RW1C),
)

ROOT_CONTROL = (
    Field(0, 0, "system_error_on_correctable_error_enable", "System Error on Correctable Error Enable"),
    Field(1, 1, "system_error_on_non_fatal_error_enable", "System Error on Non-Fatal Error Enable"),
    Field(2, 2, "system_error_on_fatal_error_enable", "System Error on Fatal Error Enable"),
    Field(3, 3, "pme_interrupt_enable", "PME Interrupt Enable"),
    Field(4, 4, "configuration_rrs_software_visibility_enable", "Configuration RRS Software Visibility Enable"),
    Field(5, 5, "no_nfm_subtree_below_this_root_port", "No NFM Subtree Below This Root Port"),
)

ROOT_CAPABILITIES = (Field(0, 0, "configuration_rrs_software_visibility", "Configuration RRS Software Visibility"),)

ROOT_STATUS = (
    Field(15, 0, "pme_requester_id", "PME Requester ID"),
    Field(16, 16, "pme_status", "PME Status", access=_RW1C),
    Field(17, 17, "pme_pending", "PME Pending"),
)

DEVICE_CAPABILITIES_2 = (
    Field(3, 0, "completion_timeout_ranges_supported", "Completion Timeout Ranges Supported"),
    Field(4, 4, "completion_timeout_disable_supported", "Completion Timeout Disable Supported"),
    Field(5, 5, "ari_forwarding_supported", "ARI Forwarding Supported"),
    Field(6, 6, "atomicop_routing_supported", "AtomicOp Routing Supported"),
    Field(7, 7, "32_bit_atomicop_completer_supported", "32-bit AtomicOp Completer Supported"),
    Field(8, 8, "64_bit_atomicop_completer_supported", "64-bit AtomicOp Completer Supported"),
    Field(9, 9, "128_bit_cas_completer_supported", "128-bit CAS Completer Supported"),
    Field(10, 10, "no_ro_enabled_pr_pr_passing", "No RO-enabled PR-PR Passing"),
    Field(11, 11, "ltr_mechanism_supported", "LTR Mechanism Supported"),
    Field(13, 12, "tph_completer_supported", "TPH Completer Supported"),
    Field(15, 14, "undefined", "Undefined"),
    Field(16, 16, "10_bit_tag_completer_supported", "10-Bit Tag Completer Supported"),
    Field(17, 17, "10_bit_tag_requester_supported", "10-Bit Tag Requester Supported"),
    Field(19, 18, "obff_supported", "OBFF Supported"),
    Field(20, 20, "extended_fmt_field_supported", "Extended Fmt Field Supported"),
    Field(21, 21, "end_end_tlp_prefix_supported", "End-End TLP Prefix Supported"),
    Field(23, 22, "max_end_end_tlp_prefixes", "Max End-End TLP Prefixes"),
    Field(25, 24, "emergency_power_reduction_supported", "Emergency Power Reduction Supported"),
    Field(26, 26, "emergency_power_reduction_initialization_required", "Emergency Power Reduction Initialization Required"),
    Field(28, 28, "dmwr_completer_supported", "DMWr Completer Supported"),
    Field(30, 29, "dmwr_lengths_supported", "DMWr Lengths Supported"),
    Field(31, 31, "frs_supported", "FRS Supported"),
)

DEVICE_CONTROL_2 = (
    Field(3, 0, "completion_timeout_value", "Completion Timeout Value"),
    Field(4, 4, "completion_timeout_disable", "Completion Timeout Disable"),
    Field(5, 5, "ari_forwarding_enable", "ARI Forwarding Enable"),
    Field(6, 6, "atomicop_requester_enable", "AtomicOp Requester Enable"),
    Field(7, 7, "atomicop_egress_blocking", "AtomicOp Egress Blocking"),
    Field(8, 8, "ido_request_enable", "IDO Request Enable"),
    Field(9, 9, "ido_completion_enable", "IDO Completion Enable"),
    Field(10, 10, "ltr_mechanism_enable", "LTR Mechanism Enable"),
    Field(11, 11, "emergency_power_reduction_request", "Emergency Power Reduction Request"),
    Field(12, 12, "10_bit_tag_requester_enable", "10-Bit Tag Requester Enable"),
    Field(14, 13, "obff_enable", "OBFF Enable"),
    Field(15, 15, "end_end_tlp_prefix_blocking", "End-End TLP Prefix Blocking"),
)

LINK_CAPABILITIES_2 = (
    Field(7, 1, "supported_link_speeds_vector", "Supported Link Speeds Vector"),
    Field(8, 8, "crosslink_supported", "Crosslink Supported"),
    Field(15, 9, "lower_skp_os_generation_supported_speeds_vector", "Lower SKP OS Generation Supported Speeds Vector"),
    Field(22, 16, "lower_skp_os_reception_supported_speeds_vector", "Lower SKP OS Reception Supported Speeds Vector"),
    Field(23, 23, "retimer_presence_detect_supported", "Retimer Presence Detect Supported"),
    Field(24, 24, "two_retimers_presence_detect_supported", "Two Retimers Presence Detect Supported"),
    Field(31, 31, "drs_supported", "DRS Supported"),
)

LINK_CONTROL_2 = (
    Field(3, 0, "target_link_speed", "Target Link Speed", names=LINK_SPEEDS),
    Field(4, 4, "enter_compliance", "Enter Compliance"),
    Field(5, 5, "hardware_autonomous_speed_disable", "Hardware Autonomous Speed Disable"),
    Field(6, 6, "selectable_de_emphasis", "Selectable De-emphasis"),
    Field(9, 7, "transmit_margin", "Transmit Margin"),
    Field(10, 10, "enter_modified_compliance", "Enter Modified Compliance"),
    Field(11, 11, "compliance_sos", "Compliance SOS"),
    Field(15, 12, "compliance_preset_de_emphasis", "Compliance Preset/De-emphasis"),
)

LINK_STATUS_2 = (
    Field(0, 0, "current_de_emphasis_level", "Current De-emphasis Level", access=_RO, names={0: "-6 dB", 1: "-3.5 dB"}),
    Field(1, 1, "equalization_8_0_gt_s_complete", "Equalization 8.0 GT/s Complete", access=Access.ROS),
    Field(2, 2, "equalization_8_0_gt_s_phase_1_successful", "Equalization 8.0 GT/s Phase 1 Successful", access=Access.ROS),
    Field(3, 3, "equalization_8_0_gt_s_phase_2_successful", "Equalization 8.0 GT/s Phase 2 Successful", access=Access.ROS),
    Field(4, 4, "equalization_8_0_gt_s_phase_3_successful", "Equalization 8.0 GT/s Phase 3 Successful", access=Access.ROS),
    Field(
        5,
        5,
        "link_equalization_request_8_0_gt_s",
        "Link Equalization Request 8.0 GT/s",
        ereport="io.pciex.pl.eqreq",
        severity="correctable",
        access=Access.RW1CS,
    ),
    Field(6, 6, "retimer_presence_detected", "Retimer Presence Detected", access=Access.ROS),
    Field(7, 7, "two_retimers_presence_detected", "Two Retimers Presence Detected", access=Access.ROS),
    Field(9, 8, "crosslink_resolution", "Crosslink Resolution", access=_RO),
    Field(10, 10, "flit_mode_status", "Flit Mode Status", access=_RO),
    Field(14, 12, "downstream_component_presence", "Downstream Component Presence", access=_RO),
    Field(15, 15, "drs_message_received", "DRS Message Received", access=_RW1C),
)

SLOT_CAPABILITIES_2 = (Field(0, 0, "in_band_pd_disable_supported", "In-Band PD Disable Supported"),)

_RW = Access.RW

EXP = Capability(
    id=0x10,
    kind="standard",
    name="CAP_EXP",
    key="exp",
    title="PCI Express",
    section="PCIe 7.5.3",
    registers=(
        Register(0x02, 2, "pci_express_capabilities", "PCI Express Capabilities", CAPABILITIES, section="7.5.3.2"),
        Register(0x04, 4, "device_capabilities", "Device Capabilities", DEVICE_CAPABILITIES, section="7.5.3.3"),
        Register(0x08, 2, "device_control", "Device Control", DEVICE_CONTROL, access=_RW, section="7.5.3.4"),
        Register(0x0A, 2, "device_status", "Device Status", DEVICE_STATUS, access=_RW1C, ack=True, section="7.5.3.5"),
        Register(0x0C, 4, "link_capabilities", "Link Capabilities", LINK_CAPABILITIES, types=_LINK, section="7.5.3.6"),
        Register(0x10, 2, "link_control", "Link Control", LINK_CONTROL, access=_RW, types=_LINK, section="7.5.3.7"),
        Register(0x12, 2, "link_status", "Link Status", LINK_STATUS, access=_RO, types=_LINK, section="7.5.3.8"),
        Register(
            0x14, 4, "slot_capabilities", "Slot Capabilities", SLOT_CAPABILITIES, access=Access.HWINIT, types=_SLOT, section="7.5.3.9"
        ),
        Register(0x18, 2, "slot_control", "Slot Control", SLOT_CONTROL, access=_RW, types=_SLOT, section="7.5.3.10"),
        Register(0x1A, 2, "slot_status", "Slot Status", SLOT_STATUS, access=_RO, types=_SLOT, section="7.5.3.11"),
        Register(0x1C, 2, "root_control", "Root Control", ROOT_CONTROL, access=_RW, types=_ROOT, section="7.5.3.12"),
        Register(0x1E, 2, "root_capabilities", "Root Capabilities", ROOT_CAPABILITIES, types=_ROOT, section="7.5.3.13"),
        Register(0x20, 4, "root_status", "Root Status", ROOT_STATUS, access=_RO, types=_ROOT, section="7.5.3.14"),
        Register(0x24, 4, "device_capabilities_2", "Device Capabilities 2", DEVICE_CAPABILITIES_2, since=2, section="7.5.3.15"),
        Register(0x28, 2, "device_control_2", "Device Control 2", DEVICE_CONTROL_2, access=_RW, since=2, section="7.5.3.16"),
        Register(0x2A, 2, "device_status_2", "Device Status 2", since=2, section="7.5.3.17"),
        Register(0x2C, 4, "link_capabilities_2", "Link Capabilities 2", LINK_CAPABILITIES_2, types=_LINK, since=2, section="7.5.3.18"),
        Register(0x30, 2, "link_control_2", "Link Control 2", LINK_CONTROL_2, access=Access.RWS, types=_LINK, since=2, section="7.5.3.19"),
        Register(0x32, 2, "link_status_2", "Link Status 2", LINK_STATUS_2, access=_RO, types=_LINK, since=2, section="7.5.3.20"),
        Register(0x34, 4, "slot_capabilities_2", "Slot Capabilities 2", SLOT_CAPABILITIES_2, types=_SLOT, since=2, section="7.5.3.21"),
        Register(0x38, 2, "slot_control_2", "Slot Control 2", access=_RW, types=_SLOT, since=2, section="7.5.3.22"),
        Register(0x3A, 2, "slot_status_2", "Slot Status 2", types=_SLOT, since=2, section="7.5.3.23"),
    ),
)
