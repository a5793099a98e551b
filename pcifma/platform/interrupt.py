"""The interrupt of a Root Port or RCEC: on, off, INTx, absent, or broken; from its registers, and from /proc/interrupts.

`broken` claims to be on and cannot get through: Bus Master off, both kinds on, masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pcifma.access.seam import Host
from pcifma.fabric import power
from pcifma.fabric.function import Function
from pcifma.platform.coverage import MsiState
from pcifma.platform.reason import Bits, Reason, Remedy, Severity
from pcifma.platform.view import View
from pcifma.regs.aer import AER
from pcifma.regs.header import HEADER
from pcifma.regs.msi import MSI, form, masks_vectors
from pcifma.regs.msix import MSIX
from pcifma.regs.table import Location

AER_ACTION = "aerdrv"
_STATUS = AER.location(AER["root_error_status"])
# Root Error Status bits that interrupt, by what arrives (7.8.4.10).
_CONDITION: dict[Severity, int] = {"correctable": 1 << 0, "nonfatal": 1 << 5, "fatal": 1 << 6}
_CONDITIONS = sum(_CONDITION.values())
_STATES: dict[str, MsiState] = {"on": "on", "off": "off", "intx": "intx", "absent": "absent", "broken": "broken"}


@dataclass(frozen=True, slots=True)
class Interrupt:
    """*state* (None: cannot be known from here) with the *reasons* that close it."""

    state: MsiState | None
    reasons: tuple[Reason, ...] = ()


def interrupt(view: View, port: Function) -> Interrupt:
    """The state of *port*'s interrupt for error messages."""
    stated = _STATES.get(view.machine.platform.get("msi", ""))
    assumed = view.assumed_service(port)
    if assumed is not None:
        return Interrupt(assumed.msi)
    if stated is not None:
        return Interrupt(stated, () if stated in ("on", "intx") else (_off(port, f"MSI {stated}"),))
    msi, msix = view.word(port, MSI, "message_control"), view.word(port, MSIX, "message_control")
    command = view.word(port, HEADER, "command")
    if command is None or port.unread:
        return Interrupt(None)
    msi_on, msix_on = bool(msi and msi & 1), bool(msix and msix >> 15)
    if msi_on or msix_on:
        closed = tuple(_obstacles(view, port, command, msi if msi_on else None, msix if msix_on else None))
        return Interrupt("broken" if closed else "on", closed)
    return _line(view, port, command, msi, msix)


def conditions(view: View, port: Function) -> int:
    """Root Error Status bits of *port* that interrupt when they rise, as they stand now; 0 where it cannot be read."""
    return (view.at(port, _STATUS) or 0) & _CONDITIONS


def standing(port: Function, status: int) -> Reason | None:
    """While an interrupt condition stands, a further message makes no new interrupt (PCIe Base Spec 6.2.4.1.2)."""
    severities = tuple(s for s, bit in _CONDITION.items() if status & bit)
    if not severities:
        return None
    command = f"setpci -s {port.bdf} {_STATUS}={status:08x}"
    remedy = Remedy(f"clear it at {port.bdf}: {command}", (Bits(port.bdf, _STATUS, clear=status),), "what it says is lost: sweep first")
    text = f"{port.bdf}: Root Error Status {status:#x} stands: no further interrupt until it is cleared"
    return Reason("standing", text, severities, remedy=remedy)


def aer_count(host: Host, port: Function) -> int | None:
    """How often the AER service's interrupt at *port* has come, all CPUs; None where that cannot be read."""
    rows = _rows(host, port)
    counts = [sum(counts) for _, counts, actions in rows if AER_ACTION in actions]
    return sum(counts) if counts else None


def _obstacles(view: View, port: Function, command: int, msi: int | None, msix: int | None) -> Iterator[Reason]:
    where = f"{port.bdf}"
    if not command >> 2 & 1:
        bits = Bits(port.bdf, HEADER.location(HEADER["command"]), set=4)
        yield Reason("bus-master", f"{where}: Bus Master off, so no MSI leaves it", remedy=_setpci(bits, "Bus Master on"))
    if msi is not None and msix is not None:
        bits = Bits(port.bdf, MSI.location(MSI["message_control"]), clear=1)
        yield Reason("msi-twice", f"{where}: MSI and MSI-X both on, which is not defined", remedy=_setpci(bits, "MSI off, MSI-X stays"))
    if msix is not None and msix >> 14 & 1:
        bits = Bits(port.bdf, MSIX.location(MSIX["message_control"]), clear=1 << 14)
        yield Reason("msi-masked", f"{where}: MSI-X Function Mask on", remedy=_setpci(bits, "MSI-X Function Mask off"))
    elif msi is not None:
        yield from _masked(view, port, msi)


def _masked(view: View, port: Function, control: int) -> Iterator[Reason]:
    if not masks_vectors(control):
        return
    status = view.word(port, AER, "root_error_status")
    location = _mask_location(control)
    word = view.at(port, location)
    vector = (status or 0) >> 27 & (1 << (control >> 4 & 7)) - 1
    if word is not None and word >> vector & 1:
        bits = Bits(port.bdf, location, clear=1 << vector)
        yield Reason("msi-masked", f"{port.bdf}: MSI vector {vector} masked", remedy=_setpci(bits, "vector unmasked"))


def _mask_location(control: int) -> Location:
    register = next(r for r in MSI.registers if r.key == "mask_bits" and r.form == form(control))
    return MSI.location(register)


def _line(view: View, port: Function, command: int, msi: int | None, msix: int | None) -> Interrupt:
    pin = view.word(port, HEADER, "interrupt_pin") or 0
    capable = msi is not None or msix is not None
    if not pin and not capable:
        return Interrupt("absent", (_off(port, "no interrupt at all: neither MSI, MSI-X nor INTx"),))
    reason = _off(port, "MSI off", _msi_on(port, msi, msix))
    if not pin or command >> 10 & 1:
        return Interrupt("off", (reason,))
    if view.host.read("/proc/interrupts") is None:
        return Interrupt(None, (reason,))
    return Interrupt("intx") if _wired(view.host, port) else Interrupt("off", (reason,))


def _msi_on(port: Function, msi: int | None, msix: int | None) -> Remedy | None:
    if msix is not None:
        return _setpci(Bits(port.bdf, MSIX.location(MSIX["message_control"]), set=1 << 15), "MSI-X on")
    if msi is not None:
        return _setpci(Bits(port.bdf, MSI.location(MSI["message_control"]), set=1), "MSI on")
    return None


def _off(port: Function, text: str, remedy: Remedy | None = None) -> Reason:
    return Reason("msi-off", f"{port.bdf}: {text}", remedy=remedy)


def _setpci(bits: Bits, text: str) -> Remedy:
    return setpci(bits, text, "only where the AER service has set it up; else reload the port's services")


def setpci(bits: Bits, text: str, risk: str) -> Remedy:
    """*text* at the Function, with the command that does it: value and mask, so that no other bit is written."""
    digits = bits.location.width * 2
    command = f"setpci -s {bits.bdf} {bits.location}={bits.set:0{digits}x}:{bits.set | bits.clear:0{digits}x}"
    return Remedy(f"{text} at {bits.bdf}: {command}", (bits,), risk)


def _wired(host: Host, port: Function) -> bool:
    number = power.number(host, port.bdf, "irq")
    return any(irq == str(number) and AER_ACTION in actions for irq, _, actions in _table(host))


def _rows(host: Host, port: Function) -> list[tuple[str, list[int], str]]:
    numbers = {*host.entries(f"{power.DEVICES}/{port.bdf}/msi_irqs"), str(power.number(host, port.bdf, "irq"))}
    return [row for row in _table(host) if row[0] in numbers]


def _table(host: Host) -> Iterator[tuple[str, list[int], str]]:
    # Rows of /proc/interrupts: number, a count for each CPU, then controller, trigger and actions in words.
    lines = (host.read("/proc/interrupts") or b"").decode(errors="replace").splitlines()
    cpus = len(lines[0].split()) if lines else 0
    for line in lines[1:]:
        number, colon, rest = line.partition(":")
        words = rest.split()
        if colon and number.strip().isdigit() and all(w.isdigit() for w in words[:cpus]):
            yield number.strip(), [int(w) for w in words[:cpus]], " ".join(words[cpus:])
