"""The generated part of docs/events.md: every class that a register table names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from pcifma.regs.catalogue import CAPABILITIES
from pcifma.regs.table import Capability, Field, Register

BEGIN = "<!-- generated from pcifma/regs by `pytest tests/regs/test_events.py --update-expected`: do not edit up to the end mark -->"
END = "<!-- end of the generated part -->"

# Leaves that illumos has (fabric-xlate, io.ddi and io.pci dictionaries); all others follow its manner.
_LEAVES = {
    "pci": "dpe mdpe sserr ma rta sta sec-dpe sec-mdpe sec-rserr sec-ma sec-rta sec-sta dto",
    "pcix": "spl-dis unex-spl rx-spl sec-spl-dis sec-unex-spl sec-spl-or sec-spl-dly",
    "pciex": "a-nonfatal correctable nonfatal fatal",
    "pciex.pl": "re te",
    "pciex.dl": "btlp bdllp rnr rto dllp sd",
    "pciex.tl": "ptlp fcp cto ca uc rof mtlp ecrc ur",
    "pciex.bdg": "sec-ta-sc sec-ma-sc sec-rta sec-rma usc uscmd sec-ude sec-uat sec-uadr sec-tex sec-perr sec-serr sec-interr",
    "pciex.rc": "fe-msg nfe-msg ce-msg mce-msg mue-msg",
}
ILLUMOS = frozenset(f"io.{family}.{leaf}" for family, leaves in _LEAVES.items() for leaf in leaves.split())

# Payload members of illumos's own for the bits of a register; every bit has register, bit, name and value, and masked where a mask is.
PAYLOAD = {
    "header.status": "pci-status, pci-command",
    "header.secondary_status": "pci-sec-status, pci-bdg-ctrl",
    "header.bridge_control": "pci-sec-status, pci-bdg-ctrl",
    "header.cardbus_secondary_status": "pci-sec-status",
    "pcix.pci_x_status": "pcix-command, pcix-status",
    "pcix.pci_x_secondary_status": "pcix-sec-status, pcix-bdg-stat",
    "pcix.pci_x_bridge_status": "pcix-sec-status, pcix-bdg-stat",
    "exp.device_status": "dev-status",
    "aer.uncorrectable_error_status": "dev-status, ue-status, ue-severity, adv-ctl, source-id, source-valid; ours: tlp, tlp-…",
    "aer.correctable_error_status": "dev-status, ce-status",
    "aer.root_error_status": "rc-status, source-id, source-valid",
    "aer.secondary_uncorrectable_error_status": "sue-status, source-id, source-valid; ours: tlp, tlp-…",
    **{
        f"ht.{key}": "block (which capability, from 0); unused: the link is at the end of its chain or off, then residue"
        for key in ("link_control", "link_control_0", "link_control_1")
    },
    "exp.slot_status": "slot-status, slot-control, slot (its number)",
    "pri.page_request_status": "pri-control, stopped",
    "doe.doe_status": "mailbox (which capability, from 0)",
    **{f"ide.link_ide_stream_{i}_status": "stream (Link or Selective, and its number)" for i in range(8)},
    "secpci.lane_error_status": "lane, lanes (all that are set), width (negotiated)",
    "pl16.16_0_gt_s_local_data_parity_mismatch_status": "lane, lanes, width",
    "pl16.16_0_gt_s_first_retimer_data_parity_mismatch_status": "lane, lanes, width, retimer-detected (else severity info)",
    "pl16.16_0_gt_s_second_retimer_data_parity_mismatch_status": "lane, lanes, width, retimer-detected (else severity info)",
    "flit.flit_error_log_1": "link-width, offset, consecutive, fec-uncorrectable, unrecognized, more",
    "dpc.dpc_status": "dpc-status, dpc-control, reason (in words), source-id, source-valid, source (the address)",
    "dpc.rp_pio_status": "rp-pio-status, rp-pio-mask, rp-pio-severity, source-id, source-valid, tlp, tlp-…, impspec-log",
}

# Where the device says the severity, the register that says it.
SEVERITY = {
    "aer.uncorrectable_error_status": "Uncorrectable Error Severity",
    "aer.secondary_uncorrectable_error_status": "Secondary Uncorrectable Error Severity",
    "dpc.rp_pio_status": "RP PIO Severity",
}


def generated() -> str:
    """The text between the marks, both included."""
    sections = [section(capability) for capability in CAPABILITIES]
    return "\n".join([BEGIN, "", *filter(None, sections), END])


def section(capability: Capability) -> str:
    """One capability: a table for each register with error bits."""
    registers = [r for r in capability.registers if any(f.ereport for f in r.fields) and not is_shadow(r)]
    if not registers:
        return ""
    head = [f"## {capability.title}", ""]
    return "\n".join(head + [line for register in registers for line in table(capability, register)])


def is_shadow(register: Register) -> bool:
    """True for registers that share a status register's fields without reporting an error: masks, severities and the like."""
    return register.key.endswith(("_mask", "_severity", "_syserror", "_exception"))


def table(capability: Capability, register: Register) -> Iterator[str]:
    """The lines of one register."""
    key = f"{capability.key}.{register.key}"
    form = f", {register.form}" if register.form else ""
    yield f"### {register.title}: `{capability.location(register)}` (`{key}`{form}), {register.section}"
    yield ""
    if key in PAYLOAD:
        yield f"Payload besides register, bit, name and value: {PAYLOAD[key]}."
        yield ""
    yield "| bit | class | specification | severity | from |"
    yield "|---|---|---|---|---|"
    errors = [f for f in register.fields if f.ereport]
    for _, fields in groupby(errors, key=lambda f: f.ereport):
        yield row(key, list(fields))
    yield ""


def row(key: str, fields: list[Field]) -> str:
    """One class: a bit, or the bits of all lanes."""
    first, last = fields[0], fields[-1]
    bits, title = (str(first.lo), first.title) if first is last else (f"{first.lo} to {last.lo}", first.title.replace("0", "n", 1))
    severity = first.severity or f"as {SEVERITY[key]} says"
    residue = "; residue on a first look (contracts 1.3)" if first.residue else ""
    origin = "illumos" if first.ereport in ILLUMOS else "pcifma"
    return f"| {bits} | `ereport.{first.ereport}` | {title} | {severity}{residue} | {origin} |"
