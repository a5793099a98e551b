"""PCI-X (PCI-X Protocol Addendum 2.0, chapters 7 and 8): Functions have one layout, bridges another with both sides of their own."""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

_FUNCTION = frozenset({0})
_BRIDGE = frozenset({1})
_RO = Access.RO

COMMAND = (
    Field(0, 0, "uncorrectable_data_error_recovery_enable", "Uncorrectable Data Error Recovery Enable"),
    Field(1, 1, "enable_relaxed_ordering", "Enable Relaxed Ordering"),
    Field(3, 2, "maximum_memory_read_byte_count", "Maximum Memory Read Byte Count"),
    Field(6, 4, "maximum_outstanding_split_transactions", "Maximum Outstanding Split Transactions"),
    Field(13, 12, "pci_x_capabilities_list_item_version", "PCI-X Capabilities List Item Version", access=_RO),
)

_WHO = (
    Field(2, 0, "function_number", "Function Number", access=_RO),
    Field(7, 3, "device_number", "Device Number", access=_RO),
    Field(15, 8, "bus_number", "Bus Number", access=_RO),
    Field(16, 16, "64_bit_device", "64-bit Device", access=_RO),
    Field(17, 17, "133_mhz_capable", "133 MHz Capable", access=_RO),
    Field(18, 18, "split_completion_discarded", "Split Completion Discarded", ereport="io.pcix.spl-dis", severity="nonfatal"),
    Field(19, 19, "unexpected_split_completion", "Unexpected Split Completion", ereport="io.pcix.unex-spl", severity="nonfatal"),
)

STATUS = (
    *_WHO,
    Field(20, 20, "device_complexity", "Device Complexity", access=_RO),
    Field(22, 21, "designed_maximum_memory_read_byte_count", "Designed Maximum Memory Read Byte Count", access=_RO),
    Field(25, 23, "designed_maximum_outstanding_split_transactions", "Designed Maximum Outstanding Split Transactions", access=_RO),
    Field(28, 26, "designed_maximum_cumulative_read_size", "Designed Maximum Cumulative Read Size", access=_RO),
    Field(
        29,
        29,
        "received_split_completion_error_message",
        "Received Split Completion Error Message",
        ereport="io.pcix.rx-spl",
        severity="nonfatal",
    ),
    Field(30, 30, "pci_x_266_capable", "PCI-X 266 Capable", access=_RO),
    Field(31, 31, "pci_x_533_capable", "PCI-X 533 Capable", access=_RO),
)

BRIDGE_STATUS = (
    *_WHO,
    Field(20, 20, "split_completion_overrun", "Split Completion Overrun", ereport="io.pcix.spl-or", severity="nonfatal"),
    Field(21, 21, "split_request_delayed", "Split Request Delayed", ereport="io.pcix.spl-dly", severity="info"),
    Field(29, 29, "device_id_messaging_capable", "Device ID Messaging Capable", access=_RO),
    Field(30, 30, "pci_x_266_capable", "PCI-X 266 Capable", access=_RO),
    Field(31, 31, "pci_x_533_capable", "PCI-X 533 Capable", access=_RO),
)

SECONDARY_STATUS = (
    Field(0, 0, "64_bit_device", "64-bit Device", access=_RO),
    Field(1, 1, "133_mhz_capable", "133 MHz Capable", access=_RO),
    Field(2, 2, "split_completion_discarded", "Split Completion Discarded", ereport="io.pcix.sec-spl-dis", severity="nonfatal"),
    Field(3, 3, "unexpected_split_completion", "Unexpected Split Completion", ereport="io.pcix.sec-unex-spl", severity="nonfatal"),
    Field(4, 4, "split_completion_overrun", "Split Completion Overrun", ereport="io.pcix.sec-spl-or", severity="nonfatal"),
    Field(5, 5, "split_request_delayed", "Split Request Delayed", ereport="io.pcix.sec-spl-dly", severity="info"),
    Field(9, 6, "secondary_bus_mode_and_frequency", "Secondary Bus Mode and Frequency", access=_RO),
    Field(13, 12, "pci_x_capabilities_list_item_version", "PCI-X Capabilities List Item Version", access=_RO),
    Field(14, 14, "pci_x_266_capable", "PCI-X 266 Capable", access=_RO),
    Field(15, 15, "pci_x_533_capable", "PCI-X 533 Capable", access=_RO),
)

_SPLIT_CONTROL = (
    Field(15, 0, "split_transaction_capacity", "Split Transaction Capacity", access=_RO),
    Field(31, 16, "split_transaction_commitment_limit", "Split Transaction Commitment Limit"),
)

PCIX = Capability(
    id=0x07,
    kind="standard",
    name="CAP_PCIX",
    key="pcix",
    title="PCI-X",
    section="PCI-X 2.0, chapters 7 and 8",
    registers=(
        Register(0x02, 2, "pci_x_command", "PCI-X Command", COMMAND, access=Access.RW, layouts=_FUNCTION, section="PCI-X 2.0, chapter 7"),
        Register(
            0x04, 4, "pci_x_status", "PCI-X Status", STATUS, access=Access.RW1C, ack=True, layouts=_FUNCTION, section="PCI-X 2.0, chapter 7"
        ),
        Register(
            0x02,
            2,
            "pci_x_secondary_status",
            "PCI-X Secondary Status",
            SECONDARY_STATUS,
            access=Access.RW1C,
            ack=True,
            layouts=_BRIDGE,
            section="PCI-X 2.0, chapter 8",
        ),
        Register(
            0x04,
            4,
            "pci_x_bridge_status",
            "PCI-X Bridge Status",
            BRIDGE_STATUS,
            access=Access.RW1C,
            ack=True,
            layouts=_BRIDGE,
            section="PCI-X 2.0, chapter 8",
        ),
        Register(
            0x08,
            4,
            "upstream_split_transaction_control",
            "Upstream Split Transaction Control",
            _SPLIT_CONTROL,
            access=Access.RW,
            layouts=_BRIDGE,
            section="PCI-X 2.0, chapter 8",
        ),
        Register(
            0x0C,
            4,
            "downstream_split_transaction_control",
            "Downstream Split Transaction Control",
            _SPLIT_CONTROL,
            access=Access.RW,
            layouts=_BRIDGE,
            section="PCI-X 2.0, chapter 8",
        ),
    ),
)
