"""HyperTransport blocks: which registers each has, and that links which nobody uses accuse nobody."""

from __future__ import annotations

import pytest
from support.dump import CORPUS, needs_corpus
from support.image import Image
from support.sweep import sweep, told

from pcifma.access.open import open_source
from pcifma.fabric.build import build
from pcifma.plugin.loader import builtin
from pcifma.poll.poller import Poller

BDF = "0000:00:18.0"
AT = 0x80
PRIMARY, HOST, SWITCH, RETRY, MAPPING = 0x0000, 0x2000, 0x4000, 0xC000, 0xA800
REVISION_3 = 0x60


def block(command: int) -> Image:
    image = Image(BDF, "Bridge").header(0x1022, 0x1200, 0x060000).capability(AT, 0x08).put(AT + 2, command, 2)
    return image.put(AT + (0xC if command == PRIMARY else 8), REVISION_3, 1)


@pytest.mark.parametrize("command", [PRIMARY, HOST, SWITCH, RETRY, MAPPING, 0x9000])
def test_block_without_errors_is_quiet(command: int) -> None:
    assert sweep("hypertransport", block(command)) == []


@pytest.mark.parametrize(
    ("command", "offset", "width", "bit", "leaf"),
    [
        (PRIMARY, 0x4, 2, 4, "lf"),
        (PRIMARY, 0x8, 2, 9, "crc"),
        (PRIMARY, 0xD, 1, 4, "prot"),
        (PRIMARY, 0x11, 1, 7, "ctlt"),
        (PRIMARY, 0x16, 2, 8, "cf"),
        (HOST, 0x2, 2, 11, "ieoc"),
        (HOST, 0x4, 2, 8, "crc"),
        (HOST, 0x9, 1, 5, "ov"),
        (SWITCH, 0x2, 2, 7, "vib"),
        (RETRY, 0x5, 1, 2, "stomp"),
        (RETRY, 0x7, 1, 1, "roll"),
    ],
)
def test_each_error_bit_of_each_block_is_told(command: int, offset: int, width: int, bit: int, leaf: str) -> None:
    image = block(command)
    word = int.from_bytes(image.data[AT + offset : AT + offset + width], "little")
    events = sweep("hypertransport", image.put(AT + offset, word | 1 << bit, width))
    assert told(events) == [(BDF, f"io.ht.{leaf}", bit)]
    assert not events[0].residue


@pytest.mark.parametrize("why", [1 << 6, 1 << 7])
def test_failure_of_a_link_that_is_not_used_is_residue(why: int) -> None:
    events = sweep("hypertransport", block(PRIMARY).put(AT + 8, 1 << 4 | why, 2))
    assert [(e.class_, e.severity, e.residue, e.payload["unused"]) for e in events] == [("ereport.io.ht.lf", "info", True, True)]


def test_settings_that_no_table_names_are_no_errors() -> None:
    assert sweep("hypertransport", block(PRIMARY).put(AT + 4, 1 << 0 | 1 << 15, 2)) == []


def test_old_block_has_no_link_error_and_plain_host_no_error_handling() -> None:
    assert sweep("hypertransport", block(PRIMARY).put(AT + 0xC, 0x11, 1).put(AT + 0xD, 0xF0, 1).put(AT + 0x16, 0x300, 2)) == []
    assert sweep("hypertransport", block(HOST).put(AT + 0x12, 0x300, 2)) == []
    extended = sweep("hypertransport", block(HOST).put(AT + 0xC, 0x100, 2).put(AT + 0x12, 0x300, 2))
    assert [name for _, name, _ in told(extended)] == ["io.ht.cf", "io.ht.resp"]


def test_blocks_are_counted_as_setpci_does() -> None:
    image = block(MAPPING).capability(0xA0, 0x08).put(0xA2, HOST, 2).put(0xA4, 0x10, 2)
    events = sweep("hypertransport", image)
    assert [(e.payload["register"], e.payload["block"]) for e in events] == [("CAP_HT+4.w@1", 1)]


@needs_corpus
@pytest.mark.parametrize(("name", "found"), [("cap-ht", [("io.ht.lf", True)]), ("cap-MSI-mapping", [])])
def test_real_links_show_the_failure_of_the_unused_one_alone(name: str, found: list[tuple[str, bool]]) -> None:
    machine = open_source(str(CORPUS / f"pciutils/{name}.txt"))
    events = Poller(machine, build(machine), builtin(("hypertransport",))).look().ereports
    assert [(e.class_.removeprefix("ereport."), e.residue) for e in events if ".ht." in e.class_] == found
