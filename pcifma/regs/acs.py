"""Access Control Services (PCIe Base Spec 7.7.11). A violation shows as Uncorrectable Error Status bit 21."""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

ACS = Capability(
    id=0x000D,
    kind="extended",
    name="ECAP_ACS",
    key="acs",
    title="Access Control Services",
    section="PCIe 7.7.11",
    registers=(
        Register(
            0x04,
            2,
            "acs_capability",
            "ACS Capability",
            (
                Field(0, 0, "acs_source_validation", "ACS Source Validation"),
                Field(1, 1, "acs_translation_blocking", "ACS Translation Blocking"),
                Field(2, 2, "acs_p2p_request_redirect", "ACS P2P Request Redirect"),
                Field(3, 3, "acs_p2p_completion_redirect", "ACS P2P Completion Redirect"),
                Field(4, 4, "acs_upstream_forwarding", "ACS Upstream Forwarding"),
                Field(5, 5, "acs_p2p_egress_control", "ACS P2P Egress Control"),
                Field(6, 6, "acs_direct_translated_p2p", "ACS Direct Translated P2P"),
                Field(7, 7, "acs_enhanced_capability", "ACS Enhanced Capability"),
                Field(15, 8, "egress_control_vector_size", "Egress Control Vector Size"),
            ),
            section="7.7.11.2",
        ),
        Register(
            0x06,
            2,
            "acs_control",
            "ACS Control",
            (
                Field(0, 0, "acs_source_validation_enable", "ACS Source Validation Enable"),
                Field(1, 1, "acs_translation_blocking_enable", "ACS Translation Blocking Enable"),
                Field(2, 2, "acs_p2p_request_redirect_enable", "ACS P2P Request Redirect Enable"),
                Field(3, 3, "acs_p2p_completion_redirect_enable", "ACS P2P Completion Redirect Enable"),
                Field(4, 4, "acs_upstream_forwarding_enable", "ACS Upstream Forwarding Enable"),
                Field(5, 5, "acs_p2p_egress_control_enable", "ACS P2P Egress Control Enable"),
                Field(6, 6, "acs_direct_translated_p2p_enable", "ACS Direct Translated P2P Enable"),
                Field(7, 7, "acs_i_o_request_blocking_enable", "ACS I/O Request Blocking Enable"),
                Field(9, 8, "acs_dsp_memory_target_access_control", "ACS DSP Memory Target Access Control"),
                Field(11, 10, "acs_usp_memory_target_access_control", "ACS USP Memory Target Access Control"),
                Field(12, 12, "acs_unclaimed_request_redirect_control", "ACS Unclaimed Request Redirect Control"),
            ),
            access=Access.RW,
            section="7.7.11.3",
        ),
    ),
)
