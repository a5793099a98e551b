"""A second oracle for what lspci does not show: the kernel's own pci_regs.h, where it is installed.

A define is either the offset of a register or the mask of a field in the register above it; both are facts of the specification.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pcifma.regs.catalogue import BY_KEY

PATH = Path("/usr/include/linux/pci_regs.h")
pytestmark = pytest.mark.skipif(not PATH.is_file(), reason=f"{PATH} is not installed (linux-libc-dev)")

# Offset of a register in its capability.
OFFSETS = {
    "PCI_STATUS": "header.status",
    "PCI_SEC_STATUS": "header.secondary_status",
    "PCI_BRIDGE_CONTROL": "header.bridge_control",
    "PCI_CB_BRIDGE_CONTROL": "header.cardbus_bridge_control",
    "PCI_EXP_DEVCTL": "exp.device_control",
    "PCI_EXP_DEVSTA": "exp.device_status",
    "PCI_EXP_LNKSTA": "exp.link_status",
    "PCI_EXP_SLTSTA": "exp.slot_status",
    "PCI_EXP_RTSTA": "exp.root_status",
    "PCI_EXP_LNKSTA2": "exp.link_status_2",
    "PCI_ERR_UNCOR_STATUS": "aer.uncorrectable_error_status",
    "PCI_ERR_UNCOR_MASK": "aer.uncorrectable_error_mask",
    "PCI_ERR_UNCOR_SEVER": "aer.uncorrectable_error_severity",
    "PCI_ERR_COR_STATUS": "aer.correctable_error_status",
    "PCI_ERR_COR_MASK": "aer.correctable_error_mask",
    "PCI_ERR_CAP": "aer.advanced_error_capabilities_and_control",
    "PCI_ERR_HEADER_LOG": "aer.header_log_0",
    "PCI_ERR_ROOT_COMMAND": "aer.root_error_command",
    "PCI_ERR_ROOT_STATUS": "aer.root_error_status",
    "PCI_ERR_ROOT_ERR_SRC": "aer.error_source_identification",
    "PCI_EXP_DPC_CAP": "dpc.dpc_capability",
    "PCI_EXP_DPC_CTL": "dpc.dpc_control",
    "PCI_EXP_DPC_STATUS": "dpc.dpc_status",
    "PCI_EXP_DPC_SOURCE_ID": "dpc.dpc_error_source_id",
    "PCI_EXP_DPC_RP_PIO_STATUS": "dpc.rp_pio_status",
    "PCI_EXP_DPC_RP_PIO_MASK": "dpc.rp_pio_mask",
    "PCI_EXP_DPC_RP_PIO_SEVERITY": "dpc.rp_pio_severity",
    "PCI_EXP_DPC_RP_PIO_SYSERROR": "dpc.rp_pio_syserror",
    "PCI_EXP_DPC_RP_PIO_EXCEPTION": "dpc.rp_pio_exception",
    "PCI_EXP_DPC_RP_PIO_HEADER_LOG": "dpc.rp_pio_header_log_0",
    "PCI_EXP_DPC_RP_PIO_IMPSPEC_LOG": "dpc.rp_pio_impspec_log",
    "PCI_EXP_DPC_RP_PIO_TLPPREFIX_LOG": "dpc.rp_pio_tlp_prefix_log_0",
    "PCI_PRI_CTRL": "pri.page_request_control",
    "PCI_PRI_STATUS": "pri.page_request_status",
    "PCI_RCEC_RCIEP_BITMAP": "rcec.association_bitmap_for_rcieps",
    "PCI_RCEC_BUSN": "rcec.rcec_associated_bus_numbers",
    "PCI_ACS_CAP": "acs.acs_capability",
    "PCI_ACS_CTRL": "acs.acs_control",
    "PCI_X_CMD": "pcix.pci_x_command",
    "PCI_X_STATUS": "pcix.pci_x_status",
    "PCI_X_BRIDGE_SSTATUS": "pcix.pci_x_secondary_status",
    "PCI_X_BRIDGE_STATUS": "pcix.pci_x_bridge_status",
    "HT_MSI_FLAGS": "ht.msi_mapping_command",
    "HT_MSI_ADDR_LO": "ht.msi_mapping_address_lower",
    "HT_MSI_ADDR_HI": "ht.msi_mapping_address_upper",
    "PCI_DVSEC_HEADER1": "dvsec.dvsec_header_1",
    "PCI_DVSEC_HEADER2": "dvsec.dvsec_header_2",
    "PCI_DOE_CAP": "doe.doe_capabilities",
    "PCI_DOE_CTRL": "doe.doe_control",
    "PCI_DOE_STATUS": "doe.doe_status",
    "PCI_PM_CTRL": "pm.power_management_control_status",
    "PCI_MSI_FLAGS": "msi.message_control",
    "PCI_MSI_ADDRESS_LO": "msi.message_address",
    "PCI_MSIX_FLAGS": "msix.message_control",
    "PCI_MSIX_TABLE": "msix.table_offset_table_bir",
    "PCI_MSIX_PBA": "msix.pba_offset_pba_bir",
}

# Mask of a field within its register.
MASKS = {
    "PCI_STATUS_IMM_READY": "header.status.immediate_readiness",
    "PCI_STATUS_PARITY": "header.status.master_data_parity_error",
    "PCI_STATUS_SIG_TARGET_ABORT": "header.status.signaled_target_abort",
    "PCI_STATUS_REC_TARGET_ABORT": "header.status.received_target_abort",
    "PCI_STATUS_REC_MASTER_ABORT": "header.status.received_master_abort",
    "PCI_STATUS_SIG_SYSTEM_ERROR": "header.status.signaled_system_error",
    "PCI_STATUS_DETECTED_PARITY": "header.status.detected_parity_error",
    "PCI_EXP_DEVSTA_CED": "exp.device_status.correctable_error_detected",
    "PCI_EXP_DEVSTA_NFED": "exp.device_status.non_fatal_error_detected",
    "PCI_EXP_DEVSTA_FED": "exp.device_status.fatal_error_detected",
    "PCI_EXP_DEVSTA_URD": "exp.device_status.unsupported_request_detected",
    "PCI_EXP_DEVSTA_AUXPD": "exp.device_status.aux_power_detected",
    "PCI_EXP_DEVSTA_TRPND": "exp.device_status.transactions_pending",
    "PCI_EXP_SLTSTA_PFD": "exp.slot_status.power_fault_detected",
    "PCI_EXP_SLTSTA_DLLSC": "exp.slot_status.data_link_layer_state_changed",
    "PCI_EXP_RTSTA_PME": "exp.root_status.pme_status",
    "PCI_EXP_RTSTA_PENDING": "exp.root_status.pme_pending",
    "PCI_EXP_LNKSTA_LBMS": "exp.link_status.link_bandwidth_management_status",
    "PCI_EXP_LNKSTA_LABS": "exp.link_status.link_autonomous_bandwidth_status",
    "PCI_ERR_UNC_UND": "aer.uncorrectable_error_status.undefined",
    "PCI_ERR_UNC_DLP": "aer.uncorrectable_error_status.data_link_protocol_error",
    "PCI_ERR_UNC_SURPDN": "aer.uncorrectable_error_status.surprise_down_error",
    "PCI_ERR_UNC_POISON_TLP": "aer.uncorrectable_error_status.poisoned_tlp_received",
    "PCI_ERR_UNC_FCP": "aer.uncorrectable_error_status.flow_control_protocol_error",
    "PCI_ERR_UNC_COMP_TIME": "aer.uncorrectable_error_status.completion_timeout",
    "PCI_ERR_UNC_COMP_ABORT": "aer.uncorrectable_error_status.completer_abort",
    "PCI_ERR_UNC_UNX_COMP": "aer.uncorrectable_error_status.unexpected_completion",
    "PCI_ERR_UNC_RX_OVER": "aer.uncorrectable_error_status.receiver_overflow",
    "PCI_ERR_UNC_MALF_TLP": "aer.uncorrectable_error_status.malformed_tlp",
    "PCI_ERR_UNC_ECRC": "aer.uncorrectable_error_status.ecrc_error",
    "PCI_ERR_UNC_UNSUP": "aer.uncorrectable_error_status.unsupported_request_error",
    "PCI_ERR_UNC_ACSV": "aer.uncorrectable_error_status.acs_violation",
    "PCI_ERR_UNC_INTN": "aer.uncorrectable_error_status.uncorrectable_internal_error",
    "PCI_ERR_UNC_MCBTLP": "aer.uncorrectable_error_status.mc_blocked_tlp",
    "PCI_ERR_UNC_ATOMEG": "aer.uncorrectable_error_status.atomicop_egress_blocked",
    "PCI_ERR_UNC_TLPPRE": "aer.uncorrectable_error_status.tlp_prefix_blocked_error",
    "PCI_ERR_COR_RCVR": "aer.correctable_error_status.receiver_error",
    "PCI_ERR_COR_BAD_TLP": "aer.correctable_error_status.bad_tlp",
    "PCI_ERR_COR_BAD_DLLP": "aer.correctable_error_status.bad_dllp",
    "PCI_ERR_COR_REP_ROLL": "aer.correctable_error_status.replay_num_rollover",
    "PCI_ERR_COR_REP_TIMER": "aer.correctable_error_status.replay_timer_timeout",
    "PCI_ERR_COR_ADV_NFAT": "aer.correctable_error_status.advisory_non_fatal_error",
    "PCI_ERR_COR_INTERNAL": "aer.correctable_error_status.corrected_internal_error",
    "PCI_ERR_COR_LOG_OVER": "aer.correctable_error_status.header_log_overflow",
    "PCI_ERR_ROOT_COR_RCV": "aer.root_error_status.err_cor_received",
    "PCI_ERR_ROOT_MULTI_COR_RCV": "aer.root_error_status.multiple_err_cor_received",
    "PCI_ERR_ROOT_UNCOR_RCV": "aer.root_error_status.err_fatal_nonfatal_received",
    "PCI_ERR_ROOT_MULTI_UNCOR_RCV": "aer.root_error_status.multiple_err_fatal_nonfatal_received",
    "PCI_ERR_ROOT_FIRST_FATAL": "aer.root_error_status.first_uncorrectable_fatal",
    "PCI_ERR_ROOT_NONFATAL_RCV": "aer.root_error_status.non_fatal_error_messages_received",
    "PCI_ERR_ROOT_FATAL_RCV": "aer.root_error_status.fatal_error_messages_received",
    "PCI_ERR_ROOT_AER_IRQ": "aer.root_error_status.advanced_error_interrupt_message_number",
    "PCI_EXP_DPC_CAP_RP_EXT": "dpc.dpc_capability.rp_extensions_for_dpc",
    "PCI_EXP_DPC_RP_PIO_LOG_SIZE": "dpc.dpc_capability.rp_pio_log_size",
    "PCI_EXP_DPC_STATUS_TRIGGER": "dpc.dpc_status.dpc_trigger_status",
    "PCI_EXP_DPC_STATUS_TRIGGER_RSN": "dpc.dpc_status.dpc_trigger_reason",
    "PCI_EXP_DPC_STATUS_INTERRUPT": "dpc.dpc_status.dpc_interrupt_status",
    "PCI_EXP_DPC_RP_BUSY": "dpc.dpc_status.dpc_rp_busy",
    "PCI_EXP_DPC_STATUS_TRIGGER_RSN_EXT": "dpc.dpc_status.dpc_trigger_reason_extension",
    "PCI_EXP_DPC_RP_PIO_FEP": "dpc.dpc_status.rp_pio_first_error_pointer",
    "PCI_PRI_STATUS_RF": "pri.page_request_status.response_failure",
    "PCI_PRI_STATUS_UPRGI": "pri.page_request_status.unexpected_page_request_group_index",
    "PCI_PRI_STATUS_STOPPED": "pri.page_request_status.stopped",
    "PCI_PRI_STATUS_PASID": "pri.page_request_status.prg_response_pasid_required",
    "PCI_X_STATUS_SPL_DISC": "pcix.pci_x_status.split_completion_discarded",
    "PCI_X_STATUS_UNX_SPL": "pcix.pci_x_status.unexpected_split_completion",
    "PCI_X_STATUS_SPL_ERR": "pcix.pci_x_status.received_split_completion_error_message",
    "PCI_DOE_STATUS_BUSY": "doe.doe_status.doe_busy",
    "PCI_DOE_STATUS_ERROR": "doe.doe_status.doe_error",
    "PCI_DOE_STATUS_DATA_OBJECT_READY": "doe.doe_status.data_object_ready",
    "PCI_PM_CTRL_STATE_MASK": "pm.power_management_control_status.powerstate",
    "PCI_PM_CTRL_PME_STATUS": "pm.power_management_control_status.pme_status",
    "PCI_MSI_FLAGS_ENABLE": "msi.message_control.msi_enable",
    "PCI_MSI_FLAGS_64BIT": "msi.message_control.64_bit_address_capable",
    "PCI_MSI_FLAGS_MASKBIT": "msi.message_control.per_vector_masking_capable",
    "PCI_MSIX_FLAGS_MASKALL": "msix.message_control.function_mask",
    "PCI_MSIX_FLAGS_ENABLE": "msix.message_control.msi_x_enable",
}


def defines() -> dict[str, int]:
    pattern = re.compile(r"#define\s+(\w+)\s+(0x[0-9a-fA-F]+|\d+)U?L*\s*(?:/\*.*)?$")
    return {m[1]: int(m[2], 0) for line in PATH.read_text().splitlines() if (m := pattern.match(line))}


@pytest.mark.parametrize(("define", "key"), OFFSETS.items())
def test_offsets_are_the_kernels(define: str, key: str) -> None:
    table, register = key.split(".")
    assert BY_KEY[table][register].offset == defines()[define]


@pytest.mark.parametrize(("define", "key"), MASKS.items())
def test_masks_are_the_kernels(define: str, key: str) -> None:
    table, register, name = key.split(".")
    masks = {f.key: f.mask for f in BY_KEY[table][register].fields}
    assert masks[name] == defines()[define]


def test_ids_are_the_kernels() -> None:
    told = defines()
    kernel = {f"ECAP_{k.removeprefix('PCI_EXT_CAP_ID_')}": v for k, v in told.items() if k.startswith("PCI_EXT_CAP_ID_")}
    for name in ("ECAP_DSN", "ECAP_RCEC", "ECAP_ACS", "ECAP_PRI", "ECAP_SECPCI", "ECAP_DPC", "ECAP_DVSEC"):
        assert BY_KEY[name.removeprefix("ECAP_").lower()].id == kernel[name]
    assert (BY_KEY["aer"].id, BY_KEY["doe"].id, BY_KEY["pl16"].id) == (kernel["ECAP_ERR"], kernel["ECAP_DOE"], kernel["ECAP_PL_16GT"])
