"""The header of configuration space: types 0 (Function), 1 (bridge) and 2 (CardBus bridge), as far as it matters here.

PCIe Base Spec 7.5.1; PCI Local Bus 3.0, 6.2; PCI-to-PCI Bridge Architecture 1.2, 3.2; PC Card Standard for type 2.
Severities: a parity or abort bit ends one transaction; SERR# speaks of the system. Where a PCI Express Function's Device Status
says more, that stands.
"""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

_TYPE0 = frozenset({0})
_BRIDGE = frozenset({1})
_CARDBUS = frozenset({2})
_ANY_BRIDGE = _BRIDGE | _CARDBUS

_RO = Access.RO
_DEVSEL = {0: "fast", 1: "medium", 2: "slow"}

COMMAND = (
    Field(0, 0, "i_o_space_enable", "I/O Space Enable"),
    Field(1, 1, "memory_space_enable", "Memory Space Enable"),
    Field(2, 2, "bus_master_enable", "Bus Master Enable"),
    Field(3, 3, "special_cycle_enable", "Special Cycle Enable"),
    Field(4, 4, "memory_write_and_invalidate", "Memory Write and Invalidate"),
    Field(5, 5, "vga_palette_snoop", "VGA Palette Snoop"),
    Field(6, 6, "parity_error_response", "Parity Error Response"),
    Field(7, 7, "idsel_stepping_wait_cycle_control", "IDSEL Stepping/Wait Cycle Control"),
    Field(8, 8, "serr_enable", "SERR# Enable"),
    Field(9, 9, "fast_back_to_back_transactions_enable", "Fast Back-to-Back Transactions Enable"),
    Field(10, 10, "interrupt_disable", "Interrupt Disable"),
)

STATUS = (
    Field(0, 0, "immediate_readiness", "Immediate Readiness", access=_RO),
    Field(3, 3, "interrupt_status", "Interrupt Status", access=_RO),
    Field(4, 4, "capabilities_list", "Capabilities List", access=_RO),
    Field(5, 5, "66_mhz_capable", "66 MHz Capable", access=_RO),
    Field(6, 6, "user_definable_features", "User Definable Features", access=_RO),
    Field(7, 7, "fast_back_to_back_transactions_capable", "Fast Back-to-Back Transactions Capable", access=_RO),
    Field(8, 8, "master_data_parity_error", "Master Data Parity Error", ereport="io.pci.mdpe", severity="nonfatal"),
    Field(10, 9, "devsel_timing", "DEVSEL Timing", access=_RO, names=_DEVSEL),
    Field(11, 11, "signaled_target_abort", "Signaled Target Abort", ereport="io.pci.sta", severity="nonfatal"),
    Field(12, 12, "received_target_abort", "Received Target Abort", ereport="io.pci.rta", severity="nonfatal"),
    Field(13, 13, "received_master_abort", "Received Master Abort", ereport="io.pci.ma", severity="nonfatal", residue=True),
    Field(14, 14, "signaled_system_error", "Signaled System Error", ereport="io.pci.sserr", severity="fatal"),
    Field(15, 15, "detected_parity_error", "Detected Parity Error", ereport="io.pci.dpe", severity="nonfatal"),
)

SECONDARY_STATUS = (
    Field(5, 5, "66_mhz_capable", "66 MHz Capable", access=_RO),
    Field(7, 7, "fast_back_to_back_transactions_capable", "Fast Back-to-Back Transactions Capable", access=_RO),
    Field(8, 8, "master_data_parity_error", "Master Data Parity Error", ereport="io.pci.sec-mdpe", severity="nonfatal"),
    Field(10, 9, "devsel_timing", "DEVSEL Timing", access=_RO, names=_DEVSEL),
    Field(11, 11, "signaled_target_abort", "Signaled Target Abort", ereport="io.pci.sec-sta", severity="nonfatal"),
    Field(12, 12, "received_target_abort", "Received Target Abort", ereport="io.pci.sec-rta", severity="nonfatal"),
    Field(13, 13, "received_master_abort", "Received Master Abort", ereport="io.pci.sec-ma", severity="nonfatal", residue=True),
    Field(14, 14, "received_system_error", "Received System Error", ereport="io.pci.sec-rserr", severity="fatal"),
    Field(15, 15, "detected_parity_error", "Detected Parity Error", ereport="io.pci.sec-dpe", severity="nonfatal"),
)

BRIDGE_CONTROL = (
    Field(0, 0, "parity_error_response_enable", "Parity Error Response Enable"),
    Field(1, 1, "serr_enable", "SERR# Enable"),
    Field(2, 2, "isa_enable", "ISA Enable"),
    Field(3, 3, "vga_enable", "VGA Enable"),
    Field(4, 4, "vga_16_bit_decode", "VGA 16-bit Decode"),
    Field(5, 5, "master_abort_mode", "Master Abort Mode"),
    Field(6, 6, "secondary_bus_reset", "Secondary Bus Reset"),
    Field(7, 7, "fast_back_to_back_transactions_enable", "Fast Back-to-Back Transactions Enable"),
    Field(8, 8, "primary_discard_timer", "Primary Discard Timer"),
    Field(9, 9, "secondary_discard_timer", "Secondary Discard Timer"),
    Field(10, 10, "discard_timer_status", "Discard Timer Status", ereport="io.pci.dto", severity="nonfatal", access=Access.RW1C),
    Field(11, 11, "discard_timer_serr_enable", "Discard Timer SERR# Enable"),
)

# Bits 10 and 11 do not exist there: CardBus has no discard timer, and 8 to 10 mean interrupts and prefetch.
CARDBUS_BRIDGE_CONTROL = (
    *BRIDGE_CONTROL[:4],
    *BRIDGE_CONTROL[5:7],
    Field(7, 7, "ireq_int_enable", "IREQ-INT Enable"),
    Field(8, 8, "memory_0_prefetch_enable", "Memory 0 Prefetch Enable"),
    Field(9, 9, "memory_1_prefetch_enable", "Memory 1 Prefetch Enable"),
    Field(10, 10, "write_posting_enable", "Write Posting Enable"),
)

HEADER = Capability(
    id=0,
    kind="header",
    name="",
    key="header",
    title="Configuration Space Header",
    section="PCIe 7.5.1",
    registers=(
        Register(0x00, 2, "vendor_id", "Vendor ID", section="7.5.1.1.1"),
        Register(0x02, 2, "device_id", "Device ID", section="7.5.1.1.2"),
        Register(0x04, 2, "command", "Command", COMMAND, access=Access.RW, section="7.5.1.1.3"),
        Register(0x06, 2, "status", "Status", STATUS, access=Access.RW1C, ack=True, section="7.5.1.1.4"),
        Register(0x08, 1, "revision_id", "Revision ID", section="7.5.1.1.5"),
        Register(0x09, 1, "programming_interface", "Programming Interface", section="7.5.1.1.6"),
        Register(0x0A, 2, "class_code", "Class Code", section="7.5.1.1.6"),
        Register(0x0C, 1, "cache_line_size", "Cache Line Size", access=Access.RW, section="7.5.1.1.7"),
        Register(0x0D, 1, "latency_timer", "Latency Timer", access=Access.RW, section="7.5.1.1.8"),
        Register(
            0x0E,
            1,
            "header_type",
            "Header Type",
            (
                Field(6, 0, "header_layout", "Header Layout", names={0: "type 0", 1: "type 1", 2: "CardBus"}),
                Field(7, 7, "multi_function_device", "Multi-Function Device"),
            ),
            section="7.5.1.1.9",
        ),
        Register(0x0F, 1, "bist", "BIST", access=Access.RW, section="7.5.1.1.10"),
        *(
            Register(0x10 + 4 * i, 4, f"base_address_{i}", f"Base Address {i}", access=Access.RW, layouts=_TYPE0, section="7.5.1.2.1")
            for i in range(6)
        ),
        Register(0x28, 4, "cardbus_cis_pointer", "CardBus CIS Pointer", layouts=_TYPE0, section="7.5.1.2.2"),
        Register(0x2C, 2, "subsystem_vendor_id", "Subsystem Vendor ID", layouts=_TYPE0, section="7.5.1.2.3"),
        Register(0x2E, 2, "subsystem_id", "Subsystem ID", layouts=_TYPE0, section="7.5.1.2.3"),
        Register(
            0x30, 4, "expansion_rom_base_address", "Expansion ROM Base Address", access=Access.RW, layouts=_TYPE0, section="7.5.1.2.4"
        ),
        Register(0x34, 1, "capabilities_pointer", "Capabilities Pointer", layouts=_TYPE0 | _BRIDGE, section="7.5.1.1.11"),
        Register(0x3C, 1, "interrupt_line", "Interrupt Line", access=Access.RW, section="7.5.1.1.12"),
        Register(0x3D, 1, "interrupt_pin", "Interrupt Pin", section="7.5.1.1.13"),
        Register(0x3E, 1, "min_gnt", "Min_Gnt", layouts=_TYPE0, section="7.5.1.2.5"),
        Register(0x3F, 1, "max_lat", "Max_Lat", layouts=_TYPE0, section="7.5.1.2.5"),
        Register(0x10, 4, "bridge_base_address_0", "Bridge Base Address 0", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.1"),
        Register(0x14, 4, "bridge_base_address_1", "Bridge Base Address 1", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.1"),
        Register(0x18, 1, "primary_bus_number", "Primary Bus Number", access=Access.RW, layouts=_ANY_BRIDGE, section="7.5.1.3.2"),
        Register(0x19, 1, "secondary_bus_number", "Secondary Bus Number", access=Access.RW, layouts=_ANY_BRIDGE, section="7.5.1.3.3"),
        Register(0x1A, 1, "subordinate_bus_number", "Subordinate Bus Number", access=Access.RW, layouts=_ANY_BRIDGE, section="7.5.1.3.4"),
        Register(0x1B, 1, "secondary_latency_timer", "Secondary Latency Timer", access=Access.RW, layouts=_ANY_BRIDGE, section="7.5.1.3.5"),
        Register(0x1C, 1, "i_o_base", "I/O Base", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.6"),
        Register(0x1D, 1, "i_o_limit", "I/O Limit", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.6"),
        Register(
            0x1E,
            2,
            "secondary_status",
            "Secondary Status",
            SECONDARY_STATUS,
            access=Access.RW1C,
            ack=True,
            layouts=_BRIDGE,
            section="7.5.1.3.7",
        ),
        Register(0x20, 2, "memory_base", "Memory Base", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.8"),
        Register(0x22, 2, "memory_limit", "Memory Limit", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.8"),
        Register(0x24, 2, "prefetchable_memory_base", "Prefetchable Memory Base", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.9"),
        Register(0x26, 2, "prefetchable_memory_limit", "Prefetchable Memory Limit", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.9"),
        Register(
            0x28,
            4,
            "prefetchable_base_upper_32_bits",
            "Prefetchable Base Upper 32 Bits",
            access=Access.RW,
            layouts=_BRIDGE,
            section="7.5.1.3.10",
        ),
        Register(
            0x2C,
            4,
            "prefetchable_limit_upper_32_bits",
            "Prefetchable Limit Upper 32 Bits",
            access=Access.RW,
            layouts=_BRIDGE,
            section="7.5.1.3.10",
        ),
        Register(0x30, 2, "i_o_base_upper_16_bits", "I/O Base Upper 16 Bits", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.11"),
        Register(0x32, 2, "i_o_limit_upper_16_bits", "I/O Limit Upper 16 Bits", access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.11"),
        Register(0x3E, 2, "bridge_control", "Bridge Control", BRIDGE_CONTROL, access=Access.RW, layouts=_BRIDGE, section="7.5.1.3.13"),
        Register(0x14, 1, "cardbus_capabilities_pointer", "CardBus Capabilities Pointer", layouts=_CARDBUS, section="PC Card"),
        Register(
            0x16,
            2,
            "cardbus_secondary_status",
            "CardBus Secondary Status",
            SECONDARY_STATUS,
            access=Access.RW1C,
            ack=True,
            layouts=_CARDBUS,
            section="PC Card",
        ),
        Register(
            0x3E,
            2,
            "cardbus_bridge_control",
            "CardBus Bridge Control",
            CARDBUS_BRIDGE_CONTROL,
            access=Access.RW,
            layouts=_CARDBUS,
            section="PC Card",
        ),
    ),
)
