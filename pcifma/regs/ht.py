"""HyperTransport (I/O Link Specification 3.10, chapter 7). The Command register says which kind of block a capability is: its form.

Link Control and Link Error hold the error bits of each link. None of them is ever written: a link's owner retrains by them. A link
that is not used (End of Chain and Transmitter Off) may show Link Failure on a healthy machine.
"""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

_RO, _RW, _RW1CS = Access.RO, Access.RW, Access.RW1CS

# Command 15:13 or 15:11: form.
_PRIMARY, _HOST = 0x0, 0x1
_FORMS = {0x08: "switch", 0x15: "msi-mapping", 0x18: "retry"}

COMMAND_PRIMARY = (
    Field(4, 0, "base_unitid", "Base UnitID"),
    Field(9, 5, "unit_count", "Unit Count", access=_RO),
    Field(10, 10, "master_host", "Master Host", access=_RO),
    Field(11, 11, "default_direction", "Default Direction"),
    Field(12, 12, "drop_on_uninitialized_link", "Drop on Uninitialized Link"),
    Field(15, 13, "capability_type", "Capability Type", access=_RO),
)

COMMAND_HOST = (
    Field(0, 0, "warm_reset", "Warm Reset"),
    Field(1, 1, "double_ended", "Double-Ended", access=_RO),
    Field(6, 2, "device_number", "Device Number"),
    Field(7, 7, "chain_side", "Chain Side", access=_RO),
    Field(8, 8, "host_hide", "Host Hide"),
    Field(10, 10, "act_as_slave", "Act as Slave"),
    Field(
        11, 11, "inbound_end_of_chain_error", "Inbound End of Chain Error", ereport="io.ht.ieoc", severity="nonfatal", access=Access.RW1C
    ),
    Field(12, 12, "drop_on_uninitialized_link", "Drop on Uninitialized Link"),
    Field(15, 13, "capability_type", "Capability Type", access=_RO),
)

COMMAND_SWITCH = (
    Field(7, 7, "vib_error", "VIB Error", ereport="io.ht.vib", severity="nonfatal", access=_RW1CS),
    Field(8, 8, "vib_flood_enable", "VIB Flood Enable"),
    Field(9, 9, "vib_fatal_enable", "VIB Fatal Enable"),
    Field(10, 10, "vib_nonfatal_enable", "VIB Nonfatal Enable"),
    Field(15, 11, "capability_type", "Capability Type", access=_RO),
)

COMMAND_MSI = (
    Field(0, 0, "enable", "Enable"),
    Field(1, 1, "fixed", "Fixed", access=_RO),
    Field(15, 11, "capability_type", "Capability Type", access=_RO),
)

# Without retry a CRC error is data lost; each bit stands for eight lanes.
LINK_CONTROL = (
    Field(1, 1, "crc_flood_enable", "CRC Flood Enable"),
    Field(2, 2, "crc_start_test", "CRC Start Test"),
    Field(3, 3, "crc_force_error", "CRC Force Error"),
    Field(4, 4, "link_failure", "Link Failure", ereport="io.ht.lf", severity="fatal", access=_RW1CS),
    Field(5, 5, "initialization_complete", "Initialization Complete", access=_RO),
    Field(6, 6, "end_of_chain", "End of Chain"),
    Field(7, 7, "transmitter_off", "Transmitter Off"),
    *(
        Field(8 + i, 8 + i, f"crc_error_byte_{i}", f"CRC Error Byte {i}", ereport="io.ht.crc", severity="nonfatal", access=_RW1CS)
        for i in range(4)
    ),
    Field(12, 12, "isochronous_flow_control_enable", "Isochronous Flow Control Enable"),
    Field(13, 13, "ldtstop_tristate_enable", "LDTSTOP# Tristate Enable"),
    Field(14, 14, "extended_ctl_time", "Extended CTL Time"),
    Field(15, 15, "64_bit_addressing_enable", "64-bit Addressing Enable"),
)

LINK_ERROR = (
    Field(3, 0, "link_frequency", "Link Frequency", access=_RW),
    Field(4, 4, "protocol_error", "Protocol Error", ereport="io.ht.prot", severity="nonfatal"),
    Field(5, 5, "overflow_error", "Overflow Error", ereport="io.ht.ov", severity="nonfatal"),
    Field(6, 6, "end_of_chain_error", "End of Chain Error", ereport="io.ht.eoc", severity="nonfatal"),
    Field(7, 7, "ctl_timeout", "CTL Timeout", ereport="io.ht.ctlt", severity="nonfatal"),
)

ERROR_HANDLING = (
    Field(0, 0, "protocol_error_flood_enable", "Protocol Error Flood Enable"),
    Field(1, 1, "overflow_error_flood_enable", "Overflow Error Flood Enable"),
    Field(2, 2, "protocol_error_fatal_enable", "Protocol Error Fatal Enable"),
    Field(3, 3, "overflow_error_fatal_enable", "Overflow Error Fatal Enable"),
    Field(4, 4, "end_of_chain_error_fatal_enable", "End of Chain Error Fatal Enable"),
    Field(5, 5, "response_error_fatal_enable", "Response Error Fatal Enable"),
    Field(6, 6, "crc_error_fatal_enable", "CRC Error Fatal Enable"),
    Field(7, 7, "system_error_fatal_enable", "System Error Fatal Enable"),
    Field(8, 8, "chain_fail", "Chain Fail", ereport="io.ht.cf", severity="fatal", access=_RO),
    Field(9, 9, "response_error", "Response Error", ereport="io.ht.resp", severity="nonfatal", access=_RW1CS),
    Field(10, 10, "protocol_error_nonfatal_enable", "Protocol Error Nonfatal Enable"),
    Field(11, 11, "overflow_error_nonfatal_enable", "Overflow Error Nonfatal Enable"),
    Field(12, 12, "end_of_chain_error_nonfatal_enable", "End of Chain Error Nonfatal Enable"),
    Field(13, 13, "response_error_nonfatal_enable", "Response Error Nonfatal Enable"),
    Field(14, 14, "crc_error_nonfatal_enable", "CRC Error Nonfatal Enable"),
    Field(15, 15, "system_error_nonfatal_enable", "System Error Nonfatal Enable"),
)

RETRY_STATUS = (
    Field(0, 0, "retry_sent", "Retry Sent", ereport="io.ht.retry", severity="correctable"),
    Field(1, 1, "count_rollover", "Count Rollover", ereport="io.ht.roll", severity="correctable"),
    Field(2, 2, "stomp_received", "Stomp Received", ereport="io.ht.stomp", severity="correctable"),
)

HT = Capability(
    id=0x08,
    kind="standard",
    name="CAP_HT",
    key="ht",
    title="HyperTransport",
    section="HT 3.10, chapter 7",
    registers=(
        Register(0x02, 2, "slave_command", "Slave Command", COMMAND_PRIMARY, access=_RW, form="primary", section="HT 3.10, chapter 7"),
        Register(0x04, 2, "link_control_0", "Link Control 0", LINK_CONTROL, access=_RW, form="primary", section="HT 3.10, chapter 7"),
        Register(0x06, 2, "link_configuration_0", "Link Configuration 0", access=_RW, form="primary", section="HT 3.10, chapter 7"),
        Register(0x08, 2, "link_control_1", "Link Control 1", LINK_CONTROL, access=_RW, form="primary", section="HT 3.10, chapter 7"),
        Register(0x0A, 2, "link_configuration_1", "Link Configuration 1", access=_RW, form="primary", section="HT 3.10, chapter 7"),
        Register(0x0C, 1, "revision_id", "Revision ID", form="primary", section="HT 3.10, chapter 7"),
        Register(0x0D, 1, "link_error_0", "Link Error 0", LINK_ERROR, access=_RW1CS, form="primary", section="HT 3.10, chapter 7"),
        Register(0x0E, 2, "link_frequency_capability_0", "Link Frequency Capability 0", form="primary", section="HT 3.10, chapter 7"),
        Register(0x10, 1, "feature", "Feature", form="primary", section="HT 3.10, chapter 7"),
        Register(0x11, 1, "link_error_1", "Link Error 1", LINK_ERROR, access=_RW1CS, form="primary", section="HT 3.10, chapter 7"),
        Register(0x12, 2, "link_frequency_capability_1", "Link Frequency Capability 1", form="primary", section="HT 3.10, chapter 7"),
        Register(0x16, 2, "error_handling", "Error Handling", ERROR_HANDLING, access=_RW, form="primary", section="HT 3.10, chapter 7"),
        Register(0x02, 2, "host_command", "Host Command", COMMAND_HOST, access=_RW, form="host", section="HT 3.10, chapter 7"),
        Register(0x04, 2, "link_control", "Link Control", LINK_CONTROL, access=_RW, form="host", section="HT 3.10, chapter 7"),
        Register(0x06, 2, "link_configuration", "Link Configuration", access=_RW, form="host", section="HT 3.10, chapter 7"),
        Register(0x08, 1, "revision_id", "Revision ID", form="host", section="HT 3.10, chapter 7"),
        Register(0x09, 1, "link_error", "Link Error", LINK_ERROR, access=_RW1CS, form="host", section="HT 3.10, chapter 7"),
        Register(0x0A, 2, "link_frequency_capability", "Link Frequency Capability", form="host", section="HT 3.10, chapter 7"),
        Register(0x0C, 2, "feature", "Feature", form="host", section="HT 3.10, chapter 7"),
        Register(0x12, 2, "error_handling", "Error Handling", ERROR_HANDLING, access=_RW, form="host", section="HT 3.10, chapter 7"),
        Register(0x02, 2, "switch_command", "Switch Command", COMMAND_SWITCH, access=_RW, form="switch", section="HT 3.10, chapter 7"),
        Register(
            0x02, 2, "msi_mapping_command", "MSI Mapping Command", COMMAND_MSI, access=_RW, form="msi-mapping", section="HT 3.10, chapter 7"
        ),
        Register(
            0x04, 4, "msi_mapping_address_lower", "MSI Mapping Address Lower", access=_RW, form="msi-mapping", section="HT 3.10, chapter 7"
        ),
        Register(
            0x08, 4, "msi_mapping_address_upper", "MSI Mapping Address Upper", access=_RW, form="msi-mapping", section="HT 3.10, chapter 7"
        ),
        Register(0x05, 1, "retry_status_0", "Retry Status 0", RETRY_STATUS, access=_RW1CS, form="retry", section="HT 3.10, chapter 7"),
        Register(0x07, 1, "retry_status_1", "Retry Status 1", RETRY_STATUS, access=_RW1CS, form="retry", section="HT 3.10, chapter 7"),
        Register(0x08, 2, "retry_count_0", "Retry Count 0", access=_RW, form="retry", section="HT 3.10, chapter 7"),
        Register(0x0A, 2, "retry_count_1", "Retry Count 1", access=_RW, form="retry", section="HT 3.10, chapter 7"),
    ),
)


def form(command: int) -> str:
    """The form of a capability with that Command register; `other` for kinds without error bits."""
    if command >> 13 in (_PRIMARY, _HOST):
        return "host" if command >> 13 else "primary"
    return _FORMS.get(command >> 11, "other")
