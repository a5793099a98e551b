"""Flit Logging (PCIe Base Spec 7.7.8). The counters stand still until somebody enables them by a write, which pcifma never does.

Clearing Flit Error Log Valid brings up the next entry, so it is never written from here. FEC corrects, or a replay repairs: one
logged flit is a correctable error; FEC Uncorrectable Error tells which of the two it was.
"""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

_RO, _ROS, _RW = Access.RO, Access.ROS, Access.RW

ERROR_LOG_1 = (
    Field(0, 0, "flit_error_log_valid", "Flit Error Log Valid", ereport="io.pciex.pl.flit", severity="correctable"),
    Field(3, 1, "flit_error_link_width", "Flit Error Link Width", access=_ROS),
    Field(7, 4, "flit_offset_from_the_last_logged_flit_in_error", "Flit Offset from the Last Logged Flit in Error", access=_ROS),
    Field(12, 8, "consecutive_flit_error_after_the_last_flit_error", "Consecutive Flit Error after the Last Flit Error", access=_ROS),
    Field(13, 13, "more_entries_for_flit_error_log_register_are_valid", "More Entries for Flit Error Log Register are Valid", access=_ROS),
    Field(14, 14, "unrecognized_flit", "Unrecognized Flit", access=_ROS),
    Field(15, 15, "fec_uncorrectable_error_in_flit", "FEC Uncorrectable Error in Flit", access=_ROS),
    Field(23, 16, "syndrome_parity_for_ecc_group_0", "Syndrome Parity for ECC Group 0", access=_ROS),
    Field(31, 24, "syndrome_check_for_ecc_group_0", "Syndrome Check for ECC Group 0", access=_ROS),
)

ERROR_LOG_2 = (
    Field(7, 0, "syndrome_parity_for_ecc_group_1", "Syndrome Parity for ECC Group 1"),
    Field(15, 8, "syndrome_check_for_ecc_group_1", "Syndrome Check for ECC Group 1"),
    Field(23, 16, "syndrome_parity_for_ecc_group_2", "Syndrome Parity for ECC Group 2"),
    Field(31, 24, "syndrome_check_for_ecc_group_2", "Syndrome Check for ECC Group 2"),
)

COUNTER_CONTROL = (
    Field(0, 0, "flit_error_counter_enable", "Flit Error Counter Enable"),
    Field(1, 1, "flit_error_counter_interrupt_enable", "Flit Error Counter Interrupt Enable"),
    Field(3, 2, "events_to_count", "Events to Count"),
    Field(11, 4, "trigger_event_on_error_count", "Trigger Event on Error Count"),
)

FBER_CONTROL = (
    Field(0, 0, "fber_measurement_enable", "FBER Measurement Enable"),
    Field(1, 1, "clear_fber_counters", "Clear FBER Counters"),
    Field(3, 2, "granularity_of_per_lane_error_reported", "Granularity of Per-Lane Error Reported"),
)


def _lane_counters(i: int) -> Register:
    fields = tuple(
        Field(16 * j + 15, 16 * j, f"lane_{lane}_correctable_counter", f"Lane #{lane} Correctable Counter")
        for j, lane in ((0, 2 * i), (1, 2 * i + 1))
    )
    number = 3 + i
    return Register(
        0x1C + 4 * i, 4, f"fber_measurement_status_{number}", f"FBER Measurement Status {number}", fields, access=_RO, section="7.7.8.8"
    )


FLIT = Capability(
    id=0x0032,
    kind="extended",
    name="ECAP32",
    key="flit",
    title="Flit Logging",
    section="PCIe 7.7.8",
    registers=(
        Register(0x04, 4, "flit_error_log_1", "Flit Error Log 1", ERROR_LOG_1, access=Access.RW1CS, section="7.7.8.2"),
        Register(0x08, 4, "flit_error_log_2", "Flit Error Log 2", ERROR_LOG_2, access=_ROS, section="7.7.8.3"),
        Register(0x0C, 2, "flit_error_counter_control", "Flit Error Counter Control", COUNTER_CONTROL, access=_RW, section="7.7.8.4"),
        Register(
            0x0E,
            2,
            "flit_error_counter_status",
            "Flit Error Counter Status",
            (
                Field(2, 0, "link_width_when_error_counter_started", "Link Width when Error Counter Started"),
                Field(15, 8, "flit_error_counter", "Flit Error Counter"),
            ),
            access=_ROS,
            section="7.7.8.5",
        ),
        Register(0x10, 4, "fber_measurement_control", "FBER Measurement Control", FBER_CONTROL, access=_RW, section="7.7.8.6"),
        Register(
            0x14,
            4,
            "fber_measurement_status_1",
            "FBER Measurement Status 1",
            (Field(31, 0, "flit_counter", "Flit Counter"),),
            section="7.7.8.7",
        ),
        Register(
            0x18,
            4,
            "fber_measurement_status_2",
            "FBER Measurement Status 2",
            (Field(15, 0, "invalid_flit_counter", "Invalid Flit Counter"),),
            section="7.7.8.7",
        ),
        *(_lane_counters(i) for i in range(8)),
    ),
)
