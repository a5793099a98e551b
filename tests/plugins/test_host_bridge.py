"""Host bridges: what a table declares is read and nothing else, and what is set is said in its order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import chipset as support
from support.dump import CORPUS, needs_corpus, read_dump
from support.image import Image
from support.machine import Bench, bench

from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.fabric.build import build
from pcifma.plugin import Bdf, Finding, Location, Snapshot, Target
from pcifma.poll.look import Look
from pcifma.poll.poller import Poller

RAS = "0000:00:14.2"  # X58: Control Status and RAS Registers
GNERRST, GNFERRST, GNNERRST, GNFERRTIME = 0x1C0, 0x1EC, 0x1F8, 0x1F0
XPUNCERRSTS, XPUNCERRMSK, XPUNCERRSEV, XPUNCERRPTR = 0x208, 0x20C, 0x210, 0x214
ERRSTS = 0xC8
SECOND = 1_000_000_000


def ras() -> Image:
    return Image(RAS, "System peripheral").header(0x8086, 0x3423, 0x080000)


def root_port() -> Image:
    return Image("0000:00:03.0", "PCI bridge").header(0x8086, 0x340A, 0x060400, header_type=1).buses(0, 1, 1)


def look(on: Bench) -> Look:
    return Poller(on.machine, build(on.machine), [support.plugin()]).look()


def bits(found: Look) -> list[Ereport]:
    return [event for event in found.ereports if event.class_ != FABRIC_CLASS]


def said(image: Image) -> list[Ereport]:
    return bits(look(bench(image)))


# What is watched.


def test_functions_of_no_table_are_left_alone() -> None:
    machine = bench(Image("0000:00:01.0", "Other").header(0x15B3, 0x3423, 0x020000)).machine
    assert list(support.plugin().source.watches(build(machine), machine.host)) == []


def test_registers_that_no_table_declares_are_never_read() -> None:
    on = bench(ras(), root_port())
    on.forget_reads()
    fabric = build(on.machine)
    on.forget_reads()
    Poller(on.machine, fabric, [support.plugin()]).look()
    read = {byte for offset, length in on.reads[RAS] for byte in range(offset, offset + length)}
    declared = set(range(8))  # whether anybody answers
    for part in support.table().parts_of(0x8086, 0x3423, 0x14 << 3 | 2):
        for r in part.registers:
            for where in (r.location, r.first, r.next, r.mask, r.severities, r.pointer, *(w for _, w in r.logs)):
                declared |= set(range(where.offset, where.offset + where.width)) if where is not None else set()
    assert read == declared


def test_capture_of_256_bytes_is_read_as_far_as_it_goes() -> None:
    bridge = Image("0000:00:00.0", "Host bridge").header(0x8086, 0x2578, 0x060000).put(ERRSTS, 0x1, 2)
    found = look(bench(bridge, ras(), size=256))
    assert found.unread == {}
    assert [e.class_ for e in bits(found)] == ["ereport.io.hb.mch.mem-ce"]


def test_device_and_function_are_heeded_where_the_table_says() -> None:
    error = (0x8086, 0x25F0, 0x080000)
    right, wrong = Image("0000:00:10.1", "Errors").header(*error), Image("0000:00:10.0", "Other").header(*error)
    found = said(right.put(0x98, 1, 4))
    assert [e.class_ for e in found] == ["ereport.io.hb.mch.fbd-write"]
    assert said(wrong.put(0x98, 1, 4)) == []


# What is said.


def test_first_and_next_error_are_told_apart() -> None:
    image = ras().put(GNERRST, 0x1100, 4).put(GNFERRST, 0x100, 4).put(GNNERRST, 0x1000, 4).put(GNFERRTIME, 0xBEBB836D, 4)
    found = said(image)
    assert [(e.payload["bit"], e.payload["order"], e.payload.get("gnferrtime-low")) for e in found] == [
        (8, "first", 0xBEBB836D),
        (12, "next", None),
    ]
    assert {e.class_ for e in found} == {"ereport.io.hb.iio.port"}
    assert found[0].payload | {"gnferrtime-high": 0} == {
        "register": "1c0.l", "bit": 8, "value": 0x1100, "name": "PCI Express port 3 error", "chipset": "intel_x58",
        "register-name": "GNERRST", "order": "first", "gnferrtime-low": 0xBEBB836D, "gnferrtime-high": 0,
    }  # fmt: skip


def test_what_link_training_and_probing_leave_is_residue_at_first_only() -> None:
    on = bench(ras())
    on.space(RAS).put(GNERRST, 0x100, 4)
    of = Poller(on.machine, build(on.machine), [support.plugin()])
    assert [(e.residue, e.severity) for e in bits(of.look())] == [(True, "info")]
    on.clock.wait_until(30 * SECOND)
    on.space(RAS).put(GNERRST, 0x300, 4)
    assert [(e.residue, e.severity, e.payload["bit"]) for e in bits(of.look())] == [(False, "nonfatal", 9)]


def test_fatal_error_is_never_residue() -> None:
    assert [(e.severity, e.residue) for e in said(ras().put(GNERRST + 4, 0x100, 4))] == [("fatal", False)]
    assert [(e.severity, e.residue) for e in said(root_port().put(XPUNCERRSTS, 0x40, 4).put(XPUNCERRSEV, 0x40, 4))] == [("fatal", False)]


def test_severity_is_what_the_device_says() -> None:
    image = root_port().put(XPUNCERRSTS, 0x208, 4).put(XPUNCERRSEV, 0x200, 4).put(XPUNCERRPTR, 9, 4).put(XPUNCERRMSK, 8, 4)
    assert [(e.payload["bit"], e.severity, e.payload.get("order"), e.payload.get("masked")) for e in said(image)] == [
        (3, "nonfatal", None, True),
        (9, "fatal", "first", None),
    ]


def test_bit_that_no_table_names_is_unknown_and_not_silent() -> None:
    (event,) = said(ras().put(GNERRST, 1 << 30, 4))
    assert (event.class_, event.severity, event.residue, event.payload["bit"]) == ("ereport.io.hb.unknown", "info", False, 30)


def test_bits_that_are_no_errors_are_ignored() -> None:
    assert said(Image("0000:00:18.3", "Northbridge").header(0x1022, 0x1203, 0x060000).put(0x4C, 0x1FFFFFFF, 4)) == []


def test_register_of_all_ones_is_no_error() -> None:
    assert said(ras().put(GNERRST, 0xFFFFFFFF, 4)) == []


def test_unproven_register_says_so() -> None:
    e5 = Image("0000:00:05.2", "IIO RAS").header(0x8086, 0x3C2A, 0x080000)
    (event,) = said(e5.put(GNERRST, 1 << 23, 4))
    assert (event.class_, event.severity, event.payload["unproven"]) == ("ereport.io.hb.iio.core", "nonfatal", True)
    (unknown,) = said(e5.put(GNERRST, 1 << 30, 4))
    assert (unknown.class_, unknown.residue) == ("ereport.io.hb.unknown", True)
    assert "unproven" not in said(ras().put(GNERRST, 1 << 23, 4))[0].payload


def normalised(words: dict[int, int], torn: frozenset[Location] = frozenset()) -> list[Finding]:
    target = Target.function(Bdf.parse(RAS))
    given_words = {(target, Location("", offset, 4)): word for offset, word in words.items()}
    return list(support.plugin().source.normalise(Snapshot(target, 0, 0, given_words, torn=torn), None))


def test_details_of_a_later_error_are_left_out() -> None:
    words = {0: 0x34238086, GNERRST: 0x100, GNFERRST: 0x100, GNFERRTIME: 5}
    (calm,) = normalised(words)
    assert (calm.payload["gnferrtime-low"], "torn" in calm.payload) == (5, False)
    for moved in (GNERRST, GNFERRST):
        (torn,) = normalised(words, frozenset({Location("", moved, 4)}))
        assert ("gnferrtime-low" in torn.payload, torn.payload["torn"]) == (False, True)


def test_status_that_is_set_is_read_again_after_its_details() -> None:
    on = bench(ras().put(GNERRST, 0x100, 4))
    look(on)
    status = [offset for offset, length in on.reads[RAS] if offset <= GNERRST < offset + length]
    first = [offset for offset, length in on.reads[RAS] if offset <= GNFERRST < offset + length]
    assert len(status) >= 2
    assert len(first) >= 2


@given(st.dictionaries(st.integers(0, 0xFFF), st.integers(0, 0xFFFFFFFF), max_size=20), st.integers(0, 0xFFFFFFFF))
def test_any_words_are_survived(words: dict[int, int], identity: int) -> None:
    for finding in normalised({**words, 0: identity}):
        assert finding.class_.startswith("ereport.io.hb.")


@settings(deadline=None)
@given(st.data())
def test_each_set_bit_is_one_finding(data: st.DataObject) -> None:
    part = data.draw(st.sampled_from([p for c in support.chipsets() for p in c.parts]))
    devfn = part.devfn or 0
    target = Target.function(Bdf(0, 0, devfn >> 3, devfn & 7))
    words = {r.location: data.draw(st.integers(0, (1 << 8 * r.location.width) - 2)) for r in part.registers}
    shown = {(target, at): word for at, word in words.items()} | {(target, Location("", 0, 4)): part.first << 16 | part.vendor}
    found = list(support.plugin().source.normalise(Snapshot(target, 0, 0, shown), None))
    for register in part.registers:
        mine = [f.evidence.bit for f in found if f.evidence.location == register.location]
        assert sum(1 << bit for bit in mine) == words[register.location] & register.watched


# Counters.

COUNTERS = "0000:ff:03.4"
SECOND_DIMMS = 0x64


@pytest.fixture
def nehalem() -> Bench:
    return bench(Image(COUNTERS, "Memory controller").header(0x8086, 0x2C1C, 0x060000))


def counted(of: Poller, on: Bench, word: int) -> list[tuple[str, int]]:
    on.clock.wait_until(on.clock.boot_ns() + 30 * SECOND)
    on.space(COUNTERS).put(SECOND_DIMMS, word, 4)
    return [(str(e.payload["name"]), e.count) for e in bits(of.look())]


def test_counters_count_what_moved(nehalem: Bench) -> None:
    of = Poller(nehalem.machine, build(nehalem.machine), [support.plugin()])
    assert counted(of, nehalem, 0x0000_0003) == [("Correctable errors of DIMM 0", 3)]
    assert counted(of, nehalem, 0x0000_0003) == []
    assert counted(of, nehalem, 0x0002_0004) == [("Correctable errors of DIMM 0", 1), ("Correctable errors of DIMM 1", 2)]
    assert counted(of, nehalem, 0x0002_0001) == [("Correctable errors of DIMM 0", 1)]  # wrapped or cleared: at least one
    assert counted(of, nehalem, 0x8002_8001) == []  # the overflow bits are no part of the counters


# Real machines.


@needs_corpus
def test_x58_says_which_ports_reported_and_they_agree() -> None:
    found = {f.bdf: f for f in read_dump(CORPUS / "pciutils" / "tree-asus-p6t6.txt")}
    image = {bdf: Image(bdf, "x", bytearray(f.data.ljust(4096, b"\0"))) for bdf, f in found.items()}
    (first, later) = said(image["0000:00:14.2"])
    assert [(e.payload["name"], e.payload["order"]) for e in (first, later)] == [
        ("PCI Express port 3 error", "first"),
        ("PCI Express port 7 error", "next"),
    ]
    ports = {bdf: [str(e.payload["register-name"]) for e in said(image[bdf])] for bdf in ("0000:00:01.0", "0000:00:03.0", "0000:00:07.0")}
    both = ["XPCORERRSTS", "XPUNCERRSTS"]
    assert ports == {"0000:00:01.0": [], "0000:00:03.0": both, "0000:00:07.0": both}
    assert {e.residue for bdf in image for e in said(image[bdf])} == {True}


@needs_corpus
@pytest.mark.parametrize(
    ("capture", "port", "chipset"), [("cap-pcie-1", "0000:00:01.0", "intel_x58"), ("cap-aer-root", "0000:00:02.0", "intel_e5_v3")]
)
def test_ports_keep_what_probing_leaves_where_the_table_says(capture: str, port: str, chipset: str) -> None:
    (found,) = (f for f in read_dump(CORPUS / "pciutils" / f"{capture}.txt") if f.bdf == port)
    events = said(Image(port, "x", bytearray(found.data)))
    assert [(e.payload["chipset"], e.payload["register-name"], e.payload.get("order"), e.residue) for e in events] == [
        (chipset, "XPCORERRSTS", None, True),
        (chipset, "XPUNCERRSTS", "first", True),
    ]
    assert not [e for e in events if "unproven" in e.payload]
