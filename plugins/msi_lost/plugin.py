"""Lost interrupts: a Root Port that Linux claims to serve, whose Root Error Status stays set while its interrupt count stays flat.

The AER service clears Root Error Status in its hard interrupt handler, so the bits live for microseconds, and as long as the handler
is held up. GRACE_S is the time after which it is not coming: docs/coverage.md has the slowest that was measured, and the factor.
While errors keep coming the bits may be set at every look, but then the count moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pcifma.plugin import (
    CAPABILITIES,
    DevType,
    Evidence,
    Fabric,
    Finding,
    Function,
    Host,
    Location,
    PayloadValue,
    Read,
    Snapshot,
    Target,
    Watch,
)

GRACE_S = 10.0

AER, EXP, HEADER = CAPABILITIES["ECAP_AER"], CAPABILITIES["CAP_EXP"], CAPABILITIES[""]
_STATUS, _COMMAND = AER.location(AER["root_error_status"]), AER.location(AER["root_error_command"])
_PCI_COMMAND = HEADER.location(HEADER["command"])
_MSI_CONTROL, _MSIX_CONTROL = Location("CAP_MSI", 2, 2), Location("CAP_MSIX", 2, 2)
_RECEIVED = 1 << 0 | 1 << 2  # ERR_COR Received, ERR_FATAL/NONFATAL Received (PCIe Base Spec 7.8.4.10)
_READS = (Read(_COMMAND), Read(_PCI_COMMAND), Read(_MSI_CONTROL), Read(_MSIX_CONTROL))
_ACTION = "aerdrv"
_IRQ = "/sys/kernel/irq"


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Each Root Port and Event Collector that the AER service has an interrupt for."""
    for function in fabric:
        irq = _served(function, host)
        if irq is not None:
            fact = f"{_IRQ}/{irq}/per_cpu_count"
            target = Target.function(function.bdf)
            yield Watch(target, _STATUS, _RECEIVED, when="stays", hold=GRACE_S, reads=_READS, facts=(fact,))


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding while the status has stood for the grace time and the count has not moved for as long."""
    status = (now.word(_STATUS) or 0) & _RECEIVED
    if not status or now.held_s.get(_STATUS, 0.0) < GRACE_S:
        return
    for fact, content in now.facts.items():
        if fact.startswith(_IRQ) and content is not None and _flat(fact, now, before):
            yield _lost(now, fact, content)


def _served(function: Function, host: Host) -> int | None:
    # The interrupt that the service listens on: one of the port's own vectors, or its line.
    if function.dev_type not in (DevType.ROOT_PORT, DevType.RCEC) or function.offset_of(AER.name) is None:
        return None
    return next((irq for irq in _interrupts(function, host) if _ACTION in _text(host, f"{_IRQ}/{irq}/actions")), None)


def _interrupts(function: Function, host: Host) -> Iterator[int]:
    base = f"/sys/bus/pci/devices/{function.bdf}"
    for name in (*host.entries(f"{base}/msi_irqs"), _text(host, f"{base}/irq")):
        if name.isdigit():
            yield int(name)


def _flat(fact: str, now: Snapshot, before: Snapshot | None) -> bool:
    # The snapshot before must lie far enough back for a handler to have come since, and have seen the status set.
    if before is None or now.time_ns - before.time_ns < GRACE_S * 1e9:
        return False
    return bool((before.word(_STATUS) or 0) & _RECEIVED) and before.facts.get(fact) == now.facts[fact]


def _lost(now: Snapshot, fact: str, content: bytes) -> Finding:
    counts = [int(n) for n in content.decode("ascii", "replace").strip().split(",") if n.strip().isdigit()]
    payload: dict[str, PayloadValue] = {
        "name": "Interrupt Lost",
        "irq": int(fact.split("/")[4]),
        "interrupts": sum(counts),
        "held-s": int(now.held_s[_STATUS]),
        "root-status": now.word(_STATUS),
        "cause": "; ".join(_causes(now)) or "the port says that it interrupts",
    }
    return Finding("ereport.io.pciex.rc.irq-lost", Evidence(now.target, fact, 0), "nonfatal", payload)


def _causes(now: Snapshot) -> Iterator[str]:
    msi, msix = now.word(_MSI_CONTROL), now.word(_MSIX_CONTROL)
    command, root = now.word(_PCI_COMMAND), now.word(_COMMAND)
    if not (msi or 0) & 1 and not (msix or 0) >> 15 & 1:
        yield "MSI off"
    if command is not None and not command & 4:
        yield "Bus Master off"
    if msix is not None and msix >> 14 & 1:
        yield "MSI-X masked"
    if root is not None and root & 7 != 7:
        yield f"Root Error Command {root:#x}"


def _text(host: Host, path: str) -> str:
    return (host.read(path) or b"").decode("ascii", "replace").strip()
