"""Firing: one probe that fired for one call, ready to be shown.

What is enabled, and whose calls are hidden, is decided here and nowhere else.
"""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, field
from errno import errorcode
from typing import Literal

from pcifma.xpv.argument import Argument
from pcifma.xpv.call import Call, Return
from pcifma.xpv.probe import Probe, first_enabled, provider

Phase = Literal["start", "end", "entry"]
Value = int | str | None

# Daemons and device models whose calls go on all the time; comm is cut to 15 characters by the kernel.
BACKGROUND = (
    "xenstored",
    "oxenstored",
    "xenconsoled",
    "xenpmd",
    "xenwatchdogd",
    "xen-qemu-*",
    "qemu-system-*",
    "qemu-dm",
    "xl_device_model",
    "stubdom-dm",
)


def is_background(comm: str) -> bool:
    """Tell whether *comm* is a daemon's or device model's, hidden unless asked for."""
    return any(fnmatch.fnmatchcase(comm, pattern[:15]) for pattern in BACKGROUND)


@dataclass(frozen=True, slots=True)
class Firing:
    """*probe* fired at *time_ns* of the trace clock on *cpu* for *call*; *returned* is there on an end probe."""

    probe: Probe
    phase: Phase
    call: Call
    cpu: int
    time_ns: int
    returned: Return | None = None
    element: bytes = b""

    def values(self) -> Iterator[tuple[Argument, Value]]:
        """Yield each argument of the probe and its value, None where it is not known."""
        for argument in self.probe.arguments:
            if argument.source == "result":
                yield argument, None if self.returned is None else self.returned.result
            else:
                yield argument, argument.value(self.call.words, self.element or self.call.struct)


def error_name(returned: Return) -> str | None:
    """Return the name of the error of a call that failed (`EINVAL`), None if it did not fail; `?` where errno is not known."""
    if not returned.failed:
        return None
    return "?" if returned.result is None else errorcode.get(-returned.result, str(-returned.result))


@dataclass(slots=True)
class Filter:
    """Passes what the operator asked for: probes *enabled*, and daemons' calls only with *everything*.

    *hidden* counts the calls held back.
    """

    enabled: frozenset[int]
    everything: bool = False
    tids: frozenset[int] | None = None
    hidden: int = 0
    _background: dict[str, bool] = field(default_factory=dict)

    def shows(self, call: Call) -> bool:
        """Tell whether *call* is shown at all."""
        if self.tids is not None and call.tid not in self.tids:
            return False
        if self.everything:
            return True
        if call.comm not in self._background:
            self._background[call.comm] = is_background(call.comm)
        return not self._background[call.comm]

    def fire(self, moment: Call | Return) -> Iterator[Firing]:
        """Yield the probes that *moment* fires: a start (and the entries of an mmap), or an end."""
        if isinstance(moment, Return):
            if self.shows(moment.call) and (probe := first_enabled(provider().ends[moment.call.site], self.enabled)):
                yield Firing(probe, "end", moment.call, moment.cpu, moment.end_ns, moment)
            return
        if not self.shows(moment):
            self.hidden += 1
            return
        if probe := first_enabled(provider().starts[moment.site], self.enabled):
            yield Firing(probe, "start", moment, moment.cpu, moment.start_ns)
        if moment.elements and (probe := first_enabled(provider().starts["ioctl", "mmap_entry"], self.enabled)):
            for element in moment.elements:
                yield Firing(probe, "entry", moment, moment.cpu, moment.start_ns, element=element)
