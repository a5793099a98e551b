"""Output: probes and firings as text, in dtrace's columns, and as JSON, a line each.

Names of processes come from whoever runs them: no control byte of them reaches a terminal or a file.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from pcifma.xpv.argument import plain, text
from pcifma.xpv.firing import Firing, error_name
from pcifma.xpv.probe import PROVIDER, STABILITY, Probe

# dtrace(1): the listing, the stream, and the stream with -F.
LIST_HEADER = f"{'ID':>5} {'PROVIDER':>10} {'MODULE':>17} {'FUNCTION':>33} NAME"
STREAM_HEADER = f"{'CPU':>3} {'ID':>6} {'FUNCTION:NAME':>32}"
FLOW_HEADER = f"{'CPU':>3} {'FUNCTION':<41}"
_FLOW = {"start": "-> ", "end": "<- ", "entry": " | "}
_FLOW_STEP = 2


def printable(name: str) -> str:
    """Return *name* with everything that is no plain printable character replaced by `?`."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in name)


def list_row(probe: Probe) -> str:
    """Return *probe* as `dtrace -l` lists it, extensions marked behind the name."""
    row = f"{probe.id:5d} {PROVIDER:>10} {probe.module:>17} {probe.function:>33} {probe.name}"
    return f"{row} [extension]" if probe.origin == "extension" else row


def list_details(probe: Probe) -> Iterator[str]:
    """Yield what `dtrace -lv` says below a probe: stability, argument types, and our note."""
    yield ""
    yield "\tProbe Description Attributes"
    for what, name, data, group in STABILITY[:4]:
        yield f"\t\t{what.capitalize() + ':':<10} {name}/{data}/{group}"
    yield ""
    yield "\tArgument Attributes"
    yield "\t\t" + "/".join(STABILITY[4][1:])
    yield ""
    yield "\tArgument Types"
    for index, argument in enumerate(probe.arguments):
        yield f"\t\targs[{index}]: {argument.ctype} {argument.name}{' (added here)' if argument.added else ''}"
    if not probe.arguments:
        yield "\t\tNone"
    if probe.note:
        yield f"\n\tNote: {probe.note}"
    yield ""


def list_json(probe: Probe) -> dict[str, object]:
    """Return *probe* as one JSON object of a listing."""
    return {
        "class": "xpv.probe",
        "version": 1,
        "id": probe.id,
        "probe": probe.description,
        "provider": PROVIDER,
        "module": probe.module,
        "function": probe.function,
        "name": probe.name,
        "origin": probe.origin,
        "arguments": [{"name": a.name, "type": a.ctype, "added": a.added} for a in probe.arguments],
        "stability": {what: {"name": name, "data": data, "class": group} for what, name, data, group in STABILITY},
        "note": probe.note or None,
    }


def arguments_text(firing: Firing) -> str:
    """Return who called and with what: `xl[195] domid=1 nr_extents=64 …`; an end has its error's name beside the number."""
    parts = [f"{printable(firing.call.comm)}[{firing.call.tid}]"]
    parts += [f"{argument.name}={text(argument, value)}" for argument, value in firing.values()]
    if firing.returned is not None:
        name = error_name(firing.returned)
        parts += [f"({name})"] if name else []
        parts += [f"domid={firing.returned.created}"] if firing.returned.created is not None else []
        parts.append(f"{firing.returned.latency_ns // 1000}us")
    return " ".join(parts)


def stream_row(firing: Firing, *, arguments: bool) -> str:
    """Return the line of dtrace's default output, with the arguments behind it if asked for."""
    row = f"{firing.cpu:3d} {firing.probe.id:6d} {firing.probe.function + ':' + firing.probe.name:>32} "
    return row + arguments_text(firing) if arguments else row.rstrip()


@dataclass(slots=True)
class Flow:
    """Indents by thread as dtrace -F: `->` at a start, `<-` at an end."""

    depths: dict[int, int] = field(default_factory=dict)

    def row(self, firing: Firing, *, arguments: bool) -> str:
        """Return *firing*'s line, one level deeper after each start of its thread."""
        depth = self.depths.get(firing.call.tid, 0)
        if firing.phase == "end":
            depth = max(0, depth - 1)
            self.depths[firing.call.tid] = depth
        elif firing.phase == "start":
            self.depths[firing.call.tid] = depth + 1
        name = f"{' ' * (depth * _FLOW_STEP)}{_FLOW[firing.phase]}{firing.probe.function}:{firing.probe.name}"
        row = f"{firing.cpu:3d} {name:<41}"
        return f"{row} {arguments_text(firing)}" if arguments else row.rstrip()


def firing_json(firing: Firing) -> dict[str, object]:
    """Return *firing* as one JSON object: the probe, who called on which CPU and when, arguments by name, and an end's outcome."""
    call, probe = firing.call, firing.probe
    line: dict[str, object] = {
        "class": f"xpv.{firing.phase}",
        "version": 1,
        "id": probe.id,
        "probe": probe.description,
        "function": probe.function,
        "name": probe.name,
        "origin": probe.origin,
        "operation": call.site[1] if call.site[1] is not None else call.site[0],
        "cpu": firing.cpu,
        "tid": call.tid,
        "comm": printable(call.comm),
        "monotonic_us": firing.time_ns // 1000,
        "domain": call.domain,
        "args": {argument.name: plain(argument, value) for argument, value in firing.values()},
    }
    if firing.returned is not None:
        line |= {
            "result": firing.returned.result,
            "failed": firing.returned.failed,
            "errno": error_name(firing.returned),
            "created": firing.returned.created,
            "latency_ns": firing.returned.latency_ns,
        }
    return line


def dump(line: dict[str, object]) -> str:
    """Return *line* as compact JSON."""
    return json.dumps(line, separators=(",", ":"), ensure_ascii=True)
