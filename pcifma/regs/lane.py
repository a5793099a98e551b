"""Registers with a bit for each lane: Secondary PCI Express (PCIe Base Spec 7.7.3) and the Physical Layer capabilities of
16.0, 32.0 and 64.0 GT/s (7.7.5 to 7.7.7). Lanes that a port does not have read as zero. Training and equalization set the bits of
all active lanes on many healthy machines: then they are residue, one lane alone is not.
"""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

_LANES = 32
_RO, _ROS, _RW, _RW1CS = Access.RO, Access.ROS, Access.RW, Access.RW1CS


def _lanes(what: str, ereport: str) -> tuple[Field, ...]:
    # One class for all lanes: the bit of the ereport is the lane.
    key = what.lower().replace(" ", "_")
    return tuple(
        Field(i, i, f"lane_{i}_{key}", f"Lane {i} {what}", ereport=ereport, severity="correctable", residue=True) for i in range(_LANES)
    )


def _equalization(rate: str) -> tuple[Field, ...]:
    key = rate.replace(".", "_").replace(" ", "_").replace("/", "_").lower()
    return (
        Field(0, 0, f"equalization_{key}_complete", f"Equalization {rate} Complete", access=_ROS),
        *(
            Field(i, i, f"equalization_{key}_phase_{i}_successful", f"Equalization {rate} Phase {i} Successful", access=_ROS)
            for i in (1, 2, 3)
        ),
        Field(
            4,
            4,
            f"link_equalization_request_{key}",
            f"Link Equalization Request {rate}",
            ereport="io.pciex.pl.eqreq",
            severity="correctable",
            access=_RW1CS,
        ),
    )


LANE_ERRORS = _lanes("Error", "io.pciex.pl.lane")

SECPCI = Capability(
    id=0x0019,
    kind="extended",
    name="ECAP_SECPCI",
    key="secpci",
    title="Secondary PCI Express",
    section="PCIe 7.7.3",
    registers=(
        Register(
            0x04,
            4,
            "link_control_3",
            "Link Control 3",
            (
                Field(0, 0, "perform_equalization", "Perform Equalization"),
                Field(1, 1, "link_equalization_request_interrupt_enable", "Link Equalization Request Interrupt Enable"),
                Field(15, 9, "enable_lower_skp_os_generation_vector", "Enable Lower SKP OS Generation Vector"),
            ),
            access=_RW,
            section="7.7.3.2",
        ),
        Register(0x08, 4, "lane_error_status", "Lane Error Status", LANE_ERRORS, access=_RW1CS, ack=True, section="7.7.3.3"),
    ),
)

PL16 = Capability(
    id=0x0026,
    kind="extended",
    name="ECAP_16GT",
    key="pl16",
    title="Physical Layer 16.0 GT/s",
    section="PCIe 7.7.5",
    registers=(
        Register(0x04, 4, "16_0_gt_s_capabilities", "16.0 GT/s Capabilities", section="7.7.5.2"),
        Register(0x08, 4, "16_0_gt_s_control", "16.0 GT/s Control", section="7.7.5.3"),
        Register(0x0C, 4, "16_0_gt_s_status", "16.0 GT/s Status", _equalization("16.0 GT/s"), access=_RO, section="7.7.5.4"),
        Register(
            0x10,
            4,
            "16_0_gt_s_local_data_parity_mismatch_status",
            "16.0 GT/s Local Data Parity Mismatch Status",
            _lanes("Local Data Parity Mismatch", "io.pciex.pl.pm"),
            access=_RW1CS,
            ack=True,
            section="7.7.5.5",
        ),
        Register(
            0x14,
            4,
            "16_0_gt_s_first_retimer_data_parity_mismatch_status",
            "16.0 GT/s First Retimer Data Parity Mismatch Status",
            _lanes("First Retimer Data Parity Mismatch", "io.pciex.pl.rt1-pm"),
            access=_RW1CS,
            ack=True,
            section="7.7.5.6",
        ),
        Register(
            0x18,
            4,
            "16_0_gt_s_second_retimer_data_parity_mismatch_status",
            "16.0 GT/s Second Retimer Data Parity Mismatch Status",
            _lanes("Second Retimer Data Parity Mismatch", "io.pciex.pl.rt2-pm"),
            access=_RW1CS,
            ack=True,
            section="7.7.5.7",
        ),
    ),
)

PL32 = Capability(
    id=0x002A,
    kind="extended",
    name="ECAP2a",
    key="pl32",
    title="Physical Layer 32.0 GT/s",
    section="PCIe 7.7.6",
    registers=(
        Register(
            0x04,
            4,
            "32_0_gt_s_capabilities",
            "32.0 GT/s Capabilities",
            (
                Field(0, 0, "equalization_bypass_to_highest_rate_supported", "Equalization Bypass to Highest Rate Supported"),
                Field(1, 1, "no_equalization_needed_supported", "No Equalization Needed Supported"),
                Field(8, 8, "modified_ts_usage_mode_0_supported_pci_express", "Modified TS Usage Mode 0 Supported - PCI Express"),
                Field(
                    9,
                    9,
                    "modified_ts_usage_mode_1_supported_training_set_message",
                    "Modified TS Usage Mode 1 Supported - Training Set Message",
                ),
                Field(
                    10,
                    10,
                    "modified_ts_usage_mode_2_supported_alternate_protocol",
                    "Modified TS Usage Mode 2 Supported - Alternate Protocol",
                ),
            ),
            section="7.7.6.2",
        ),
        Register(
            0x08,
            4,
            "32_0_gt_s_control",
            "32.0 GT/s Control",
            (
                Field(0, 0, "equalization_bypass_to_highest_rate_disable", "Equalization Bypass to Highest Rate Disable"),
                Field(1, 1, "no_equalization_needed_disable", "No Equalization Needed Disable"),
                Field(10, 8, "modified_ts_usage_mode_selected", "Modified TS Usage Mode Selected"),
            ),
            access=_RW,
            section="7.7.6.3",
        ),
        Register(
            0x0C,
            4,
            "32_0_gt_s_status",
            "32.0 GT/s Status",
            (
                *_equalization("32.0 GT/s"),
                Field(5, 5, "modified_ts_received", "Modified TS Received"),
                Field(7, 6, "received_enhanced_link_behavior_control", "Received Enhanced Link Behavior Control"),
                Field(8, 8, "transmitter_precoding_on", "Transmitter Precoding On"),
                Field(9, 9, "transmitter_precode_request", "Transmitter Precode Request"),
                Field(10, 10, "no_equalization_needed_received", "No Equalization Needed Received"),
            ),
            section="7.7.6.4",
        ),
        Register(0x10, 4, "received_modified_ts_data_1", "Received Modified TS Data 1", section="7.7.6.5"),
        Register(0x14, 4, "received_modified_ts_data_2", "Received Modified TS Data 2", section="7.7.6.6"),
        Register(0x18, 4, "transmitted_modified_ts_data_1", "Transmitted Modified TS Data 1", section="7.7.6.7"),
        Register(0x1C, 4, "transmitted_modified_ts_data_2", "Transmitted Modified TS Data 2", section="7.7.6.8"),
    ),
)

PL64 = Capability(
    id=0x0031,
    kind="extended",
    name="ECAP31",
    key="pl64",
    title="Physical Layer 64.0 GT/s",
    section="PCIe 7.7.7",
    registers=(
        Register(0x04, 4, "64_0_gt_s_capabilities", "64.0 GT/s Capabilities", section="7.7.7.2"),
        Register(0x08, 4, "64_0_gt_s_control", "64.0 GT/s Control", section="7.7.7.3"),
        Register(
            0x0C,
            4,
            "64_0_gt_s_status",
            "64.0 GT/s Status",
            (
                *_equalization("64.0 GT/s"),
                Field(5, 5, "transmitter_precoding_on", "Transmitter Precoding On"),
                Field(6, 6, "transmitter_precode_request", "Transmitter Precode Request"),
                Field(7, 7, "no_equalization_needed_received", "No Equalization Needed Received"),
            ),
            section="7.7.7.4",
        ),
    ),
)
