"""The stream `hypercall`: what dom0's control tools asked of Xen, where it failed or took long.

Calls that went well, and those of daemons and device models, are counted by nobody and go no further. Times are boot time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from pcifma.access.seam import HYPERCALL, Record
from pcifma.errors import PcifmaError, SourceError
from pcifma.xpv.call import Return
from pcifma.xpv.decode import Decoder
from pcifma.xpv.definition import TraceError
from pcifma.xpv.firing import error_name, is_background
from pcifma.xpv.line import Lost
from pcifma.xpv.session import Session, kernel_place
from pcifma.xpv.tracefs import mounted

CAPABILITIES = Path("/proc/xen/capabilities")
LONG_NS = 100_000_000
"""A call that took longer is told. What is slow, whoever listens decides: one that creates a domain may well take seconds."""

_BUFFER_KB = 1024  # a CPU: an `xl create` fills a tenth of it
_UNKNOWN_OP = "?"


class Hypercalls:
    """The stream, from a *session* that is begun to `close`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._decoder = Decoder(session.place.layer)
        session.start()
        self._pipe = session.pipe()

    def records(self) -> list[Record]:
        """What has come since the last call: failed and long calls, and a record with `lost` where some did not fit."""
        ahead_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return list(told(self._decoder, self._session, self._pipe, ahead_ns))

    def close(self) -> None:
        """Stop, and take the probes away. Harmless when repeated; without root the keeper does it."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
            try:
                self._session.__exit__()
            except PcifmaError:
                return


def told(decoder: Decoder, session: Session, pipe: int, ahead_ns: int) -> Iterator[Record]:
    """The records to pass on of what *pipe* holds; boot time is *ahead_ns* before the trace's clock."""
    for line in session.read(pipe):
        for moment in decoder.feed(line):
            if isinstance(moment, Lost):
                yield Record(HYPERCALL, {"lost": str(max(1, moment.count))}, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
            elif isinstance(moment, Return) and is_told(moment):
                yield Record(HYPERCALL, fields(moment), moment.end_ns + ahead_ns)


def is_told(call: Return) -> bool:
    """Tell whether *call* failed or took long, and is not a daemon's."""
    return (bool(call.failed) or call.latency_ns >= LONG_NS) and not is_background(call.call.comm)


def fields(call: Return) -> dict[str, str]:
    """What the record of *call* says; `domain` and `error` only where there is one."""
    hypercall, operation = call.call.site
    domain, error = call.call.domain, error_name(call)
    return {
        "hypercall": hypercall,
        "operation": operation or _UNKNOWN_OP,
        "latency_us": str(call.latency_ns // 1000),
        "comm": call.call.comm,
        "tid": str(call.call.tid),
        **({} if domain is None else {"domain": str(domain)}),
        **({} if error is None else {"error": error}),
        **({} if call.result is None else {"result": str(call.result)}),
    }


def open_stream(capabilities: Path = CAPABILITIES) -> Hypercalls:
    """Probe privcmd. SourceError with what stands against it; nothing is left behind then."""
    try:
        in_dom0 = b"control_d" in capabilities.read_bytes()
    except OSError:
        in_dom0 = False
    if not in_dom0:
        raise SourceError(f"{capabilities}: no control_d: hypercalls of control tools are made in a Xen dom0 only")
    try:
        place, present = kernel_place()
        if not present:
            raise SourceError("xen_privcmd is not loaded: modprobe xen-privcmd, and restart pcifma fmd")
        session = Session(mounted(), place, _BUFFER_KB)
        session.__enter__()
    except TraceError as err:
        raise SourceError(str(err)) from err
    try:
        return Hypercalls(session)
    except (TraceError, OSError) as err:
        session.__exit__()
        raise SourceError(f"hypercalls cannot be listened to: {err}") from err
