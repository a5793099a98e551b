"""The stream `mce_record` of this machine, by the way that is open here.

Xen dom0, /dev/mcelog there     the device, a probe on the kernel's consumer beside it, and dom0's own machine checks
Xen dom0, no /dev/mcelog        the hypercall, with VIRQ_MCA bound to us alone
anything else                   the kernel's tracepoint mce:mce_record
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import Protocol

from pcifma.access.event_trace import Wanted, opened
from pcifma.access.mca.mcelog import DEVICE, Mcelog
from pcifma.access.mca.merge import Merger
from pcifma.access.mca.processor import Processors, processors
from pcifma.access.mca.telemetry import Reported, parse
from pcifma.access.mca.tracepoint import TRACEPOINT, optional
from pcifma.access.mca.virq import interrupts
from pcifma.access.seam import MCE_RECORD, Host, Record

_SYMBOL = re.compile(r"\b(convert_log(?:\.[\w.]+)?)$", re.MULTILINE)
_FIELDS = "mi=@g_mi:x64[64] mi2=@g_mi+512:x64[32]"
_INTERRUPT_LOOKS = 5  # /proc/interrupts of a large machine takes a while: not at every look
_XENFEAT_DOM0 = 11


class Listening(Protocol):
    """An open stream."""

    def records(self) -> list[Record]:
        """What has come since the last call."""

    def close(self) -> None:
        """Stop listening, and leave nothing behind."""


def open_stream(host: Host) -> Listening:
    """The stream of this machine. SourceError with what stands against it."""
    if not is_dom0(host):
        return opened(TRACEPOINT)
    if DEVICE.exists():
        return _Consumer(host)
    from pcifma.access.mca.own import Own  # noqa: PLC0415 - few need the hypercall, and ctypes with it

    return Own(host)


def is_dom0(host: Host) -> bool:
    """True where Xen's telemetry may be had."""
    # xenfs may not be mounted; the feature bit of the initial domain says the same.
    if host.read("/sys/hypervisor/type") != b"xen\n":
        return False
    features = (host.read("/sys/hypervisor/properties/features") or b"0").rpartition(b",")[2].strip()
    with suppress(ValueError):
        if int(features, 16) >> _XENFEAT_DOM0 & 1:
            return True
    return b"control_d" in (host.read("/proc/xen/capabilities") or b"")


class _Consumer:
    # Beside the kernel's consumer: what it makes of Xen's telemetry, and a probe that sees it whole.

    def __init__(self, host: Host) -> None:
        self._host = host
        self._device = Mcelog()
        self._probe, self._virtual = optional(_probe(host)), optional(TRACEPOINT)
        self._merger = Merger(_whose(host))
        self._risen = interrupts(host)
        self._turn, self._told, self._suspect = 0, False, False

    def records(self) -> list[Record]:
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        batch = self._device.read()
        probed = [(one, record.boot_ns) for record in (self._probe.records() if self._probe else ()) for one in words_of(record)]
        virtual = [record for record in (self._virtual.records() if self._virtual else ()) if "lost" not in record.fields]
        found = self._merger.take(batch.records, probed, virtual, now_ns=now_ns)
        found += self._unheard(now_ns, told=bool(batch.records or probed))
        if batch.lost:
            found.append(Record(MCE_RECORD, {"lost": "1", "reason": "/dev/mcelog was full: its reader is too slow"}, now_ns))
        return found

    def _unheard(self, now_ns: int, *, told: bool) -> list[Record]:
        # The interrupt says that there is telemetry; where none has come by the second time, Xen found none to give, or somebody took it.
        self._told |= told
        self._turn += 1
        if self._turn % _INTERRUPT_LOOKS:
            return []
        heard, self._told, risen = self._told, False, interrupts(self._host)
        suspected, self._suspect = self._suspect, not heard and risen > self._risen
        if heard or not self._suspect:
            self._risen = risen
        if not (suspected and self._suspect):
            return []
        count, self._risen, self._suspect = risen - self._risen, risen, False
        reason = "VIRQ_MCA rose and no record came: Xen sees no banks here, or another program took it; see pcifma coverage"
        return [Record(MCE_RECORD, {"lost": str(count), "reason": reason}, now_ns)]

    def close(self) -> None:
        self._device.close()
        for trace in (self._probe, self._virtual):
            if trace is not None:
                trace.close()


def words_of(record: Record) -> list[Reported]:
    """The telemetry in the words of a probe's record."""
    if "lost" in record.fields:
        return []
    words = [int(word) for name in ("mi", "mi2") for word in record.fields.get(name, "").split(",") if word]
    data = b"".join(word.to_bytes(8, "little") for word in words)
    return parse(data[8:], int.from_bytes(data[:4], "little"))


def _probe(host: Host) -> Wanted | None:
    found = _SYMBOL.search((host.read("/proc/kallsyms") or b"").decode("ascii", "replace"))
    return None if found is None else Wanted("mca", "", "mca", "Xen's telemetry", f"{found[1]} {_FIELDS}")


def _whose(host: Host) -> Processors:
    # Xen's own word for the processors where its hypercall can be had; dom0's view of them otherwise.
    from pcifma.access.mca.own import asked  # noqa: PLC0415 - as above

    return asked(processors(host))
