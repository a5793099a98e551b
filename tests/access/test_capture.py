from __future__ import annotations

from pathlib import Path

import pytest
from support.dump import CORPUS, needs_corpus, read_dump
from support.image import Image

from pcifma.access.capture import parse_capture
from pcifma.errors import FormatError, ShortReadError
from pcifma.regs.bdf import Bdf

PORT = Bdf.parse("0000:00:1c.0")


def device(address: str = "00:1c.0", title: str = "PCI bridge: Root Port", size: int = 64) -> str:
    return Image(address, title).header(0x8086, 0x3420, 0x060400).text(size)


def plain() -> bytes:
    return bytes(Image("", "").header(0x8086, 0x3420, 0x060400).data)


@pytest.mark.parametrize("size", [64, 256, 4096])
def test_capture_has_the_bytes_and_the_size_of_the_text(size: int) -> None:
    found = parse_capture(device(size=size), "a.txt")

    assert found.complaints == ()
    assert found.configs[PORT].size == size
    assert found.configs[PORT].read(0, size) == plain()[:size]


def test_capture_bytes_beyond_its_end_are_an_error_that_says_what_to_run() -> None:
    space = parse_capture(device(), "a.txt").configs[PORT]

    with pytest.raises(ShortReadError, match=r"0000:00:1c\.0: bytes 0x3e to 0x41 .* lspci -xxxx as root"):
        space.read(0x3E, 4)


@pytest.mark.parametrize(("domain", "segment"), [("", 0), ("0001:", 1), ("10000:", 0x10000), ("a1b2c3d4:", 0xA1B2C3D4)])
def test_capture_reads_domains_of_any_width(domain: str, segment: int) -> None:
    assert list(parse_capture(device(f"{domain}00:1c.0"), "a.txt").configs) == [Bdf(segment, 0, 0x1C, 0)]


@pytest.mark.parametrize(
    "prefix",
    [
        "> ",
        ">> ",
        "    ",
        "\t",
        "| ",
        "[   12.345678] ",
        "[Sun Nov 22 12:00:01 2026] ",
        "Nov 22 12:00:01 host kernel: [    3.5] ",
        "2026-11-22T12:00:01.123456+00:00 host lspci[77]: ",
    ],
)
def test_capture_reads_through_whatever_stands_before_each_line(prefix: str) -> None:
    text = "".join(f"{prefix}{line}\n" for line in device().splitlines())

    found = parse_capture(f"Hello,\nthe device 01:00.0 is bad: see below.\n\n{text}\nRegards\n", "mail")

    assert list(found.configs) == [PORT]
    assert found.configs[PORT].read(0, 64) == plain()[:64]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_capture_reads_any_line_end(end: str) -> None:
    assert parse_capture(device().replace("\n", end), "a").configs[PORT].size == 64


def test_capture_of_a_recorded_terminal_is_read() -> None:
    text = "\x1b]0;root@host: ~\x07root@host:~# lspci -xxxx\n\x1b[?2004l" + "".join(
        f"\x1b[0m{row}\x1b[K\n" for row in device().splitlines()
    )
    found = parse_capture(text, "typescript")
    assert (list(found.configs), found.complaints) == ([PORT], ())
    assert found.configs[PORT].read(0, 64) == plain()[:64]


def test_capture_may_begin_with_a_byte_order_mark() -> None:
    found = parse_capture(b"\xef\xbb\xbf" + device().encode(), "a")
    assert (list(found.configs), found.complaints) == ([PORT], ())


def test_capture_skips_verbose_text_between() -> None:
    head, *rows = device().splitlines()
    verbose = "\tControl: I/O+ Mem+\n\tBus: primary=00, secondary=01\n\tRegion 0: Memory at fe00 (64-bit)\n\tCapabilities: [40] Express"

    found = parse_capture("\n".join([head, verbose, *rows]), "a")

    assert found.complaints == ()
    assert found.configs[PORT].size == 64


def test_capture_keeps_the_whole_bytes_of_a_cut_row_and_says_so() -> None:
    cut = "\n".join(device().splitlines()[:-1]) + "\n30: 01 02 0"

    found = parse_capture(cut, "a.txt")

    assert found.configs[PORT].read(0x30, 2) == b"\x01\x02"
    assert found.complaints == ("a.txt:5: row 30 is cut short; its missing bytes count as not captured",)
    with pytest.raises(ShortReadError):
        found.configs[PORT].read(0x32, 1)


def test_capture_joins_a_row_that_a_mailer_wrapped() -> None:
    head, first, *rest = device().splitlines()

    found = parse_capture("\n".join([head, first[:27], first[28:], *rest]), "a")

    assert found.complaints == ()
    assert found.configs[PORT].read(0, 64) == plain()[:64]


def test_capture_takes_rows_out_of_order_and_leaves_holes_unread() -> None:
    head, row0, _, row2, row3 = device().splitlines()

    space = parse_capture("\n".join([head, row3, row2, row0]), "a").configs[PORT]

    assert space.read(0x20, 0x20) == plain()[0x20:0x40]
    with pytest.raises(ShortReadError):
        space.read(0x0F, 2)


def test_capture_of_a_device_twice_keeps_the_one_with_more_bytes() -> None:
    found = parse_capture(device(size=256) + device("00:1c.0", "again", 64).replace("86 80 20 34", "86 80 21 34"), "a")

    assert found.configs[PORT].size == 256
    assert found.complaints == ("a:19: 0000:00:1c.0 is there twice; the one at line 2 counts: it has more bytes",)


def test_capture_of_a_device_without_header_line_gets_a_free_address() -> None:
    rows = "\n".join(device().splitlines()[1:])

    found = parse_capture(f"{device('00:00.0', 'Host bridge: A')}\n\n{rows.replace('86 80', '22 10')}\n", "a")

    assert list(found.configs) == [Bdf(0, 0, 0, 0), Bdf(0, 0, 0, 1)]
    assert found.complaints == ("a:8: a device without its header line; taken as 0000:00:00.1",)


def test_capture_names_functions_that_came_without_bytes() -> None:
    found = parse_capture("00:02.0 VGA compatible controller: X\n" + device(), "a")

    assert found.named == (Bdf(0, 0, 2, 0),)
    assert found.complaints == ("a:1: 0000:00:02.0 has no bytes: give the text of `lspci -xxxx`, run as root",)


@pytest.mark.parametrize("text", ["", "hello\n", "00:1c.0 PCI bridge: Root Port\n\tControl: I/O+\n", b"\x00\xff\xfe" * 100])
def test_capture_with_nothing_in_it_is_refused_with_the_remedy(text: str | bytes) -> None:
    with pytest.raises(FormatError, match=r"^a\.txt:1: no device with bytes in it: give the text of `lspci -xxxx`"):
        parse_capture(text, "a.txt")


def test_text_without_bytes_that_says_something_is_sent_to_its_reader() -> None:
    words = device().split("\n")[0] + "\n\tCapabilities: [100 v1] Advanced Error Reporting\n\t\tCESta:\tRxErr+ BadTLP-\n"
    for text in (words, "pcieport 0000:00:1c.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)\n"):
        with pytest.raises(FormatError, match=r"as root; or read its words with pcifma decode --log$"):
            parse_capture(text, "a.txt")


def test_capture_reads_a_windows_shells_utf_16() -> None:
    assert list(parse_capture(device().encode("utf-16"), "a").configs) == [PORT]


def test_capture_row_given_twice_with_other_bytes_is_complained_about() -> None:
    found = parse_capture(device() + "10: 11 22\n", "a")

    assert found.complaints == ("a:6: row 10 is there twice with different bytes; the first one counts",)
    assert found.configs[PORT].read(0x10, 2) == b"\x00\x00"


def test_capture_reads_what_the_kernel_dumps_at_boot() -> None:
    rows = device().splitlines()[1:]
    log = [f"[    0.4{n}1234] {n * 16:08x}: {row[4:]}" for n, row in enumerate(rows)]
    text = ["[    0.401233] pci 0000:00:1c.0: config space:", *log, "[    0.411233] pci 0000:00:1d.0 config space:", *log]

    found = parse_capture("\n".join(text), "a")

    assert found.complaints == ()
    assert list(found.configs) == [PORT, Bdf(0, 0, 0x1D, 0)]
    assert all(space.read(0, 64) == plain()[:64] for space in found.configs.values())


@needs_corpus
@pytest.mark.parametrize("path", sorted(p for p in CORPUS.glob("*/*.txt") if p.parent.name != "logs" and ".lspci" not in p.name), ids=str)
def test_capture_of_a_real_machine_is_what_another_reader_sees(path: Path) -> None:
    found = parse_capture(path.read_bytes(), path.name)

    assert found.complaints == ()
    assert {str(bdf): space.read(0, space.size) for bdf, space in found.configs.items()} == {d.bdf: d.data for d in read_dump(path)}
