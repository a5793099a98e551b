"""The sweep as a person reads it: the worst first, words before numbers, residue folded apart, what was not read named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pcifma.access.seam import Machine
from pcifma.cli.found import Outcome, bits
from pcifma.cli.name import names
from pcifma.cli.severity import COLOURS, MARGIN, ORDER, SHORT_NAMES, WORDS, line
from pcifma.cli.text import clean, duration, plural
from pcifma.event.ereport import Ereport
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.poll.absence import REMEDIES
from pcifma.poll.poller import Look
from pcifma.regs.bdf import Bdf


def sheet(fabric: Fabric, machine: Machine, look: Look, outcome: Outcome, *, everything: bool) -> Iterator[str]:
    """The lines of the report."""
    found = bits(look.ereports)
    news = [event for event in found if everything or not event.residue]
    yield _heading(machine, outcome)
    if not outcome.summary.ereports:
        yield line(
            "OK", "no error is latched that probing does not leave behind" if outcome.summary.read else "nothing could be looked at"
        )
    yield from _by_function(fabric, machine, look, news)
    if not everything:
        yield from _residue([event for event in found if event.residue])
    yield from _unread(look, everything=everything)
    written = outcome.summary.writes
    yield f"Written to hardware: {plural(written, 'register') if written else 'nothing'}"


def _heading(machine: Machine, outcome: Outcome) -> str:
    counts = outcome.summary
    rest = "".join(f", {n} {reason}" for reason, n in counts.unread.items())
    return f"{clean(machine.name)}  {plural(counts.functions, 'Function')}: {counts.read} read{rest}"


def _by_function(fabric: Fabric, machine: Machine, look: Look, events: Sequence[Ereport]) -> Iterator[str]:
    by_device: dict[str, list[Ereport]] = {}
    for event in events:
        by_device.setdefault(event.device, []).append(event)
    functions = {device: function for device in by_device if (function := _function(fabric, device))}
    named = names(functions.values())
    for device in sorted(by_device, key=lambda d: min(ORDER.index(e.severity) for e in by_device[d])):
        worst = min((e.severity for e in by_device[device]), key=ORDER.index)
        function = functions.get(device)
        yield line(WORDS[worst], "  ".join([device, *_who(function, named)]), COLOURS.get(worst))
        for event in by_device[device]:
            yield from _bit(event, look)


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


def _bit(event: Ereport, look: Look) -> Iterator[str]:
    register, bit = str(event.payload.get("register", "")), event.payload.get("bit")
    name = clean(str(event.payload.get("name", "undefined bit")))
    first = ", first error" if "tlp" in event.payload else ""
    masked = " (masked)" if event.payload.get("masked") else ""
    residue = " (residue)" if event.residue else ""
    leaf = event.class_.removeprefix("ereport.io.pciex.").removeprefix("ereport.")
    where = SHORT_NAMES.get(register, register)
    proof = f"setpci -s {event.device} {register}" if event.device.count(":") else ""
    indent = " " * (MARGIN + 2)
    yield f"{indent}{name}{first}  {leaf}  {where} bit {bit}{masked}{residue}    {proof}".rstrip()
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
    # Unsupported Request, its Device Status shadow and its advisory bit are one thing to a person.
    return "Received Master Abort" if event.class_.endswith((".ma", ".sec-ma", ".sec-rma")) else "Unsupported Request"


def _unread(look: Look, *, everything: bool) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for device, reason in sorted(look.unread.items()):
        by_reason.setdefault(reason, []).append(device)
    for reason, devices in by_reason.items():
        shown = devices if everything else devices[:4]
        more = f" and {len(devices) - len(shown)} more" if len(devices) > len(shown) else ""
        word = "GONE" if reason == "gone" else reason
        yield line(word, f"{', '.join(shown)}{more}: {REMEDIES.get(reason, 'not looked at')}; not counted as healthy")


def age(since_ns: int, now_ns: int) -> str:
    """How long ago, in words."""
    return duration(max(0, now_ns - since_ns) / 1e9)
