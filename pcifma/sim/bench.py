"""A diagnosis module on a bench: the services that the plugin API promises, in memory, so that thousands of machines can be judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pcifma.access.clock import EPOCH_2000_NS, SimulatedClock
from pcifma.access.host import NoHost
from pcifma.access.seam import Host
from pcifma.event.ereport import Ereport
from pcifma.event.identity import ena, ereport_uuid, utc
from pcifma.event.value import PayloadValue
from pcifma.fabric import fmri
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine.docket import Docket
from pcifma.fmd.engine.handle import Case
from pcifma.fmd.engine.serd import SerdState
from pcifma.fmd.engine.timer import Timer, Timers
from pcifma.fmd.rehearsal import registration
from pcifma.platform.coverage import Coverage
from pcifma.plugin.loader import Plugin
from pcifma.plugin.module import Module, PropertyValue, Response
from pcifma.plugin.status import Status
from pcifma.plugin.watch import Finding
from pcifma.regs.bdf import Bdf
from pcifma.sim.degrade import Heard
from pcifma.sim.fault import UNREAD

_BOOT = "00000000-0000-4000-8000-000000000000"
_SECOND = 10**9
_PATIENCE_NS = 600 * _SECOND
_MODULE = "bench"


class _Serd:
    def __init__(self, state: SerdState, now_ns: int) -> None:
        self._state, self._now_ns = state, now_ns

    def record(self, event: Ereport) -> bool:
        return self._state.record(self._now_ns, event.count)

    def reset(self) -> None:
        self._state.reset()


class Bench:
    """Implements Services for one module on one fabric, with the daemon's own docket."""

    def __init__(self, plugin: Plugin, fabric: Fabric) -> None:
        """Open *plugin* with its properties at their defaults."""
        self._registration = registration(plugin)
        self.fabric = fabric
        self.host: Host = NoHost()
        self._clock = SimulatedClock()
        self._docket = Docket(host="bench", clock=self._clock, committed=lambda: 0, target_of=lambda device: device)
        self._now_ns = 0
        self._buffers: dict[str, bytes] = {}
        self._serds: dict[str, SerdState] = {}
        self._timers = Timers()
        self._module: Module = self._registration.open(self)

    @property
    def properties(self) -> Mapping[str, PropertyValue]:
        """As Services.properties."""
        return self._registration.properties

    def now_ns(self) -> int:
        """As Services.now_ns."""
        return self._now_ns

    def count(self, statistic: str, n: int = 1) -> None:
        """As Services.count; nobody asks."""

    def open_case(self, key: str) -> Case:
        """As Services.open_case."""
        return self._docket.open(_MODULE, key, cause=str(self._now_ns), de={}, rules="")

    def cases(self) -> Iterable[Case]:
        """As Services.cases."""
        return self._docket.of(_MODULE)

    @property
    def opened(self) -> list[Case]:
        """The cases that were published, oldest first; repeated ones are one."""
        return sorted((case for case in self._docket.cases.values() if case.record.diag_time), key=lambda case: case.record.id)

    def serd(self, name: str, n: int, t_s: float) -> _Serd:
        """As Services.serd."""
        return _Serd(self._serds.setdefault(name, SerdState(n, round(t_s * _SECOND))), self._now_ns)

    def arm(self, timer: str, delay_s: float, data: str = "", *, keep: bool = True) -> None:
        """As Services.arm; nothing outlives the bench."""
        del keep
        self._timers.arm(timer, Timer(self._now_ns + round(delay_s * _SECOND), data))

    def disarm(self, timer: str) -> None:
        """As Services.disarm."""
        self._timers.disarm(timer)

    def get(self, buffer: str) -> bytes | None:
        """As Services.get."""
        return self._buffers.get(buffer)

    def put(self, buffer: str, data: bytes) -> None:
        """As Services.put."""
        self._buffers[buffer] = data

    def post(self, finding: Finding) -> None:
        """As Services.post; what the module says of itself is not judged."""

    def subscribe(self, *globs: str) -> None:
        """As Services.subscribe; the module gets all there is."""

    def status(self) -> Status:
        """As Services.status, of a daemon that counts nothing."""
        return Status(version="")

    def coverage(self) -> Iterable[Coverage]:
        """As Services.coverage, of nothing."""
        return ()

    def execute(self, timer: str, program: Sequence[str], data: bytes, limit_s: float) -> None:
        """As Services.execute; a simulation acts on nothing."""

    def respond(self, timer: str, response: Response) -> None:
        """Nothing is taken out of service here."""

    def isolate(self, uuid: str) -> None:
        """No case is isolated here."""

    def run(self, heard: Sequence[Heard], link_status: Mapping[str, int]) -> list[Case]:
        """Tell the module all that was *heard*, and wait for what it still waits for. The links' state is told first."""
        maker = _Maker(self.fabric)
        for device, status in link_status.items():
            self._module.recv(maker.ereport("pci.fabric", device, 0, severity="info", payload={"pcie_link_status": status}))
        for one in heard:
            self._until(one.tick * _SECOND)
            self._module.recv(maker.heard(one))
        self._until(self._now_ns + _PATIENCE_NS)
        return self.opened

    def _until(self, at_ns: int) -> None:
        while (due_ns := self._timers.next_ns()) is not None and due_ns <= at_ns:
            self._now_ns = due_ns
            name, timer = self._timers.take(due_ns) or ("", Timer(0, ""))
            self._module.timeout(name, timer.data)
        self._now_ns = at_ns


class _Maker:
    # Ereports as the core makes them, numbered.
    def __init__(self, fabric: Fabric) -> None:
        self._fabric, self._seq = fabric, 0

    def heard(self, one: Heard) -> Ereport:
        payload: dict[str, PayloadValue] = {f"tlp-{part}": device for part, device in one.shown.named.items() if part != "source"}
        if (source := one.shown.named.get("source")) is not None:
            payload |= {"source-id": Bdf.parse(source).requester_id, "source-valid": True}
        if one.shown.lane is not None:
            payload["lane"] = one.shown.lane
        if one.shown.leaf == UNREAD:
            payload["reason"] = "gone"
        event = self.ereport(one.shown.leaf, one.shown.device, one.tick, severity=one.shown.severity, payload=payload)
        return msgspec.structs.replace(event, trust="guest") if one.guest else event

    def ereport(self, leaf: str, device: str, tick: int, *, severity: str, payload: dict[str, PayloadValue]) -> Ereport:
        self._seq += 1
        function = self._fabric[Bdf.parse(device)]
        fields = {
            "class": f"ereport.{leaf}" if leaf == UNREAD else f"ereport.io.{leaf}",
            "uuid": ereport_uuid("bench", _BOOT, device, leaf, 0, occurrence=self._seq), "host": "bench",
            "boot": _BOOT, "seq": self._seq, "tick": tick, "time": utc(EPOCH_2000_NS + tick * _SECOND),
            "not_before": utc(EPOCH_2000_NS + (tick - 1) * _SECOND), "first_look": False, "residue": False, "ena": ena(self._seq),
            "device": device, "detector": fmri.detector(self._fabric, function), "resource": fmri.hc(self._fabric, function),
            "fabric": self._fabric.id, "severity": severity, "plugin": "simulate", "sources": ["poll"], "trust": "host",
            "payload": payload,
        }  # fmt: skip
        return msgspec.convert(fields, Ereport)
