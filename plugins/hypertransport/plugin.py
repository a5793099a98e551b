"""HyperTransport: Link Control, Link Error and the other registers with error bits of each block (HT 3.10, chapter 7).

A link that is not used (End of Chain or Transmitter Off) may show Link Failure and CRC errors on a healthy machine. Blocks before
revision 1.02 have Link Control alone; a host block has Error Handling only with the Extended Register Set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pcifma.plugin import (
    CAPABILITIES,
    Fabric,
    Finding,
    Host,
    Read,
    Register,
    Snapshot,
    Target,
    Watch,
    error_mask,
    findings,
)

HT = CAPABILITIES["CAP_HT"]
REVISION_1_02 = 0x22
EXTENDED_REGISTERS = 1 << 8  # Feature Capability
END_OF_CHAIN, TRANSMITTER_OFF = 1 << 6, 1 << 7  # Link Control
# The registers with error bits of each form of block, and what must be read beside them to understand those.
ERRORS = {
    form: tuple(r for r in HT.registers if r.form == form and any(field.ereport for field in r.fields))
    for form in ("primary", "host", "switch", "retry")
}
BESIDE = {"primary": ("revision_id",), "host": ("revision_id", "feature")}
PLAIN = frozenset(
    {"link_control", "link_control_0", "link_control_1", "host_command", "switch_command", "retry_status_0", "retry_status_1"}
)
# Registers that hold nothing but status: an undefined bit in them is no setting.
STATUS = frozenset({"link_error", "link_error_0", "link_error_1", "retry_status_0", "retry_status_1"})


_COMMAND = HT.location(HT["slave_command"])  # every block has its Command there: it tells what kind of block it is
_KINDS = {0x08: "switch", 0x18: "retry"}


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """The registers with error bits of every block."""
    for function in fabric:
        for number, found in enumerate(function.all(HT.name)):
            form = found.form.name
            beside = (HT.location(HT.in_form(key, form), number) for key in BESIDE.get(form, ()))
            reads = (Read(_COMMAND._replace(number=number)), *map(Read, beside))
            for register in ERRORS.get(form, ()):
                mask = error_mask(register) if register.key in STATUS else sum(field.mask for field in register.fields if field.ereport)
                yield Watch(Target.function(function.bdf), HT.location(register, number), mask, reads=reads)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding for each error bit, with the number of its block."""
    for target, location in now.words:
        if target == now.target and location._replace(number=0) == _COMMAND:
            form = _form(now.word(location) or 0)
            for register in ERRORS.get(form, ()):
                if _exists(now, form, register, location.number):
                    yield from _found(now, register, location.number)


def _form(command: int) -> str:
    # Command 15:13 of the two interface blocks, 15:11 of all others.
    return ("primary", "host")[command >> 13] if command >> 13 < 2 else _KINDS.get(command >> 11, "")


def _exists(now: Snapshot, form: str, register: Register, number: int) -> bool:
    def word(key: str) -> int:
        return now.word(HT.location(HT.in_form(key, form), number)) or 0

    if register.key in PLAIN:
        return True
    extended = form != "host" or register.key != "error_handling" or word("feature") & EXTENDED_REGISTERS
    return word("revision_id") >= REVISION_1_02 and bool(extended)


def _found(now: Snapshot, register: Register, number: int) -> Iterator[Finding]:
    location = HT.location(register, number)
    unused = register.key.startswith("link_control") and bool((now.word(location) or 0) & (END_OF_CHAIN | TRANSMITTER_OFF))
    for found in findings(now, location, register, {"block": number}, unknown="ereport.io.pci.unknown"):
        if "name" in found.payload or register.key in STATUS:
            yield found._replace(severity="info", residue=True, payload={**found.payload, "unused": True}) if unused else found
