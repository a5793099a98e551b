"""Designated Vendor-Specific capabilities (PCIe Base Spec 7.9.6), and of them those of CXL that speak of errors (CXL 3.1, 8.1).

Vendor and DVSEC ID say which form a capability is. A Function has several: setpci counts them (`ECAP_DVSEC+e.w@1`).
CXL's own RAS registers lie in memory, out of a poller's reach; they end in AER's internal errors.
"""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

CXL_VENDOR = 0x1E98
_FORMS = {0: "cxl-device", 3: "cxl-port", 7: "cxl-flex-bus"}
_RO, _RW, _RW1C, _RW1CS = Access.RO, Access.RW, Access.RW1C, Access.RW1CS

DEVICE_CAPABILITY = (
    Field(0, 0, "cache_capable", "Cache_Capable"),
    Field(1, 1, "io_capable", "IO_Capable"),
    Field(2, 2, "mem_capable", "Mem_Capable"),
    Field(3, 3, "mem_hwinit_mode", "Mem_HwInit_Mode"),
    Field(5, 4, "hdm_count", "HDM_Count"),
    Field(6, 6, "cache_writeback_and_invalidate_capable", "Cache Writeback and Invalidate Capable"),
    Field(7, 7, "cxl_reset_capable", "CXL Reset Capable"),
    Field(10, 8, "cxl_reset_timeout", "CXL Reset Timeout"),
    Field(11, 11, "cxl_reset_mem_clr_capable", "CXL Reset Mem Clr Capable"),
    Field(13, 13, "multiple_logical_device", "Multiple Logical Device"),
    Field(14, 14, "viral_capable", "Viral_Capable"),
    Field(15, 15, "pm_init_completion_reporting_capable", "PM Init Completion Reporting Capable"),
)

DEVICE_STATUS = (Field(14, 14, "viral_status", "Viral_Status", ereport="io.cxl.viral", severity="fatal"),)

DEVICE_STATUS_2 = (
    Field(0, 0, "cache_invalid", "Cache_Invalid"),
    Field(1, 1, "cxl_reset_complete", "CXL_Reset_Complete"),
    Field(2, 2, "cxl_reset_error", "CXL_Reset_Error", ereport="io.cxl.rst", severity="nonfatal"),
    Field(
        3,
        3,
        "volatile_hdm_preservation_error",
        "Volatile HDM Preservation Error",
        ereport="io.cxl.vhdm",
        severity="nonfatal",
        access=_RW1CS,
    ),
    Field(15, 15, "power_management_initialization_complete", "Power Management Initialization Complete"),
)

PORT_STATUS = (
    Field(0, 0, "port_power_management_initialization_complete", "Port Power Management Initialization Complete", access=_RO),
    Field(14, 14, "viral_status", "Viral Status", ereport="io.cxl.viral", severity="fatal"),
)

PORT_CONTROL = (
    Field(0, 0, "unmask_sbr", "Unmask SBR"),
    Field(1, 1, "unmask_link_disable", "Unmask Link Disable"),
    Field(2, 2, "alt_memory_and_id_space_enable", "Alt Memory and ID Space Enable"),
    Field(3, 3, "alt_bme", "Alt BME"),
    Field(14, 14, "viral_enable", "Viral Enable"),
)

FLEX_BUS_STATUS = (
    Field(0, 0, "cache_enabled", "Cache_Enabled", access=_RO),
    Field(1, 1, "io_enabled", "IO_Enabled", access=_RO),
    Field(2, 2, "mem_enabled", "Mem_Enabled", access=_RO),
    Field(3, 3, "cxl_sync_hdr_bypass_enabled", "CXL_Sync_Hdr_Bypass_Enabled", access=_RO),
    Field(4, 4, "drift_buffer_enabled", "Drift_Buffer_Enabled", access=_RO),
    Field(5, 5, "68b_flit_and_vh_enabled", "68B Flit and VH Enabled", access=_RO),
    Field(6, 6, "cxl_multi_logical_device_enabled", "CXL Multi-Logical Device Enabled", access=_RO),
    Field(7, 7, "even_half_failed", "Even Half Failed", ereport="io.cxl.fb-ehf", severity="correctable"),
    Field(
        8,
        8,
        "cxl_correctable_protocol_id_framing_error",
        "CXL_Correctable_Protocol_ID_Framing_Error",
        ereport="io.cxl.fb-ce",
        severity="correctable",
    ),
    Field(
        9,
        9,
        "cxl_uncorrectable_protocol_id_framing_error",
        "CXL_Uncorrectable_Protocol_ID_Framing_Error",
        ereport="io.cxl.fb-ue",
        severity="nonfatal",
    ),
    Field(
        10, 10, "cxl_unexpected_protocol_id_dropped", "CXL_Unexpected_Protocol_ID_Dropped", ereport="io.cxl.fb-drop", severity="correctable"
    ),
    Field(11, 11, "cxl_retimers_present_mismatched", "CXL_Retimers_Present_Mismatched", ereport="io.cxl.fb-rtm", severity="nonfatal"),
    Field(12, 12, "flexbusenablebits_phase2_mismatch", "FlexBusEnableBits_Phase2_Mismatch", ereport="io.cxl.fb-en", severity="nonfatal"),
    Field(13, 13, "cxl_latency_optimized_256b_flit_enabled", "CXL Latency-Optimized 256B Flit Enabled", access=_RO),
    Field(14, 14, "cxl_pbr_flit_enabled", "CXL PBR Flit Enabled", access=_RO),
    Field(15, 15, "cxl_io_throttle_required_at_64_gt_s", "CXL.io Throttle Required at 64 GT/s", access=_RO),
)

DVSEC = Capability(
    id=0x0023,
    kind="extended",
    name="ECAP_DVSEC",
    key="dvsec",
    title="Designated Vendor-Specific",
    section="PCIe 7.9.6",
    registers=(
        Register(
            0x04,
            4,
            "dvsec_header_1",
            "DVSEC Header 1",
            (
                Field(15, 0, "dvsec_vendor_id", "DVSEC Vendor ID"),
                Field(19, 16, "dvsec_revision", "DVSEC Revision"),
                Field(31, 20, "dvsec_length", "DVSEC Length"),
            ),
            section="7.9.6.2",
        ),
        Register(0x08, 2, "dvsec_header_2", "DVSEC Header 2", (Field(15, 0, "dvsec_id", "DVSEC ID"),), section="7.9.6.3"),
        Register(0x0A, 2, "cxl_capability", "CXL Capability", DEVICE_CAPABILITY, form="cxl-device", section="CXL 8.1.3.1"),
        Register(0x0C, 2, "cxl_control", "CXL Control", access=_RW, form="cxl-device", section="CXL 8.1.3.2"),
        Register(0x0E, 2, "cxl_status", "CXL Status", DEVICE_STATUS, access=_RW1CS, form="cxl-device", section="CXL 8.1.3.3"),
        Register(0x10, 2, "cxl_control_2", "CXL Control 2", access=_RW, form="cxl-device", section="CXL 8.1.3.4"),
        Register(0x12, 2, "cxl_status_2", "CXL Status 2", DEVICE_STATUS_2, access=_RO, form="cxl-device", section="CXL 8.1.3.5"),
        Register(
            0x0A,
            2,
            "cxl_port_extension_status",
            "CXL Port Extension Status",
            PORT_STATUS,
            access=_RW1CS,
            form="cxl-port",
            section="CXL 8.1.5.1",
        ),
        Register(
            0x0C, 2, "port_control_extensions", "Port Control Extensions", PORT_CONTROL, access=_RW, form="cxl-port", section="CXL 8.1.5.2"
        ),
        Register(0x0A, 2, "dvsec_flex_bus_port_capability", "DVSEC Flex Bus Port Capability", form="cxl-flex-bus", section="CXL 8.2.1.3.1"),
        Register(0x0C, 2, "dvsec_flex_bus_port_control", "DVSEC Flex Bus Port Control", form="cxl-flex-bus", section="CXL 8.2.1.3.2"),
        Register(
            0x0E,
            2,
            "dvsec_flex_bus_port_status",
            "DVSEC Flex Bus Port Status",
            FLEX_BUS_STATUS,
            access=_RW1CS,
            form="cxl-flex-bus",
            section="CXL 8.2.1.3.3",
        ),
    ),
)


def form(header_1: int, header_2: int) -> str:
    """Which form a capability with those headers is; `other` where no table knows it."""
    return _FORMS.get(header_2 & 0xFFFF, "other") if header_1 & 0xFFFF == CXL_VENDOR else "other"
