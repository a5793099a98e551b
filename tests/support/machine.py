"""A machine in memory at the three seams: bytes that tests change, facts that tests set, a clock that tests advance; every read kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from support.image import Image

from pcifma.access.clock import SimulatedClock
from pcifma.access.seam import ConfigSpace, Machine, Record
from pcifma.errors import GoneError, ReadError, ShortReadError
from pcifma.regs.bdf import Bdf


@dataclass
class RecordingSpace:
    """One Function's bytes; `reads` has (offset, length) of each read, `fails` an error to raise instead. After *answers* reads more
    nobody answers: all ones.
    """

    bdf: Bdf
    data: bytearray
    size: int = 4096
    reads: list[tuple[int, int]] = field(default_factory=list)
    fails: ReadError | None = None
    answers: int | None = None

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        if self.fails is not None:
            raise self.fails
        if offset + length > self.size:
            raise ShortReadError(f"{self.bdf}: ends at {self.size}")
        if self.answers is not None:
            self.answers -= 1
            if self.answers < 0:
                return b"\xff" * length
        return bytes(self.data[offset : offset + length])

    def put(self, offset: int, value: int, width: int) -> None:
        self.data[offset : offset + width] = value.to_bytes(width, "little")

    def vanish(self) -> None:
        self.fails = GoneError(f"{self.bdf}: gone")


@dataclass
class Facts:
    """Host facts by path, and records that no stream has given yet."""

    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def entries(self, path: str) -> tuple[str, ...]:
        base = path.rstrip("/") + "/"
        return tuple(sorted({name[len(base) :].split("/")[0] for name in (*self.files, *self.links) if name.startswith(base)}))

    def link(self, path: str) -> str | None:
        return self.links.get(path)

    def why(self, path: str) -> str:
        return "readable" if path in self.files else "absent"

    def stream(self, name: str) -> Iterator[Record]:
        given = [record for record in self.records if record.stream == name]
        self.records = [record for record in self.records if record.stream != name]
        return iter(given)


@dataclass
class Bench:
    """A machine on the bench, with its parts at hand."""

    machine: Machine
    spaces: Mapping[Bdf, RecordingSpace]
    facts: Facts
    clock: SimulatedClock

    def space(self, bdf: str) -> RecordingSpace:
        return self.spaces[Bdf.parse(bdf)]

    def forget_reads(self) -> None:
        for space in self.spaces.values():
            space.reads.clear()

    @property
    def reads(self) -> dict[str, list[tuple[int, int]]]:
        return {str(bdf): space.reads for bdf, space in self.spaces.items() if space.reads}


def bench(*images: Image, size: int = 4096, **facts: bytes) -> Bench:
    """A machine of *images*; more facts go into `.facts.files`."""
    spaces = {Bdf.parse(i.bdf): RecordingSpace(Bdf.parse(i.bdf), bytearray(i.data), size) for i in images}
    host, clock = Facts(dict(facts)), SimulatedClock()
    configs: dict[Bdf, ConfigSpace] = dict(spaces)
    return Bench(Machine("fixture", "host", "boot", configs=configs, host=host, clock=clock), spaces, host, clock)
