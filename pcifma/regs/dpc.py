"""Downstream Port Containment (PCIe Base Spec 7.9.14), with the RP PIO registers that Root Ports may have.

Trigger Status and RP PIO Status are never written from here: clearing them ends the containment, which belongs to whoever
handles it.
"""

from __future__ import annotations

from pcifma.regs.exp import DevType
from pcifma.regs.table import Access, Capability, Field, Register

_ROOT_PORT = frozenset({DevType.ROOT_PORT})
_RO, _ROS, _RW1CS = Access.RO, Access.ROS, Access.RW1CS

CAPABILITY = (
    Field(4, 0, "dpc_interrupt_message_number", "DPC Interrupt Message Number"),
    Field(5, 5, "rp_extensions_for_dpc", "RP Extensions for DPC"),
    Field(6, 6, "poisoned_tlp_egress_blocking_supported", "Poisoned TLP Egress Blocking Supported"),
    Field(7, 7, "dpc_software_triggering_supported", "DPC Software Triggering Supported"),
    Field(11, 8, "rp_pio_log_size", "RP PIO Log Size"),
    Field(12, 12, "dl_active_err_cor_signaling_supported", "DL_Active ERR_COR Signaling Supported"),
    Field(13, 13, "rp_pio_log_size_4", "RP PIO Log Size [4]"),
)

CONTROL = (
    Field(1, 0, "dpc_trigger_enable", "DPC Trigger Enable", names={0: "disabled", 1: "fatal", 2: "non-fatal or fatal"}),
    Field(2, 2, "dpc_completion_control", "DPC Completion Control", names={0: "CA", 1: "UR"}),
    Field(3, 3, "dpc_interrupt_enable", "DPC Interrupt Enable"),
    Field(4, 4, "dpc_err_cor_enable", "DPC ERR_COR Enable"),
    Field(5, 5, "poisoned_tlp_egress_blocking_enable", "Poisoned TLP Egress Blocking Enable"),
    Field(6, 6, "dpc_software_trigger", "DPC Software Trigger"),
    Field(7, 7, "dl_active_err_cor_enable", "DL_Active ERR_COR Enable"),
    Field(8, 8, "dpc_sig_sfw_enable", "DPC SIG_SFW Enable"),
)

# A triggered port has taken its link down: fatal to all below it, whatever the reason was.
STATUS = (
    Field(0, 0, "dpc_trigger_status", "DPC Trigger Status", ereport="io.pciex.dpc.trig", severity="fatal"),
    Field(
        2,
        1,
        "dpc_trigger_reason",
        "DPC Trigger Reason",
        access=_ROS,
        names={0: "unmasked uncorrectable error", 1: "ERR_NONFATAL", 2: "ERR_FATAL", 3: "see extension"},
    ),
    Field(3, 3, "dpc_interrupt_status", "DPC Interrupt Status"),
    Field(4, 4, "dpc_rp_busy", "DPC RP Busy", access=_RO),
    Field(
        6, 5, "dpc_trigger_reason_extension", "DPC Trigger Reason Extension", access=_ROS, names={0: "RP PIO error", 1: "software trigger"}
    ),
    Field(12, 8, "rp_pio_first_error_pointer", "RP PIO First Error Pointer", access=_ROS),
    Field(13, 13, "dpc_sig_sfw_status", "DPC SIG_SFW Status"),
)

# RP PIO Severity tells uncorrectable (1) from advisory (0). Enumeration asks for Functions that are not there.
RP_PIO = (
    Field(0, 0, "cfg_ur_cpl", "Cfg UR Cpl", ereport="io.pciex.rp-pio.cfg-ur", residue=True),
    Field(1, 1, "cfg_ca_cpl", "Cfg CA Cpl", ereport="io.pciex.rp-pio.cfg-ca"),
    Field(2, 2, "cfg_cto", "Cfg CTO", ereport="io.pciex.rp-pio.cfg-cto"),
    Field(8, 8, "i_o_ur_cpl", "I/O UR Cpl", ereport="io.pciex.rp-pio.io-ur"),
    Field(9, 9, "i_o_ca_cpl", "I/O CA Cpl", ereport="io.pciex.rp-pio.io-ca"),
    Field(10, 10, "i_o_cto", "I/O CTO", ereport="io.pciex.rp-pio.io-cto"),
    Field(16, 16, "mem_ur_cpl", "Mem UR Cpl", ereport="io.pciex.rp-pio.mem-ur"),
    Field(17, 17, "mem_ca_cpl", "Mem CA Cpl", ereport="io.pciex.rp-pio.mem-ca"),
    Field(18, 18, "mem_cto", "Mem CTO", ereport="io.pciex.rp-pio.mem-cto"),
)

DPC = Capability(
    id=0x001D,
    kind="extended",
    name="ECAP_DPC",
    key="dpc",
    title="Downstream Port Containment",
    section="PCIe 7.9.14",
    registers=(
        Register(0x04, 2, "dpc_capability", "DPC Capability", CAPABILITY, section="7.9.14.2"),
        Register(0x06, 2, "dpc_control", "DPC Control", CONTROL, access=Access.RW, section="7.9.14.3"),
        Register(0x08, 2, "dpc_status", "DPC Status", STATUS, access=_RW1CS, section="7.9.14.4"),
        Register(0x0A, 2, "dpc_error_source_id", "DPC Error Source ID", access=_ROS, section="7.9.14.5"),
        Register(0x0C, 4, "rp_pio_status", "RP PIO Status", RP_PIO, access=_RW1CS, types=_ROOT_PORT, section="7.9.14.6"),
        Register(0x10, 4, "rp_pio_mask", "RP PIO Mask", RP_PIO, access=Access.RWS, types=_ROOT_PORT, section="7.9.14.7"),
        Register(0x14, 4, "rp_pio_severity", "RP PIO Severity", RP_PIO, access=Access.RWS, types=_ROOT_PORT, section="7.9.14.8"),
        Register(0x18, 4, "rp_pio_syserror", "RP PIO SysError", RP_PIO, access=Access.RWS, types=_ROOT_PORT, section="7.9.14.9"),
        Register(0x1C, 4, "rp_pio_exception", "RP PIO Exception", RP_PIO, access=Access.RWS, types=_ROOT_PORT, section="7.9.14.10"),
        *(
            Register(
                0x20 + 4 * i, 4, f"rp_pio_header_log_{i}", f"RP PIO Header Log {i}", access=_ROS, types=_ROOT_PORT, section="7.9.14.11"
            )
            for i in range(4)
        ),
        Register(0x30, 4, "rp_pio_impspec_log", "RP PIO ImpSpec Log", access=_ROS, types=_ROOT_PORT, section="7.9.14.12"),
        *(
            Register(
                0x34 + 4 * i,
                4,
                f"rp_pio_tlp_prefix_log_{i}",
                f"RP PIO TLP Prefix Log {i}",
                access=_ROS,
                types=_ROOT_PORT,
                section="7.9.14.13",
            )
            for i in range(4)
        ),
    ),
)


def has_rp_extensions(capability: int) -> bool:
    """True where the RP PIO registers exist; *capability* is the DPC Capability register."""
    return bool(DPC["dpc_capability"].get("rp_extensions_for_dpc", capability))


def log_size_dw(capability: int) -> int:
    """How many DW of RP PIO Header Log, ImpSpec Log and TLP Prefix Log there are."""
    register = DPC["dpc_capability"]
    return register.get("rp_pio_log_size_4", capability) << 4 | register.get("rp_pio_log_size", capability)
