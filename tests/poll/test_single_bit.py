"""Each single bit of each status register, set in turn on real captures: exactly one new ereport, of the class it must have.

The classes are those of support.latched, from the specification's bit numbers and illumos's names, not from pcifma's tables.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.bytereader import dev_type, place
from support.dump import CORPUS, Dumped, needs_corpus, read_dump
from support.latched import CORRECTABLE, DEVICE, PCI, ROOT, SECONDARY, UNCORRECTABLE
from support.machine import RecordingSpace

from pcifma.access.clock import SimulatedClock
from pcifma.access.host import NoHost
from pcifma.access.seam import Machine
from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.fabric.build import build
from pcifma.plugin.loader import builtin
from pcifma.poll.poller import Poller
from pcifma.regs.bdf import Bdf

TOLD = {bit: leaf for bit, leaf in ROOT.items() if bit not in (2, 4)}  # those say more about others
CAPTURES = ("nvidia-bug-report/gv102-server.txt", "coreboot-autoport/h310-board.txt")


def registers(data: bytes) -> Iterator[tuple[int, int, dict[int, str], str]]:
    """(offset, width, classes, prefix) of each status register that the Function has."""
    yield 0x06, 2, PCI, "io.pci."
    if data[0x0E] & 0x7F == 1:
        yield 0x1E, 2, SECONDARY, "io.pci."
    express, aer = place(data, 0x10, extended=False), place(data, 0x01, extended=True)
    if express is not None:
        yield express + 0x0A, 2, DEVICE, "io.pciex."
    if aer is not None:
        yield aer + 0x04, 4, UNCORRECTABLE, "io.pciex."
        yield aer + 0x10, 4, CORRECTABLE, "io.pciex."
        if dev_type(data) in (0x4, 0xA):
            yield aer + 0x30, 4, TOLD, "io.pciex."


def swept(functions: list[Dumped], changed: dict[str, bytes] | None = None) -> list[Ereport]:
    spaces = {
        Bdf.parse(f.bdf): RecordingSpace(Bdf.parse(f.bdf), bytearray((changed or {}).get(f.bdf, f.data)), len(f.data)) for f in functions
    }
    machine = Machine("capture", "host", "boot", configs=spaces, host=NoHost(), clock=SimulatedClock())
    plugins = builtin(("pcie_aer", "pci_status"))
    return [e for e in Poller(machine, build(machine), plugins).look().ereports if e.class_ != FABRIC_CLASS]


def said(events: list[Ereport]) -> set[tuple[str, str, str, object]]:
    return {(e.device, e.class_, str(e.payload.get("register")), e.payload.get("bit")) for e in events}


def flipped(data: bytes, offset: int, width: int, bit: int) -> bytes:
    word = int.from_bytes(data[offset : offset + width], "little") | 1 << bit
    return data[:offset] + word.to_bytes(width, "little") + data[offset + width :]


def cleaned(data: bytes) -> bytes:
    """Nothing latched, so that each bit speaks for itself."""
    bare = bytearray(data)
    for offset, width, classes, _ in registers(data):
        word = int.from_bytes(bare[offset : offset + width], "little") & ~sum(1 << bit for bit in classes)
        bare[offset : offset + width] = (word & ~0x14 if classes is TOLD else word).to_bytes(width, "little")
    return bytes(bare)


@needs_corpus
@pytest.mark.parametrize("name", CAPTURES)
def test_each_single_bit_gives_one_ereport_of_its_class(name: str) -> None:
    functions = [Dumped(f.bdf, cleaned(f.data)) for f in read_dump(CORPUS / name)]
    before = said(swept(functions))
    assert before == set()
    for function in functions:
        for offset, width, classes, prefix in registers(function.data):
            for bit, leaf in classes.items():
                after = swept(functions, {function.bdf: flipped(function.data, offset, width, bit)})
                assert [(e.device, e.class_) for e in after] == [(function.bdf, f"ereport.{prefix}{leaf}")], (function.bdf, offset, bit)


@needs_corpus
@pytest.mark.parametrize("name", CAPTURES)
def test_each_new_bit_beside_what_stands_changes_no_other_bit(name: str) -> None:
    functions = read_dump(CORPUS / name)
    before = said(swept(functions))
    for function in functions:
        for offset, width, classes, prefix in registers(function.data):
            word = int.from_bytes(function.data[offset : offset + width], "little")
            for bit in (bit for bit in classes if not word >> bit & 1 and classes is not DEVICE):
                new = said(swept(functions, {function.bdf: flipped(function.data, offset, width, bit)})) - before
                assert {entry[:2] for entry in new} == {(function.bdf, f"ereport.{prefix}{classes[bit]}")}, (function.bdf, offset, bit)


@needs_corpus
def test_undefined_bits_are_said_with_their_number() -> None:
    functions = [Dumped(f.bdf, cleaned(f.data)) for f in read_dump(CORPUS / CAPTURES[1])]
    victim = next(f for f in functions if place(f.data, 0x01, extended=True) is not None)
    aer = place(victim.data, 0x01, extended=True)
    assert aer is not None
    for bit in (1, 11, 16, 31):  # CESta has 16 defined places, the rest is reserved
        events = swept(functions, {victim.bdf: flipped(victim.data, aer + 0x10, 4, bit)})
        assert [(e.class_, e.payload["bit"]) for e in events] == [("ereport.io.pciex.unknown", bit)]


@needs_corpus
def test_residue_is_what_probing_leaves_and_nothing_else() -> None:
    events = swept(read_dump(CORPUS / CAPTURES[0]))
    assert events
    assert all(e.residue and e.severity == "info" for e in events)
