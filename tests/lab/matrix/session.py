"""One boot of the matrix, from start to end: its modes one after the other, their cells in rounds.

A round: inject one error, or several, in each branch; wait until pcifma has looked; read what still stands; clear everything, put
back what a link reset has wiped (bus numbers too), and prepare the next round. Only then is anybody's word compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pcifma

from .. import product, reporting
from ..command import Options
from ..daemon import Daemon, Step, steps
from ..expect import Error, Registers, parse
from ..machine import Machine
from . import witness
from .cell import Cell, Row, rounds
from .change import give, interrupts
from .mode import BOOTS, HEST, MSI_OFF, PEERS, Mode, branches, hest, topology
from .witness import Sighting

LOOKS = 3  # a record may come after the look that follows it, and collectd looks on its own


@dataclass(slots=True)
class Phase:
    """What came out of one mode. *standing*: the errors of each cell that its registers still showed at the end of its round, *asleep*:
    whether nobody could have looked without waking the Function. *log* is what the kernel said.
    """

    mode: Mode
    cells: list[Cell] = field(default_factory=list)
    standing: list[frozenset[Error]] = field(default_factory=list)
    asleep: list[bool] = field(default_factory=list)
    log: str = ""
    coverage: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: dict[str, list[Sighting]] = field(default_factory=dict)
    ereports: list[dict[str, Any]] = field(default_factory=list)
    window: tuple[int, int] = (0, 0)
    address: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one boot gave: its phases, the versions of who took part, and the processor seconds that it cost."""

    phases: list[Phase]
    versions: dict[str, str]
    seconds: float


def run(modes: Sequence[Mode], cells: dict[str, list[tuple[Row, str]]], scratch: Path) -> tuple[list[Phase], dict[str, str]]:
    """Boot what *modes* share, try *cells* of each, and return what came out, with the versions of who took part."""
    with Machine(topology(modes[0].boot), **options(modes[0].boot, scratch)) as machine:
        session = Session(machine)
        phases = [session.mode(mode, cells[mode.name]) for mode in modes]
        session.stop()
        return phases, versions(machine)


class Session:
    """A booted machine with all witnesses; `mode` may be called again and again."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.address = machine.addresses()  # as the guest numbered them: QEMU's own view is lost with the first link reset
        found = parse(machine.check("lspci -D -xxxx"))
        self.layout = {node.name: found[self.address[node.name]] for node, _ in machine.topology.walk()}
        witness.start(machine)
        self.peers = witness.Peers(machine)
        # Only an AER service sets Root Error Command. Set without one it raises INTx that nobody serves, and Linux shuts that line off.
        self._commands = self._as_now([[self.address[name], self.layout[name].extended(1) + 0x2C, 4, 0x7] for name in self._roots()])
        self._daemon: Daemon | None = None
        self._settings = ""
        self._holder = 0
        self._since: list[Phase] = []

    def mode(self, mode: Mode, cells: Sequence[tuple[Row, str]]) -> Phase:
        """Make *mode* of the machine, try *cells*, and return what everybody said; pcifma's part follows with `stop`."""
        phase = Phase(mode, address=self.address)
        opened = reporting.open_path if mode.path_open else reporting.close_path
        opened(self.machine)
        self._steps(self._commands)
        self._change(mode)
        baseline = self._as_now(list(self._kept()))
        daemon = self._with(mode.settings)
        lines = (json.loads(line) for line in product.inside(self.machine, "coverage", "--json").stdout.splitlines())
        phase.coverage = {line["device"]: line for line in lines if "device" in line}
        turns = rounds(mode, cells)
        self.peers.said()
        begun = self._steps([*self._clearing(), *_prepared(turns[0], self)])["ended_ns"]
        for turn, following in zip(turns, [*turns[1:], []], strict=True):
            # Restored twice: the kernel waits for what its reset has cut off, and may reset again.
            after = [*baseline, ["served"], *baseline, *self._clearing(), *_prepared(following, self)]
            self._round(turn, ["looks", daemon.socket, LOOKS], after, phase)
        phase.window = (begun, daemon.looked(2))
        phase.said, phase.log = self.peers.said(), self.peers.log
        self._undo(mode, baseline)
        self._since.append(phase)
        return phase

    def stop(self) -> None:
        """Ask pcifma what it has logged, give each phase its part, and stop it."""
        if self._daemon is None:
            return
        events = self._daemon.events()
        for phase in self._since:
            begun, ended = (_utc(at) for at in phase.window)
            phase.ereports = [event for event in events if begun <= event["time"] <= ended and not event["first_look"]]
        self._since.clear()
        self._daemon.stop()
        self._daemon = None

    def _with(self, settings: str) -> Daemon:
        if self._daemon is None or settings != self._settings:
            self.stop()
            self._daemon, self._settings = Daemon(self.machine, settings), settings
        return self._daemon

    def _round(self, turn: Sequence[Cell], wait: Step, after: list[Step], phase: Phase) -> None:
        for cell in turn:
            for error in cell.row.errors:
                self.machine.inject(cell.node, error.name, advisory=cell.row.kind == "advisory")
        reads: list[Step] = [[*self._place(cell.node, error)] for cell in turn for error in cell.row.errors]
        values = iter(self._steps([wait, *(["peek", *place] for place in reads), *after])["read"])
        for cell in turn:
            words = [(error, next(values)) for error in cell.row.errors]
            phase.cells.append(cell)
            phase.asleep.append(any(word == "asleep" for _, word in words))
            phase.standing.append(frozenset(e for e, word in words if word not in (None, "asleep", 0xFFFFFFFF) and word >> e.bit & 1))

    def _place(self, node: str, error: Error) -> Step:
        return [self.address[node], self.layout[node].extended(1) + (0x10 if error.correctable else 0x4), 4]

    def _steps(self, sequence: Sequence[Step]) -> dict[str, Any]:
        return steps(self.machine, sequence)

    def _nodes(self) -> Iterator[tuple[str, str, Registers]]:
        for node, _ in self.machine.topology.walk():
            yield node.name, self.address[node.name], self.layout[node.name]

    def _kept(self) -> Iterator[Step]:
        # What a link reset wipes, or a round changes: parents first, as buses must have numbers before what is on them answers.
        for _, address, registers in self._nodes():
            if registers.is_bridge:
                yield from ([address, 0x18, 4, 0xFFFFFF], [address, 0x3E, 2, 0x2])
            express, aer = registers.capability(0x10), registers.extended(1)
            yield from ([address, 0x4, 2, 0x7FF], [address, express + 8, 2, 0xF])
            yield from ([address, aer + 0xC, 4, 0xFFFFFFFF], [address, aer + 0x14, 4, 0xFFFFFFFF])

    def _as_now(self, places: Sequence[Step]) -> list[Step]:
        # The writes that restore these places, each [address, offset, width, mask].
        values = self._steps([["read", *place[:3]] for place in places])["read"]
        return [["write", *place[:3], value, place[3]] for place, value in zip(places, values, strict=True)]

    def _roots(self) -> list[str]:
        return self.machine.topology.names("root_port")

    def _clearing(self) -> Iterator[Step]:
        # Device Status first: a look in between must not take its bit for one that nothing explains.
        for name, address, registers in self._nodes():
            express, aer = registers.capability(0x10), registers.extended(1)
            ones = [(express + 0xA, 2, 0xF), (aer + 4, 4, 0xFFFFFFFF), (aer + 0x10, 4, 0xFFFFFFFF), (6, 2, 0xF900)]
            ones += [(0x1E, 2, 0xF900)] * registers.is_bridge + [(aer + 0x30, 4, 0x7F)] * name.startswith("rp")
            yield from (["write", address, offset, width, bits, bits] for offset, width, bits in ones)

    def _change(self, mode: Mode) -> None:
        if mode.change == MSI_OFF:
            self._steps([*self._interrupts(enabled=False)])
        self._holder = give(self.machine, mode.change, [f"ep{number}" for number in branches(mode)])

    def _undo(self, mode: Mode, baseline: list[Step]) -> None:
        switched = self._interrupts(enabled=True) if mode.change == MSI_OFF else ()
        self._steps([*baseline, *self._clearing(), *switched])
        if self._holder:
            self.machine.check(f"kill {self._holder}")

    def _interrupts(self, *, enabled: bool) -> Iterator[Step]:
        return interrupts(self._roots(), self.address, self.layout, enabled=enabled)


def versions(machine: Machine) -> dict[str, str]:
    """Return the versions of what took part."""
    collectd = re.search(r"^collectd ([0-9.]+[0-9])", machine.run("collectd -h").stdout, re.MULTILINE)
    xen = machine.run("cd /sys/hypervisor/version && cat major minor extra").stdout
    found = {
        "Linux": machine.release,
        "Xen": re.sub(r"^(\d+)\s+(\d+)\s+", r"\1.\2", xen).strip(),
        "rasdaemon": machine.check("rasdaemon --version").split()[-1],
        "collectd": collectd[1] if collectd else "",
        "QEMU": machine.hmp("info version").split()[0],
        "pcifma": pcifma.__version__,
    }
    return {name: version for name, version in found.items() if version}


def _prepared(turn: Sequence[Cell], session: Session) -> Iterator[Step]:
    for cell in turn:
        place, address = session.layout[cell.node].extended(1), session.address[cell.node]
        bits = sum(1 << error.bit for error in cell.row.errors if not error.correctable)
        yield ["write", address, place + 0xC, 4, bits if cell.row.fatal else 0, bits]
        if cell.row.kind == "advisory":
            # While advisory errors are masked, as they are after reset, the Uncorrectable bit is not set either (6.2.4.3).
            yield ["write", address, place + 0x14, 4, 0, 0x2000]


def options(boot: str, scratch: Path) -> Options:
    """How QEMU starts *boot*; a firmware table of it is written to *scratch*."""
    found = Options(**BOOTS[boot])
    found["packages"] = PEERS
    if HEST in found.get("extra", ()):
        (scratch / "hest.bin").write_bytes(hest())
        found["extra"] = tuple(f"sig=HEST,data={scratch / 'hest.bin'}" if word == HEST else word for word in found["extra"])
    return found


def _utc(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
