"""Xen's telemetry by the hypercall, for a dom0 whose kernel has no consumer of its own."""

from __future__ import annotations

import time
from dataclasses import replace

from pcifma.access.mca.hypercall import Hypercall, Virq
from pcifma.access.mca.merge import Merger, reported
from pcifma.access.mca.processor import Processors, processors
from pcifma.access.mca.tracepoint import TRACEPOINT, optional
from pcifma.access.seam import Host, Record
from pcifma.errors import SourceError


class Own:
    """The queue is ours, as long as the interrupt is. SourceError where either cannot be had."""

    def __init__(self, host: Host) -> None:
        self._virq = Virq()
        try:
            self._call = Hypercall()
        except SourceError:
            self._virq.close()
            raise
        self._whose = _asked(self._call, processors(host))
        self._first = True
        self._virtual = optional(TRACEPOINT)
        self._merger = Merger(self._whose)

    def records(self) -> list[Record]:
        """What has come since the last call."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        rose, self._first = self._virq.rose() or self._first, False
        found = [reported(one, self._whose) for one in self._call.fetch()] if rose else []
        virtual = [record for record in (self._virtual.records() if self._virtual else ()) if "lost" not in record.fields]
        return self._merger.take(found, (), virtual, now_ns=now_ns)

    def close(self) -> None:
        """Let the interrupt and the queue go."""
        self._virq.close()
        self._call.close()
        if self._virtual is not None:
            self._virtual.close()


def asked(known: Processors) -> Processors:
    """Xen's own word for the processors where its hypercall can be had; *known* otherwise."""
    try:
        call = Hypercall()
    except SourceError:
        return known
    try:
        return _asked(call, known)
    finally:
        call.close()


def _asked(call: Hypercall, known: Processors) -> Processors:
    try:
        return replace(call.processors(), flags=known.flags)
    except OSError:
        return known
