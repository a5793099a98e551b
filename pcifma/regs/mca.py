"""Machine-check registers: global capabilities and status, a bank's STATUS, MISC and CTL2, and what scalable MCA adds.

Intel's sections are those of the Software Developer's Manual, volume 3B ("SDM"); AMD's are the Architecture Programmer's Manual,
volume 2, chapter 9 ("APM 9"), and the MCA tables of the Processor Programming References ("PPR"). One STATUS word reads differently
by vendor, and on Intel by IA32_MCG_CAP: `status_of` gives the row that holds.
"""

from __future__ import annotations

from typing import Literal

from pcifma.regs.table import Field, Register

Vendor = Literal["intel", "amd"]

# MSR numbers: banks from 0 on are 4 apart; scalable MCA has 16 a bank (PPR, "MCA Registers").
MCG_CAP, MCG_STATUS, BANK_0, SMCA_0 = 0x179, 0x17A, 0x400, 0xC000_2000
STATUS, ADDR, MISC = 1, 2, 3
SMCA_IPID, SMCA_SYND, SMCA_DESTAT, SMCA_DEADDR = 5, 6, 8, 9

MCG_CAP_ROW = Register(
    MCG_CAP, 8, "ia32_mcg_cap", "IA32_MCG_CAP",
    (
        Field(7, 0, "count", "Count"),
        Field(8, 8, "mcg_ctl_p", "MCG_CTL_P"),
        Field(9, 9, "mcg_ext_p", "MCG_EXT_P"),
        Field(10, 10, "mcg_cmci_p", "MCG_CMCI_P"),
        Field(11, 11, "mcg_tes_p", "MCG_TES_P"),
        Field(23, 16, "mcg_ext_cnt", "MCG_EXT_CNT"),
        Field(24, 24, "mcg_ser_p", "MCG_SER_P"),
        Field(25, 25, "mcg_emc_p", "MCG_EMC_P"),
        Field(26, 26, "mcg_elog_p", "MCG_ELOG_P"),
        Field(27, 27, "mcg_lmce_p", "MCG_LMCE_P"),
    ),
    section="SDM 15.3.1.1",
)  # fmt: skip
MCG_STATUS_ROW = Register(
    MCG_STATUS, 8, "ia32_mcg_status", "IA32_MCG_STATUS",
    (
        Field(0, 0, "ripv", "Restart IP Valid"),
        Field(1, 1, "eipv", "Error IP Valid"),
        Field(2, 2, "mcip", "Machine Check In Progress"),
        Field(3, 3, "lmce_s", "Local Machine Check Signaled"),
    ),
    section="SDM 15.3.1.2",
)  # fmt: skip

# What both vendors agree on (SDM 15.3.2.2; APM 9.3.2).
_COMMON = (
    Field(63, 63, "val", "Valid"),
    Field(62, 62, "over", "Error Overflow"),
    Field(61, 61, "uc", "Error Uncorrected"),
    Field(60, 60, "en", "Error Reporting Enabled"),
    Field(59, 59, "miscv", "MISC Valid"),
    Field(58, 58, "addrv", "ADDR Valid"),
    Field(57, 57, "pcc", "Processor Context Corrupt"),
)
_CODE = Field(15, 0, "mca_error_code", "MCA Error Code")
COLOURS = {0: "No tracking", 1: "Green", 2: "Yellow", 3: "Reserved"}

STATUS_INTEL = Register(
    BANK_0 + STATUS, 8, "ia32_mci_status", "IA32_MCi_STATUS",
    (
        *_COMMON,
        # SDM 15.6.2: with MCG_SER_P.
        Field(56, 56, "s", "Signaled"),
        Field(55, 55, "ar", "Action Required"),
        # SDM 15.4: with MCG_TES_P, and of corrected errors alone.
        Field(54, 53, "threshold_based_error_status", "Threshold-Based Error Status", names=COLOURS),
        # SDM 15.5: with MCG_CMCI_P.
        Field(52, 38, "corrected_error_count", "Corrected Error Count"),
        # SDM 15.3.2.2.1: with MCG_EMC_P.
        Field(37, 37, "firmware_updated_error_status", "Firmware Updated Error Status"),
        Field(36, 32, "other_information", "Other Information"),
        Field(31, 16, "model_specific_error_code", "Model Specific Error Code"),
        _CODE,
    ),
    section="SDM 15.3.2.2",
)  # fmt: skip
STATUS_AMD = Register(
    BANK_0 + STATUS, 8, "mca_status", "MCA_STATUS",
    (
        *_COMMON,
        Field(56, 56, "err_core_id_val", "Error Core ID Valid"),
        Field(55, 55, "tcc", "Task Context Corrupt"),
        Field(53, 53, "synd_v", "Syndrome Valid"),
        Field(46, 46, "cecc", "Correctable ECC Error"),
        Field(45, 45, "uecc", "Uncorrectable ECC Error"),
        Field(44, 44, "deferred", "Deferred Error"),
        Field(43, 43, "poison", "Poison Consumed"),
        Field(40, 40, "scrub", "Error Detected On Scrub"),
        Field(37, 32, "err_core_id", "Error Core ID"),
        Field(29, 24, "address_lsb", "Address Least Significant Bit"),
        Field(21, 16, "error_code_ext", "Extended Error Code"),
        _CODE,
    ),
    section="APM 9.3.2, PPR MCA_STATUS",
)  # fmt: skip

# SDM 15.3.2.4: with MCG_SER_P. Elsewhere the register is model specific.
MODES = {0: "Segment Offset", 1: "Linear Address", 2: "Physical Address", 3: "Memory Address", 7: "Generic"}
MISC_INTEL = Register(
    BANK_0 + MISC, 8, "ia32_mci_misc", "IA32_MCi_MISC",
    (
        Field(5, 0, "recoverable_address_lsb", "Recoverable Address LSB"),
        Field(8, 6, "address_mode", "Address Mode", names=MODES),
    ),
    section="SDM 15.3.2.4",
)  # fmt: skip
# SDM 15.3.2.4, IOMCA: with MCA error code 0x0E0B. What a Root Port reported comes to the processor as a machine check of that name.
MISC_IO = Register(
    BANK_0 + MISC, 8, "ia32_mci_misc", "IA32_MCi_MISC",
    (
        Field(39, 32, "segment_number", "PCI Express Segment Number"),
        Field(31, 16, "requester_id", "PCI Express Requester ID"),
    ),
    section="SDM 15.3.2.4",
)  # fmt: skip
MISC_AMD = Register(
    BANK_0 + MISC, 8, "mca_misc0", "MCA_MISC0",
    (
        Field(63, 63, "valid", "Valid"),
        Field(62, 62, "cnt_p", "Counter Present"),
        Field(61, 61, "locked", "Locked"),
        Field(51, 51, "cnt_en", "Counter Enable"),
        Field(50, 49, "int_type", "Interrupt Type"),
        Field(48, 48, "ovrflw", "Overflow"),
        Field(43, 32, "err_cnt", "Error Counter"),
        Field(31, 24, "blk_ptr", "Block Pointer"),
    ),
    section="APM 9.3.2.5, PPR MCA_MISC0",
)  # fmt: skip
CTL2 = Register(
    0x280, 8, "ia32_mci_ctl2", "IA32_MCi_CTL2",
    (
        Field(14, 0, "corrected_error_count_threshold", "Corrected Error Count Threshold"),
        Field(30, 30, "cmci_en", "CMCI Enable"),
    ),
    section="SDM 15.3.2.5",
)  # fmt: skip
IPID = Register(
    SMCA_0 + SMCA_IPID, 8, "mca_ipid", "MCA_IPID",
    (
        Field(63, 48, "mca_type", "McaType"),
        Field(47, 44, "instance_id_hi", "InstanceIdHi"),
        Field(43, 32, "hardware_id", "HardwareID"),
        Field(31, 0, "instance_id", "InstanceId"),
    ),
    section="PPR MCA_IPID",
)  # fmt: skip
SYND = Register(
    SMCA_0 + SMCA_SYND, 8, "mca_synd", "MCA_SYND",
    (
        Field(63, 32, "syndrome", "Syndrome"),
        Field(26, 24, "error_priority", "Error Priority"),
        Field(23, 18, "length", "Length"),
        Field(17, 0, "error_information", "Error Information"),
    ),
    section="PPR MCA_SYND",
)  # fmt: skip
ROWS = (MCG_CAP_ROW, MCG_STATUS_ROW, STATUS_INTEL, STATUS_AMD, MISC_INTEL, MISC_AMD, CTL2, IPID, SYND)

# Which Intel fields need which capability; without it their bits are "other information" and say nothing (SDM 15.3.2.2).
_NEEDS = {
    "s": "mcg_ser_p",
    "ar": "mcg_ser_p",
    "threshold_based_error_status": "mcg_tes_p",
    "corrected_error_count": "mcg_cmci_p",
    "firmware_updated_error_status": "mcg_emc_p",
}


def status_of(vendor: Vendor, mcg_cap: int | None) -> Register:
    """The STATUS row of a processor with *mcg_cap*; None: unknown, and then every architectural field is taken to be there."""
    if vendor == "amd":
        return STATUS_AMD
    if mcg_cap is None:
        return STATUS_INTEL
    fields = (f for f in STATUS_INTEL.fields if f.key not in _NEEDS or MCG_CAP_ROW.get(_NEEDS[f.key], mcg_cap))
    return STATUS_INTEL._replace(fields=tuple(fields))


def bank_msr(bank: int, part: int, *, scalable: bool = False) -> int:
    """The number of the MSR *part* (STATUS, ADDR, MISC, SMCA_…) of *bank*."""
    return SMCA_0 + 0x10 * bank + part if scalable else BANK_0 + 4 * bank + part
