"""Whatever a source holds, opening it ends, soon, with a Machine or with one of our own errors.

`python bench/fuzz.py` runs the same makers for as long as one likes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.host_tree import images
from support.hunt import Maker, Target, hunt
from support.image import capture
from support.mutate import (
    CORPUS,
    hostile_capture,
    hostile_case,
    hostile_real_capture,
    hostile_registers,
    hostile_tar,
    some_text,
)

from pcifma.access.archive import is_archive, read_archive, unpack
from pcifma.access.capture import parse_capture
from pcifma.access.document import load_yaml
from pcifma.access.fixture import make_fixture, parts_of_files
from pcifma.access.layout import placed_registers
from pcifma.access.open import open_data
from pcifma.access.script import parse_script
from pcifma.errors import PcifmaError

SEEDS = range(300)
AROUND = ["> ", "  ", "| ", "[    1.5] ", "Nov 22 12:00:01 host kernel: [  7.25] "]
CONFIG = capture(*images()).encode()


def read_capture(data: bytes) -> None:
    """Every byte that a capture gives stands in its text, in a row at that offset."""
    found = parse_capture(data, "a")
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    plain = re.sub(r"\x1b\[\d*m", "", text)  # a terminal's colours may stand within a wrapped row
    digits = re.sub(r"[^0-9a-f:]+", "", plain.lower())
    for space in found.configs.values():
        for offset, row in space.rows().items():
            if len(row) == 16:
                assert f"{offset:02x}:{row.hex()}" in digits
        assert space.size <= 4096


def read_registers(data: bytes) -> None:
    for space in parse_capture(data, "a").configs.values():
        assert all(p.offset + p.register.width <= space.size for p in placed_registers(space.read, space.size))


def play_case(data: bytes) -> None:
    """What the grammar takes can be played, and every step's time comes."""
    fixture = make_fixture(parts_of_files({"case.yaml": data, "config.lspci": CONFIG}, {}, "", "a"), "boot")
    fixture.clock.advance_to_end()
    for space in fixture.configs.values():
        space.rows()


def open_tar(data: bytes) -> None:
    open_data(data, "a")


@pytest.mark.parametrize(
    ("target", "make"),
    [(read_capture, hostile_capture), (read_registers, hostile_registers), (play_case, hostile_case), (open_tar, hostile_tar)],
    ids=["capture", "registers", "case", "tar"],
)
def test_hostile_source_ends_with_a_machine_or_our_error(target: Target[bytes], make: Maker[bytes]) -> None:
    assert hunt(target, make, SEEDS, allowed=(PcifmaError,)) == []


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real captures is not beside the checkout")
def test_hostile_real_capture_ends_with_a_machine_or_our_error() -> None:
    assert hunt(read_capture, hostile_real_capture, SEEDS, allowed=(PcifmaError,)) == []


def test_makers_make_sound_sources_too() -> None:
    # A maker whose every input is refused at the door tests the door.
    sound = 0
    for seed in range(60):
        pairs: list[tuple[Maker[bytes], Callable[[bytes, str], object]]]
        pairs = [(hostile_capture, parse_capture), (hostile_case, parse_script), (hostile_tar, read_archive)]
        for make, target in pairs:
            try:
                target(make(random.Random(seed)), "a")
                sound += 1
            except PcifmaError:
                pass
    assert 40 < sound < 170


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000))
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    targets: list[Callable[[bytes, str], object]] = [open_data, load_yaml, parse_script, read_archive]
    for target in targets:
        try:
            target(data, "a")
        except PcifmaError as err:
            assert str(err).startswith("a")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789abcdef:. \n\r>[]x-", max_size=2000))
def test_random_capture_letters_are_refused_or_read(text: str) -> None:
    try:
        read_capture(text.encode())
    except PcifmaError as err:
        assert str(err).startswith("a:")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(AROUND), st.sampled_from(["\n", "\r\n"]))
def test_what_stands_around_a_capture_changes_nothing(seed: int, prefix: str, end: str) -> None:
    text = some_text(random.Random(seed))
    around = end.join(["Hello,", "", *(prefix + line for line in text.splitlines()), "", "Regards", "-- ", "me"])

    plain, quoted = parse_capture(text, "a"), parse_capture(around, "a")

    assert {bdf: space.rows() for bdf, space in quoted.configs.items()} == {bdf: space.rows() for bdf, space in plain.configs.items()}


HUGE = {
    "one line": b"0" * 3_000_000,
    "empty lines": b"\n" * 1_000_000,
    "colons": b": " * 1_000_000,
    "headers": b"".join(b"0000:%02x:%02x.0 Bridge: X\n" % (n >> 5 & 255, n & 31) for n in range(60_000)),
    "prefixes": b"".join(b"%d x%d 00:1c.0 Bridge: X\n" % (n, n) for n in range(30_000)),
    "one device again": b"00:1c.0 B: X\n00: 01\n00:1c.0 B: X\n00: 02\n" * 8_000,
    "cut rows": b"00:1c.0 B: X\n" + b"10: 00\n00\n" * 30_000,
    "anonymous": b"00: 01\n00: 02\n" * 8_000,
    "rows at the end": b"".join(b"0000:%02x:%02x.0 B: X\nff0: 00\n" % (n >> 5, n & 31) for n in range(8_000)),
    "brackets": b"[" * 500_000,
    "keys": b"{" + b"a: 1, " * 60_000 + b"}",
    "spaces": b"10:" + b" " * 4_000 + b"x\n" + (b"10: 00" + b" " * 4_000 + b"x\n") * 300,
    "quotes": (b">" * 4_000 + b" 00:1c.0 x\n") * 300,
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE.keys())
def test_large_hostile_source_ends(data: bytes) -> None:
    # hunt's limit is in processor time and some thirty times what the slowest of these takes.
    targets: list[Target[bytes]] = [lambda d: parse_capture(d, "a"), lambda d: parse_script(d, "a")]
    for target in targets:
        assert hunt(target, lambda _: data, [0], allowed=(PcifmaError,), limit_s=30.0) == []


def planted_loop(data: bytes) -> None:
    parse_capture(data, "a")
    while b"\n> " in data:
        pass


def planted_index_error(data: bytes) -> None:
    if not is_archive(unpack(data, "a")):
        return
    read_archive(unpack(data, "a"), "a").files["case.yaml"][8_000]


def test_planted_endless_loop_is_found() -> None:
    found = hunt(planted_loop, hostile_capture, range(40), allowed=(PcifmaError,), limit_s=0.5)

    assert {find.what for find in found} == {"more than 0.5 s"}


def test_planted_index_error_is_found() -> None:
    found = hunt(planted_index_error, hostile_tar, range(40), allowed=(PcifmaError, KeyError))

    assert {find.what for find in found} == {"IndexError: index out of range"}
