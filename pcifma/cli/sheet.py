"""The sweep as a person reads it: the worst first, words before numbers, residue folded apart, what was not read named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pcifma.access.seam import Machine
from pcifma.cli.found import Outcome, bits
from pcifma.cli.name import names
from pcifma.cli.severity import COLOURS, MARGIN, ORDER, SHORT_NAMES, WORDS, line
from pcifma.cli.text import clean, duration, plural
from pcifma.event.ereport import Ereport
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.platform.survey import Line, Survey
from pcifma.poll.absence import ASLEEP, REMEDIES
from pcifma.poll.look import Look
from pcifma.regs.bdf import Bdf

_CONVENTIONAL_SIZE = 256
# Residue by how its class ends, in a person's words; all else is Unsupported Request with its shadows.
_RESIDUE = (
    ((".ma", ".sec-ma", ".sec-rma"), "Received Master Abort"),
    ((".pl.lane", ".pl.pm", ".pl.rt1-pm", ".pl.rt2-pm"), "Errors of link training on all lanes"),
    ((".rp-pio.cfg-ur",), "Unsupported Request to the port's own probing"),
    ((".ht.lf", ".ht.crc"), "Errors of unused HyperTransport links"),
    ((".msi.stray",), "MSI left on by firmware"),
)


@dataclass(frozen=True)
class Report:
    """What a person is told of one look: *coverage* says who else would have heard."""

    fabric: Fabric
    machine: Machine
    look: Look
    outcome: Outcome
    coverage: Survey

    @cached_property
    def lines(self) -> dict[str, Line]:
        """The verdict on each Function, by address."""
        return {line.coverage.device: line for line in self.coverage.lines}


def sheet(report: Report, *, everything: bool) -> Iterator[str]:
    """The lines of the report."""
    found = bits(report.look.ereports)
    yield _heading(report)
    if not report.outcome.summary.ereports:
        yield _nothing(report.outcome)
    yield from _by_function(report, [event for event in found if everything or not event.residue])
    if not everything:
        yield from _residue([event for event in found if event.residue])
    yield from _unread(report.look, everything=everything)
    yield from _limited(report, everything=everything)
    yield from _deaf(report)
    yield from _stuck(report, found)
    written = report.outcome.summary.writes
    yield f"Written to hardware: {plural(written, 'register') if written else 'nothing'}"


def _heading(report: Report) -> str:
    counts, machine = report.outcome.summary, report.machine
    rest = "".join(f", {n} {reason}" for reason, n in counts.unread.items())
    platform = report.coverage.situation.platform.text if machine.kind != "capture" else "a capture"
    return f"{clean(machine.name)}  {clean(platform)}  {plural(counts.functions, 'Function')}: {counts.read} read{rest}"


def _nothing(outcome: Outcome) -> str:
    counts = outcome.summary
    out_of_reach = sum(n for reason, n in counts.unread.items() if reason != ASLEEP)
    if out_of_reach or outcome.failed:
        return line(
            "?", f"nothing found, but {plural(out_of_reach, 'Function')} could not be looked at whole: this is no clean bill of health"
        )
    return line("OK", "no error is latched that probing does not leave behind")


def _limited(report: Report, *, everything: bool) -> Iterator[str]:
    # Of these the Device Status was read, which has a bit for each severity, and not AER, which says what it was.
    devices = [str(f.bdf) for f in report.fabric if f.dev_type is not None and not f.unread and f.size <= _CONVENTIONAL_SIZE]
    if devices:
        capture = report.machine.kind == "capture"
        why = "a capture: take it with lspci -xxxx, four x" if capture else "the kernel gives no more: look for pci=nommconf"
        yield line("limited", f"{_listed(devices, everything=everything)}: 256 bytes, so AER and what lies beyond was not read ({why})")


def _listed(devices: Sequence[str], *, everything: bool) -> str:
    shown = devices if everything else devices[:4]
    return ", ".join(shown) + (f" and {len(devices) - len(shown)} more" if len(devices) > len(shown) else "")


def _deaf(report: Report) -> Iterator[str]:
    deaf = sum(found.deaf for found in report.coverage.lines)
    if deaf and report.machine.kind != "capture":
        verb = "has" if deaf == 1 else "have"
        command = "pcifma coverage" if report.machine.kind == "live" else "pcifma coverage SOURCE"
        yield line("deaf", f"{plural(deaf, 'Function')} {verb} nobody to tell: {command}")


def _stuck(report: Report, found: Sequence[Ereport]) -> Iterator[str]:
    # A latched bit hides its repeats, and where nobody owns the register nobody will clear it.
    devices = {event.device for event in found if event.is_error}
    ours = sorted(device for device in devices if device in report.lines and report.lines[device].coverage.owner == "none")
    if ours and report.machine.kind != "capture":
        yield line("stuck", f"what is set at {plural(ours, 'Function')} hides repeats, and nobody else will clear it: pcifma sweep --clear")


def _by_function(report: Report, events: Sequence[Ereport]) -> Iterator[str]:
    by_device: dict[str, list[Ereport]] = {}
    for event in events:
        by_device.setdefault(event.device, []).append(event)
    functions = {device: function for device in by_device if (function := _function(report.fabric, device))}
    named = names(functions.values())
    for device in sorted(by_device, key=lambda d: min(ORDER.index(e.severity) for e in by_device[d])):
        worst = min((e.severity for e in by_device[device]), key=ORDER.index)
        guest = _guest(report, device)
        yield line(WORDS[worst], "  ".join([device, *_who(functions.get(device), named), *guest]), COLOURS.get(worst))
        for event in by_device[device]:
            yield from bit_lines(event)
        yield from _since(report, device, by_device[device])


def _guest(report: Report, device: str) -> Iterator[str]:
    known = report.lines.get(device)
    if known is not None and isinstance(known.coverage.guest, str):
        yield clean(f"guest {known.coverage.guest}")


def _since(report: Report, device: str, events: Sequence[Ereport]) -> Iterator[str]:
    # How old it may be, and who should have been told.
    first = next((event for event in events if event.first_look and (event.is_error or event.residue)), None)
    if first is None:
        return
    uptime = report.machine.host.read("/proc/uptime") if report.machine.kind == "live" else None
    age = f"between boot ({duration(float(uptime.split()[0]))} ago) and now" if uptime else "at an unknown time"
    known = report.lines.get(device)
    severity = "correctable" if first.severity in ("correctable", "advisory", "info") else first.severity
    heard = getattr(known.coverage.heard, severity) if known is not None else None
    told = f"; nobody was told: {clean(known.why[0].text)}" if known is not None and heard is False and known.why else ""
    yield f"{' ' * (MARGIN + 2)}latched {age}{told}"


def _function(fabric: Fabric, device: str) -> Function | None:
    try:
        return fabric.get(Bdf.parse(device))
    except ValueError:
        return None


def _who(function: Function | None, named: dict[tuple[int, int], str]) -> Iterator[str]:
    if function is None:
        return
    if function.slot is not None:
        doubt = ", sources disagree" if function.slot.agreed is False else ""
        yield clean(f"{function.slot.label} ({function.slot.source}{doubt})")
    yield clean(named[function.vendor, function.device])
    if function.serial is not None:
        yield f"s/n {function.serial}"
    if function.physfn is not None:
        yield f"VF of {function.physfn}"


def _place(device: str, register: str) -> tuple[str, str]:
    # What the evidence is called, and the command that shows it: a register, or a fact of the host.
    if register.startswith("/msr/"):
        return "bank, by MSR", ""  # several registers, and no file
    if "/" in register:
        path = register.replace("{sysfs}", f"/sys/bus/pci/devices/{device}")
        return path.rpartition("/")[2], f"cat {path}"
    return SHORT_NAMES.get(register, register), f"setpci -s {device} {register}" if device.count(":") else ""


def bit_lines(event: Ereport) -> Iterator[str]:
    """One error bit: its name, class and place, what proves it, and when it can have happened."""
    register, bit = str(event.payload.get("register", "")), event.payload.get("bit")
    name = clean(str(event.payload.get("name", "undefined bit")))
    first = ", first error" if "tlp" in event.payload else ""
    masked = " (masked)" if event.payload.get("masked") else ""
    residue = " (residue)" if event.residue else ""
    leaf = event.class_.removeprefix("ereport.io.pciex.").removeprefix("ereport.")
    times = f" {event.count} times" if event.count > 1 else ""
    where, proof = _place(event.device, register)
    where = clean(str(event.payload.get("register-name", where)))
    number = f" bit {bit}" if "/" not in register else ""
    indent = " " * (MARGIN + 2)
    yield f"{indent}{name}{first}{times}  {leaf}  {where}{number}{masked}{residue}    {proof}".rstrip()
    if "why" in event.payload:
        yield f"{indent}{clean(str(event.payload['why']))}"
    if "tlp" in event.payload:
        target = event.payload.get("tlp-target")
        whose = f" (a BAR of {target})" if target and "tlp-address" in event.payload else ""
        yield f"{indent}header: {clean(str(event.payload['tlp']))}{whose}"
    if event.not_before is not None:
        yield f"{indent}happened between {event.not_before} and {event.time}"


def _residue(events: Sequence[Ereport]) -> Iterator[str]:
    by_name: dict[str, set[str]] = {}
    for event in events:
        by_name.setdefault(_residue_name(event), set()).add(event.device)
    for name, devices in sorted(by_name.items()):
        yield line("residue", f"{name} on {plural(devices, 'Function')}, age unknown  (--all lists)")


def _residue_name(event: Ereport) -> str:
    # Unsupported Request, its Device Status shadow and its advisory bit are one thing to a person; so are the bits of all lanes.
    if event.class_.startswith("ereport.io.hb."):
        return "Host bridge's own record"
    return next((name for ends, name in _RESIDUE if event.class_.endswith(ends)), "Unsupported Request")


def _unread(look: Look, *, everything: bool) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for device, reason in sorted(look.unread.items()):
        by_reason.setdefault(reason, []).append(device)
    for reason, devices in by_reason.items():
        word = "GONE" if reason == "gone" else reason
        yield line(word, f"{_listed(devices, everything=everything)}: {REMEDIES.get(reason, 'not looked at')}; not counted as healthy")
