"""Message Signaled Interrupts (PCIe Base Spec 7.7.1). Where Message Control says so, addresses take 64 bits and move all behind them."""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

_VECTORS = {i: f"{1 << i} vectors" for i in range(1, 6)} | {0: "1 vector"}

MESSAGE_CONTROL = (
    Field(0, 0, "msi_enable", "MSI Enable"),
    Field(3, 1, "multiple_message_capable", "Multiple Message Capable", access=Access.RO, names=_VECTORS),
    Field(6, 4, "multiple_message_enable", "Multiple Message Enable", names=_VECTORS),
    Field(7, 7, "64_bit_address_capable", "64-bit Address Capable", access=Access.RO),
    Field(8, 8, "per_vector_masking_capable", "Per-Vector Masking Capable", access=Access.RO),
    Field(9, 9, "extended_message_data_capable", "Extended Message Data Capable", access=Access.RO),
    Field(10, 10, "extended_message_data_enable", "Extended Message Data Enable"),
)

MSI = Capability(
    id=0x05,
    kind="standard",
    name="CAP_MSI",
    key="msi",
    title="Message Signaled Interrupts",
    section="PCIe 7.7.1",
    registers=(
        Register(0x02, 2, "message_control", "Message Control", MESSAGE_CONTROL, access=Access.RW, section="7.7.1.2"),
        Register(0x04, 4, "message_address", "Message Address", access=Access.RW, section="7.7.1.3"),
        Register(0x08, 4, "message_upper_address", "Message Upper Address", access=Access.RW, form="64-bit", section="7.7.1.4"),
        Register(0x08, 2, "message_data", "Message Data", access=Access.RW, form="32-bit", section="7.7.1.5"),
        Register(0x0A, 2, "extended_message_data", "Extended Message Data", access=Access.RW, form="32-bit", section="7.7.1.6"),
        Register(0x0C, 4, "mask_bits", "Mask Bits", access=Access.RW, form="32-bit", section="7.7.1.7"),
        Register(0x10, 4, "pending_bits", "Pending Bits", form="32-bit", section="7.7.1.8"),
        Register(0x0C, 2, "message_data", "Message Data", access=Access.RW, form="64-bit", section="7.7.1.5"),
        Register(0x0E, 2, "extended_message_data", "Extended Message Data", access=Access.RW, form="64-bit", section="7.7.1.6"),
        Register(0x10, 4, "mask_bits", "Mask Bits", access=Access.RW, form="64-bit", section="7.7.1.7"),
        Register(0x14, 4, "pending_bits", "Pending Bits", form="64-bit", section="7.7.1.8"),
    ),
)


def form(message_control: int) -> str:
    """Which layout a Function has: `64-bit` or `32-bit`."""
    return "64-bit" if MSI["message_control"].get("64_bit_address_capable", message_control) else "32-bit"


def masks_vectors(message_control: int) -> bool:
    """True where Mask Bits and Pending Bits exist."""
    return bool(MSI["message_control"].get("per_vector_masking_capable", message_control))
