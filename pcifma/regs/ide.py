"""Integrity and Data Encryption (PCIe Base Spec 7.9.26).

Behind the fixed part stand one block for each Link IDE Stream, then one for each Selective IDE Stream, whose length varies: the
table declares the first; `selective_offsets` finds the others, whose status has the same fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pcifma.regs.table import Access, Capability, Field, Register

_LINK_STREAMS = 8
_STATES = {0: "insecure", 2: "secure"}

CAPABILITY = (
    Field(0, 0, "link_ide_stream_supported", "Link IDE Stream Supported"),
    Field(1, 1, "selective_ide_streams_supported", "Selective IDE Streams Supported"),
    Field(2, 2, "flow_through_ide_stream_supported", "Flow-Through IDE Stream Supported"),
    Field(3, 3, "partial_header_encryption_supported", "Partial Header Encryption Supported"),
    Field(4, 4, "aggregation_supported", "Aggregation Supported"),
    Field(5, 5, "pcrc_supported", "PCRC Supported"),
    Field(6, 6, "ide_km_protocol_supported", "IDE_KM Protocol Supported"),
    Field(7, 7, "selective_ide_for_configuration_requests_supported", "Selective IDE for Configuration Requests Supported"),
    Field(12, 8, "supported_algorithms", "Supported Algorithms"),
    Field(15, 13, "number_of_tcs_supported_for_link_ide", "Number of TCs Supported for Link IDE"),
    Field(23, 16, "number_of_selective_ide_streams_supported", "Number of Selective IDE Streams Supported"),
    Field(24, 24, "tee_limited_stream_supported", "TEE-Limited Stream Supported"),
    Field(25, 25, "xt_supported", "XT Supported"),
)

STREAM_CONTROL = (
    Field(0, 0, "ide_stream_enable", "IDE Stream Enable"),
    Field(1, 1, "xt_enable", "XT Enable"),
    Field(3, 2, "tx_aggregation_mode_npr", "Tx Aggregation Mode NPR"),
    Field(5, 4, "tx_aggregation_mode_pr", "Tx Aggregation Mode PR"),
    Field(7, 6, "tx_aggregation_mode_cpl", "Tx Aggregation Mode CPL"),
    Field(8, 8, "pcrc_enable", "PCRC Enable"),
    Field(13, 10, "partial_header_encryption_mode", "Partial Header Encryption Mode"),
    Field(18, 14, "selected_algorithm", "Selected Algorithm"),
    Field(21, 19, "tc", "TC"),
    Field(31, 24, "stream_id", "Stream ID"),
)

STREAM_STATUS = (
    Field(3, 0, "ide_stream_state", "IDE Stream State", access=Access.RO, names=_STATES),
    Field(
        31,
        31,
        "received_integrity_check_fail_message",
        "Received Integrity Check Fail Message",
        ereport="io.pciex.ide.icf",
        severity="nonfatal",
    ),
)


def _link_stream(i: int) -> Iterator[Register]:
    at, control, status = 0x0C + 8 * i, f"Link IDE Stream {i} Control", f"Link IDE Stream {i} Status"
    yield Register(at, 4, f"link_ide_stream_{i}_control", control, STREAM_CONTROL, access=Access.RW, section="7.9.26.4.1")
    yield Register(at + 4, 4, f"link_ide_stream_{i}_status", status, STREAM_STATUS, access=Access.RW1CS, section="7.9.26.4.2")


IDE = Capability(
    id=0x0030,
    kind="extended",
    name="ECAP30",
    key="ide",
    title="Integrity and Data Encryption",
    section="PCIe 7.9.26",
    registers=(
        Register(0x04, 4, "ide_capability", "IDE Capability", CAPABILITY, section="7.9.26.2"),
        Register(
            0x08,
            4,
            "ide_control",
            "IDE Control",
            (Field(2, 2, "flow_through_ide_stream_enabled", "Flow-Through IDE Stream Enabled"),),
            access=Access.RW,
            section="7.9.26.3",
        ),
        *(register for i in range(_LINK_STREAMS) for register in _link_stream(i)),
    ),
)


def link_streams(capability: int) -> int:
    """How many Link IDE Streams there are, 0 to 8; rows of later ones do not exist. *capability* is the IDE Capability register."""
    register = IDE["ide_capability"]
    if not register.get("link_ide_stream_supported", capability):
        return 0
    return register.get("number_of_tcs_supported_for_link_ide", capability) + 1


def status_offsets(capability: int, read: Callable[[int], int]) -> Iterator[int]:
    """Offset, from the capability, of the status register of each stream, Link and Selective; *read* as in `selective_offsets`."""
    yield from (IDE[f"link_ide_stream_{i}_status"].offset for i in range(link_streams(capability)))
    yield from selective_offsets(capability, read)


def selective_offsets(capability: int, read: Callable[[int], int]) -> Iterator[int]:
    """Offset, from the capability, of the status register of each Selective IDE Stream (PCIe Base Spec 7.9.26.5).

    *read* gives the 32-bit word at an offset; it is asked for each block's own capability register, which tells its length.
    """
    register = IDE["ide_capability"]
    if not register.get("selective_ide_streams_supported", capability):
        return
    at = 0x0C + 8 * link_streams(capability)
    for _ in range(register.get("number_of_selective_ide_streams_supported", capability) + 1):
        yield at + 8
        at += 20 + 12 * (read(at) & 0xF)
