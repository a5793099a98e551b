"""Fixtures: registers, host facts and steps of a recorded or made-up machine, played back in simulated time.

A fixture is a directory, or a tar of one, with case.yaml, config.lspci and host/. Everything is checked before anything starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

from pcifma.access.capture import parse_capture
from pcifma.access.clock import SimulatedClock
from pcifma.access.device import Answer, DeviceSpace
from pcifma.access.host import TreeHost
from pcifma.access.recorder import Recorder
from pcifma.access.script import Change, Mistakes, Script, Step, parse_script
from pcifma.access.seam import Machine
from pcifma.access.stage import StageHost
from pcifma.access.tree import MemoryTree
from pcifma.errors import SourceError
from pcifma.regs.bdf import Bdf

CASE, CONFIG, HOST, EXPECT = "case.yaml", "config.lspci", "host", "expect.json"
REMEDY = "a fixture has case.yaml and config.lspci (docs/fixtures.md)"


class Fixture(Machine):
    """A Machine that plays back. *recorder* sees every read and write; *steps_ns* are the boot times of the steps, *restarts_ns*
    of those at which the daemon is killed and started, *end_ns* of the last; *expect* is expect.json as it stands.
    """

    configs: Mapping[Bdf, DeviceSpace]
    clock: SimulatedClock

    def __init__(
        self,
        name: str,
        boot: str,
        *,
        configs: Mapping[Bdf, DeviceSpace],
        host: StageHost,
        clock: SimulatedClock,
        unread: Mapping[Bdf, str],
        script: Script,
        complaints: tuple[str, ...],
        recorder: Recorder,
        expect: bytes | None,
    ) -> None:
        super().__init__(
            "fixture", name, boot, configs=configs, host=host, clock=clock, unread=unread, platform=script.platform, complaints=complaints
        )
        self.about, self.recorder, self.expect = script.about, recorder, expect
        self.steps_ns = tuple(step.at_ns for step in script.steps)
        self.restarts_ns = tuple(step.at_ns for step in script.steps if step.restart)
        self.end_ns = clock.end_ns


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of a fixture, wherever they came from. *label* stands before their names in messages."""

    label: str
    name: str
    case: bytes
    config: bytes
    host: TreeHost
    expect: bytes | None


def make_fixture(parts: Parts, boot: str) -> Fixture:
    """The machine at its start, steps of time 0 done. FormatError with every mistake of case.yaml."""
    script = parse_script(parts.case, f"{parts.label}{CASE}")
    capture = parse_capture(parts.config, f"{parts.label}{CONFIG}", may_be_empty=True)
    sleepers = {bdf for step in script.steps for bdf in step.sleep}
    clock, recorder, host = SimulatedClock(), Recorder(), StageHost(parts.host, script.platform, sleepers)
    devices = {bdf: DeviceSpace(image, clock, recorder) for bdf, image in sorted(capture.configs.items())}
    _check(script, devices, capture.named, f"{parts.label}{CASE}")
    stage = _Stage(devices, host, clock, _absent_at_first(script))
    for step in script.steps:
        clock.schedule(step.at_ns, partial(stage.play, step))
    return Fixture(
        _text(parts.host, "/proc/sys/kernel/hostname") or parts.name,
        _text(parts.host, "/proc/sys/kernel/random/boot_id") or boot,
        configs=stage.present,
        host=host,
        clock=clock,
        unread={bdf: "asleep" if bdf in sleepers else "short" for bdf in capture.named},
        script=script,
        complaints=capture.complaints,
        recorder=recorder,
        expect=parts.expect,
    )


def parts_of_files(files: Mapping[str, bytes], links: Mapping[str, str], label: str, name: str) -> Parts:
    """The parts of a fixture held in memory, by their path in it. SourceError where one is missing."""
    for needed in (CASE, CONFIG):
        if needed not in files:
            raise SourceError(f"{label}{needed} is missing: {REMEDY}")
    prefix = f"{HOST}/"
    inside = {f"/{path.removeprefix(prefix)}": data for path, data in files.items() if path.startswith(prefix)}
    links = {f"/{path.removeprefix(prefix)}": text for path, text in links.items() if path.startswith(prefix)}
    host = TreeHost(MemoryTree(inside, links), recorded=True)
    return Parts(label, name, files[CASE], files[CONFIG], host, files.get(EXPECT))


class _Stage:
    # Plays steps. *present* is the Machine's configs: Functions that are there now, in address order.
    def __init__(self, devices: Mapping[Bdf, DeviceSpace], host: StageHost, clock: SimulatedClock, absent: frozenset[Bdf]) -> None:
        self._devices = devices
        self._host = host
        self._clock = clock
        self.present = {bdf: device for bdf, device in devices.items() if bdf not in absent}
        for bdf in absent:
            devices[bdf].answer = "gone"
            host.remove(bdf)

    def play(self, step: Step) -> None:
        for bdf in step.remove:
            self._remove(bdf)
        for bdf in step.add:
            self._add(bdf)
        for bdf in step.reset:
            self._devices[bdf].hot_reset()
        for bdf, state in (*step.sleep.items(), *((bdf, "D0") for bdf in step.wake)):
            self._power(bdf, state)
        for bdf, answer in step.answer.items():
            self._devices[bdf].answer = cast("Answer", answer)
        self._change(step.store, step.latch)
        for path, text in step.fact.items():
            self._host.put(path, text)
        self._tell(step)
        for watch in step.on_read:
            device = self._devices[watch.bdf]
            device.after_read(device.locate(watch.location), watch.location.width, partial(self._change, watch.store, watch.latch))

    def _tell(self, step: Step) -> None:
        for row, times in step.irq.items():
            self._host.interrupt(row, times)
            self._host.send("irq", {"row": row, "count": str(times)}, self._clock.boot_ns())
        for record in step.event:
            self._host.send(record.stream, record.fields, self._clock.boot_ns())

    def _change(self, store: tuple[Change, ...], latch: tuple[Change, ...]) -> None:
        for change in store:
            device = self._devices[change.bdf]
            device.put(device.locate(change.location), change.location.width, change.value)
        for change in latch:
            device, width = self._devices[change.bdf], change.location.width
            offset = device.locate(change.location)
            device.put(offset, width, device.word(offset, width) | change.value)

    def _remove(self, bdf: Bdf) -> None:
        self._devices[bdf].answer = "gone"
        self.present.pop(bdf, None)
        self._host.remove(bdf)
        self._uevent("remove", bdf)

    def _add(self, bdf: Bdf) -> None:
        self._devices[bdf].power_on()
        self._host.add(bdf)
        self.present[bdf] = self._devices[bdf]
        for known in [known for known in self._devices if known in self.present]:
            self.present[known] = self.present.pop(known)
        self._uevent("add", bdf)

    def _power(self, bdf: Bdf, state: str) -> None:
        # Without power there is nobody to answer; in D1 to D3hot configuration space still does (PCIe Base Spec 5.3.1).
        if bdf in self._devices:
            self._devices[bdf].answer = "ones" if state == "D3cold" else "ok"
        self._host.power(bdf, state)

    def _uevent(self, action: str, bdf: Bdf) -> None:
        fields = {"ACTION": action, "SUBSYSTEM": "pci", "PCI_SLOT_NAME": str(bdf)}
        self._host.send("uevent", fields, self._clock.boot_ns())


def _absent_at_first(script: Script) -> frozenset[Bdf]:
    # A Function that is added before it was ever removed was not there at the start.
    seen: dict[Bdf, str] = {}
    for step in script.steps:
        for bdf in step.remove:
            seen.setdefault(bdf, "remove")
        for bdf in step.add:
            seen.setdefault(bdf, "add")
    return frozenset(bdf for bdf, first in seen.items() if first == "add")


def _check(script: Script, devices: Mapping[Bdf, DeviceSpace], unread: tuple[Bdf, ...], file: str) -> None:
    mistakes = Mistakes(file)
    for step in script.steps:
        for key, bdf in step.functions():
            if bdf not in devices and not (key == "sleep" and bdf in unread):
                what = "has no bytes in" if bdf in unread else "is not in"
                mistakes.add(f"{step.path}.{key}", f"{bdf} {what} {CONFIG}")
        for key, change in step.changes():
            if change.bdf in devices:
                try:
                    devices[change.bdf].locate(change.location)
                except ValueError as err:
                    mistakes.add(f'{step.path}.{key}["{change.bdf}"]["{change.location}"]', str(err))
    mistakes.check()


def _text(host: TreeHost, path: str) -> str:
    return (host.read(path) or b"").decode("utf-8", "replace").strip()
