"""The reporting path: what stands between an error in a Function and somebody who hears of it, severity by severity.

    Function     AER mask, then Device Control or (uncorrectable only) SERR# Enable     PCIe Base Spec 6.2.4, 7.5.3.4
    each bridge  Bridge Control SERR#; uncorrectable: its SERR# Enable or Device Control          7.5.1.3.13
    Root Port    native: Root Error Command, interrupt, AER service; firmware: Root Control       7.8.4.9, 7.5.3.12

All causes are found, not only the first: a remedy is worth what it opens, and some open nothing alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.platform.interrupt import setpci, standing
from pcifma.platform.owner import Verdict
from pcifma.platform.reason import SEVERITIES, UNCORRECTABLE, Bits, Option, Reason, Remedy, Served, Severity
from pcifma.platform.situation import Situation
from pcifma.regs.aer import AER
from pcifma.regs.exp import EXP, DevType
from pcifma.regs.header import HEADER

_CONTROL_BIT: dict[Severity, int] = {"correctable": 1, "nonfatal": 2, "fatal": 4}  # Device Control, Root Control, Root Error Command alike
_SERR, _FORWARD = 0x100, 0x2
_EXPRESS_BRIDGES = frozenset({DevType.ROOT_PORT, DevType.UPSTREAM_PORT, DevType.DOWNSTREAM_PORT, DevType.PCIE_TO_PCI_BRIDGE})

# Errors that every Function of the kind can report (6.2.7): where all of them are masked, the severity is silent. Other
# bits may be hardwired to zero, unmasked for ever and never set.
_MANDATORY_CORRECTABLE = 1 << 6 | 1 << 7 | 1 << 8 | 1 << 12  # Bad TLP, Bad DLLP, REPLAY_NUM Rollover, Replay Timer Timeout
_MANDATORY_UNCORRECTABLE = 1 << 4 | 1 << 12 | 1 << 16 | 1 << 18 | 1 << 20  # DLP, Poisoned TLP, Unexpected Completion, Malformed, UR
# Masked by default (7.8.4.3, 7.8.4.6): internal errors, header log overflow, advisory ones.
_MASKED_BY_DEFAULT: dict[str, int] = {"correctable": 1 << 13 | 1 << 14 | 1 << 15, "uncorrectable": 1 << 22 | 1 << 26}
# What QEMU makes without Red Hat's ids: ioh3420, x3130 and xio3130 ports, e1000e, igb and its VF, nvme of old, cxl.
_QEMU_VENDORS = frozenset({0x1AF4, 0x1B36})
_QEMU_MODELS = frozenset({
    (0x8086, 0x3420), (0x104C, 0x8232), (0x104C, 0x8233), (0x8086, 0x10D3), (0x8086, 0x10C9), (0x8086, 0x10CA),
    (0x8086, 0x5845), (0x8086, 0x7075), (0x8086, 0x0D93), (0x19E5, 0xA123), (0x19E5, 0xA128),
})  # fmt: skip
_REBOOT = "takes effect at the next boot"
_CONVENTIONAL_SIZE = 256  # of configuration space without its extended part
_NOISE = "a Function that reports may also flood the log"


def served_by(fabric: Fabric, function: Function) -> Function | None:
    """The Root Port or RCEC that messages of *function* reach; None where there is none."""
    if function.dev_type == DevType.RCEC:
        return function
    return fabric.root_port(function) or fabric.collector(function)


def reasons(case: Situation, function: Function) -> list[Reason]:
    """Every cause that keeps an error of *function* from being heard, in the order of the path."""
    path = [f for f in reversed(case.fabric.path(function)) if f.physfn is None or f.bdf == function.bdf]
    blind = [_unread(f) for f in path if f.unread]
    if blind:
        return blind
    agent = _physical(case.fabric, function)
    found = [*_agent(case, agent), *_gaps(case.fabric, path), *(r for bridge in path[1:] for r in _forwarding(case, bridge))]
    port = served_by(case.fabric, function)
    if port is None:
        return [*found, *_no_server(case, agent)]
    return [*found, *_virtual(case, agent), *_serving(case, port, case.owner(function))]


def heard(found: list[Reason]) -> dict[Severity, bool | None]:
    """False where a cause closes the path, None where one cannot be known, else True."""
    verdict: dict[Severity, bool | None] = {}
    for severity in SEVERITIES:
        touching = [r for r in found if severity in r.severities]
        verdict[severity] = False if any(r.closed for r in touching) else None if touching else True
    return verdict


def masked(case: Situation, function: Function) -> list[str]:
    """Errors of *function* that are masked one by one though their severity is heard: `masked: Bad TLP (correctable)`."""
    agent, found = _physical(case.fabric, function), []
    for key, severity in (("correctable", "correctable"), ("uncorrectable", "uncorrectable")):
        register = AER[f"{key}_error_mask"]
        word = (case.view.word(agent, AER, register.key) or 0) & ~_MASKED_BY_DEFAULT[key]
        found += [f"masked: {field.title} ({severity})" for field in register.fields if word & field.mask]
    return found


def _physical(fabric: Fabric, function: Function) -> Function:
    # Device Control, AER masks and SERR# of a VF are its PF's (9.3.5.4, 9.4.2.1): its own bits are reserved.
    return fabric.get(function.physfn) or function if function.physfn is not None else function


def _unread(function: Function) -> Reason:
    words = {"short": "only 64 bytes can be read: run as root", "asleep": function.note or "asleep, not woken"}
    return Reason(function.unread, f"{function.bdf}: {words.get(function.unread, function.note or function.unread)}", closed=False)


def _agent(case: Situation, function: Function) -> Iterator[Reason]:
    command = case.view.word(function, HEADER, "command")
    control = case.view.word(function, EXP, "device_control")
    if command is None or (function.dev_type is not None and control is None):
        yield Reason("unread", f"{function.bdf}: Command or Device Control cannot be read", closed=False)
        return
    if function.dev_type is None or control is None:
        yield from _conventional(case, function, command)
        return
    off = tuple(s for s in SEVERITIES if not control & _CONTROL_BIT[s] and (s == "correctable" or not command & _SERR))
    if off:
        yield _not_reporting(function, off)
    yield from _masks(case, function)


def _conventional(case: Situation, function: Function, command: int) -> Iterator[Reason]:
    where = f"{function.bdf}"
    if not any(f.dev_type is not None for f in case.fabric.path(function)):
        yield Reason("conventional", f"{where}: conventional PCI, which sends no error messages")
        return
    yield Reason("conventional", f"{where}: conventional PCI has no correctable errors", ("correctable",))
    if not command & _SERR:
        bits = Bits(function.bdf, HEADER.location(HEADER["command"]), set=_SERR)
        remedy = setpci(bits, "SERR# on", "a system error may stop the machine")
        yield Reason("serr", f"{where}: SERR# off", UNCORRECTABLE, remedy=remedy)


def _not_reporting(function: Function, off: tuple[Severity, ...]) -> Reason:
    bits = Bits(function.bdf, EXP.location(EXP["device_control"]), set=0xF)
    text = f"{function.bdf}: Device Control: reporting off ({', '.join(off)}){'' if off == ('correctable',) else ', SERR# off'}"
    risk = f"{_NOISE}; where the bits read back 0, it cannot report at all"
    return Reason("device-control", text, off, remedy=setpci(bits, "reporting on", risk))


def _masks(case: Situation, function: Function) -> Iterator[Reason]:
    correctable = case.view.word(function, AER, "correctable_error_mask")
    if correctable is not None and not _MANDATORY_CORRECTABLE & ~correctable:
        yield _all_masked(function, "correctable", "correctable_error_mask", correctable)
    mask, severe = (case.view.word(function, AER, f"uncorrectable_error_{k}") for k in ("mask", "severity"))
    if mask is None or severe is None:
        return
    kinds: tuple[tuple[Severity, int], ...] = (("nonfatal", ~severe), ("fatal", severe))
    for severity, bits in kinds:
        of_kind = _MANDATORY_UNCORRECTABLE & bits
        if of_kind and not of_kind & ~mask:
            yield _all_masked(function, severity, "uncorrectable_error_mask", mask & bits & 0xFFFFFFFF)


def _all_masked(function: Function, severity: Severity, key: str, mask: int) -> Reason:
    default = _MASKED_BY_DEFAULT["correctable" if severity == "correctable" else "uncorrectable"]
    bits = Bits(function.bdf, AER.location(AER[key]), clear=mask & ~default)
    return Reason("aer-mask", f"{function.bdf}: AER masks every {severity} error", (severity,), remedy=setpci(bits, "unmasked", _NOISE))


def _forwarding(case: Situation, bridge: Function) -> Iterator[Reason]:
    where = f"bridge {bridge.bdf}"
    control, command = case.view.word(bridge, HEADER, "bridge_control"), case.view.word(bridge, HEADER, "command")
    if control is None or command is None:
        yield Reason("unread", f"{where}: Bridge Control cannot be read", closed=False)
        return
    if not control & _FORWARD:
        bits = Bits(bridge.bdf, HEADER.location(HEADER["bridge_control"]), set=_FORWARD)
        yield Reason("bridge-control", f"{where}: SERR# forwarding off", remedy=setpci(bits, "SERR# forwarding on", "or in firmware setup"))
    if bridge.dev_type == DevType.ROOT_PORT:
        return  # what arrives there is not sent on
    device = case.view.word(bridge, EXP, "device_control") or 0
    off = tuple(s for s in UNCORRECTABLE if not command & _SERR and not device & _CONTROL_BIT[s])
    if off:
        bits = Bits(bridge.bdf, HEADER.location(HEADER["command"]), set=_SERR)
        text = f"{where}: SERR# off, Device Control: reporting off ({', '.join(off)})"
        yield Reason("bridge-serr", text, off, remedy=setpci(bits, "SERR# on", _NOISE))


def _gaps(fabric: Fabric, path: list[Function]) -> Iterator[Reason]:
    for step in path:
        above = fabric.parent(step)
        if above is not None and above.bus_range is not None and step.physfn is None and above.bus_range[0] != step.bdf.bus:
            yield Reason("no-port", f"{step.bdf}: the bridge to bus {step.bdf.bus:02x} is not visible", closed=False)


def _virtual(case: Situation, agent: Function) -> Iterator[Reason]:
    if not case.platform.guest and not case.platform.emulated:
        return
    if case.platform.emulated and _is_emulated(agent):
        yield from _emulated(case, agent)
    elif case.platform.guest:
        text = f"{agent.bdf}: the Root Port above it is emulated: errors of a passed-through Function go to the host"
        yield Reason("emulated-port", text, closed=False)


def _is_emulated(function: Function) -> bool:
    if function.vendor in _QEMU_VENDORS or function.subsystem_vendor in _QEMU_VENDORS:
        return True
    return (function.vendor, function.device) in _QEMU_MODELS


def _emulated(case: Situation, agent: Function) -> Iterator[Reason]:
    # hw/pci/pcie_aer.c, QEMU 7.2 to 9: no Function sends ERR_COR; every Function on the way needs SERR# Enable and Device
    # Control both, and each port its Bridge Control, be it the agent itself.
    if agent.dev_type is None:
        yield Reason("emulated", f"{agent.bdf}: emulated by QEMU, whose conventional Functions signal no system error")
        return
    yield Reason("emulated", f"{agent.bdf}: emulated by QEMU, which sends no ERR_COR", ("correctable",))
    for step in reversed(case.fabric.path(agent)):
        if step.dev_type is not None:
            yield from _emulated_step(case, step)
    if agent.dev_type in _EXPRESS_BRIDGES:
        yield from (r for r in _forwarding(case, agent) if r.kind == "bridge-control")


def _emulated_step(case: Situation, step: Function) -> Iterator[Reason]:
    command = case.view.word(step, HEADER, "command") or 0
    control = case.view.word(step, EXP, "device_control") or 0
    off = tuple(s for s in UNCORRECTABLE if not control & _CONTROL_BIT[s])
    on = tuple(s for s in UNCORRECTABLE if control & _CONTROL_BIT[s])
    if command & _SERR and off:
        text = f"{step.bdf}: Device Control reporting off, which QEMU asks for beside SERR#"
        bits = Bits(step.bdf, EXP.location(EXP["device_control"]), set=0xF)
        yield Reason("emulated", text, off, remedy=setpci(bits, "reporting on", _NOISE))
    if not command & _SERR and on:
        text = f"{step.bdf}: SERR# off, which QEMU asks for beside Device Control"
        bits = Bits(step.bdf, HEADER.location(HEADER["command"]), set=_SERR)
        yield Reason("emulated", text, on, remedy=setpci(bits, "SERR# on", _NOISE))


def _no_server(case: Situation, function: Function) -> list[Reason]:
    where = f"{function.bdf}"
    if function.dev_type is None and not any(f.dev_type is not None for f in case.fabric.path(function)):
        return []  # said already: conventional
    if case.platform.guest:
        text = f"{where}: the root complex is hidden from this {case.platform.hypervisor} guest; its host may hear, or not"
        return [Reason("hidden", text, closed=False)]
    if function.dev_type == DevType.RCIEP:
        return [Reason("no-collector", f"{where}: no Root Complex Event Collector speaks for it")]
    return [Reason("no-port", f"{where}: no Root Port is visible above it", closed=False)]


def _serving(case: Situation, port: Function, owner: Verdict) -> list[Reason]:
    if owner.owner == "native":
        return _native(case, port, owner)
    if owner.owner == "firmware":
        return _firmware(case, port)
    if owner.owner == "none":
        deaf = [replace(r, remedy=None) for r in case.interrupts[port.bdf].reasons if r.kind == "msi-off"]
        return [Reason("owner", f"nobody owns AER: {_because(owner)}", remedy=_own(case, owner)), *deaf]
    closed = _native(case, port, owner)
    return [Reason("owner", f"owner of AER unknown: {_because(owner)}", closed=False), *(replace(r, closed=False) for r in closed)]


def _because(owner: Verdict) -> str:
    return owner.options[0] if owner.options else owner.reasons[0] if owner.reasons else "no reason is known"


def _native(case: Situation, port: Function, owner: Verdict) -> list[Reason]:
    # Where the owner is unknown these close the path for the OS only: firmware may have a way of its own.
    found = []
    if owner.owner == "native" and not case.attached(port):
        found.append(_unattached(port))
        if found[0].kind == "unread":
            return found  # whoever serves what cannot be seen sets up its interrupt too
    interrupt = case.interrupts[port.bdf]
    found += list(interrupt.reasons)
    if interrupt.state is None and not interrupt.reasons:
        found.append(Reason("msi-off", f"{port.bdf}: whether it can interrupt cannot be read", closed=False))
    command = case.view.word(port, AER, "root_error_command")
    if command is not None:
        off = tuple(s for s in SEVERITIES if not command & _CONTROL_BIT[s])
        found += [_root_command(port, off)] if off else []
    stuck = standing(port, case.standing.get(port.bdf, 0))
    return [*found, stuck] if stuck is not None else found


def _unattached(port: Function) -> Reason:
    if port.offset_of("ECAP_AER") is None and port.size <= _CONVENTIONAL_SIZE:
        return Reason("unread", f"{port.bdf}: only 256 bytes can be read, and AER lies beyond", closed=False)
    if port.offset_of("ECAP_AER") is None:
        name = "Root Port" if port.dev_type == DevType.ROOT_PORT else "Event Collector"
        return Reason("no-aer", f"{port.bdf}: {name} without AER, which Linux cannot serve")
    service = f"{port.bdf}:pcie{'602' if port.dev_type == DevType.RCEC else '002'}"
    text = f"bind the AER service at {port.bdf}: echo {service} > /sys/bus/pci_express/drivers/aer/bind"
    changes = (Served(port.bdf), Bits(port.bdf, AER.location(AER["root_error_command"]), set=7))
    return Reason("service", f"{port.bdf}: no AER service bound", remedy=Remedy(text, changes))


def _root_command(port: Function, off: tuple[Severity, ...]) -> Reason:
    bits = Bits(port.bdf, AER.location(AER["root_error_command"]), set=7)
    text = f"{port.bdf}: Root Error Command: interrupt off ({', '.join(off)})"
    return Reason("root-error-command", text, off, remedy=setpci(bits, "Root Error Command on", "only where Linux owns AER"))


def _firmware(case: Situation, port: Function) -> list[Reason]:
    control = case.view.word(port, EXP, "root_control") or 0
    deaf = tuple(s for s in SEVERITIES if not control & _CONTROL_BIT[s])
    if not deaf:
        return []
    text = f"{port.bdf}: firmware owns AER; with Root Control system errors off, whether it hears cannot be seen"
    return [Reason("firmware", text, deaf, closed=False)]


def _own(case: Situation, owner: Verdict) -> Remedy:
    if owner.options:
        word = owner.options[0]
        line = "dom0's command line" if case.platform.role == "dom0" else "the kernel's command line"
        return Remedy(f"drop {word} from {line}", (Option(word), *case.adoption), _REBOOT)
    return Remedy("let the OS own AER in firmware setup, or boot with pcie_ports=native", case.adoption, _REBOOT)
