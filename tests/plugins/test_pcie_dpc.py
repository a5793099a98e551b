"""DPC: the trigger with its reason and source, RP PIO errors with severity, mask and header; only registers that are there are read."""

from __future__ import annotations

import pytest
from support.image import DOWNSTREAM, ROOT_PORT, Image
from support.machine import bench
from support.sweep import Sweep, sweep, told

from pcifma.event.ereport import Ereport

PORT = "0000:00:03.0"
AT = 0x160
CAPABILITY, CONTROL, STATUS, SOURCE = AT + 4, AT + 6, AT + 8, AT + 0xA
PIO, MASK, SEVERITY, LOG, IMPSPEC = AT + 0xC, AT + 0x10, AT + 0x14, AT + 0x20, AT + 0x30
RP_EXTENSIONS, LOG_4, LOG_5 = 0x20, 0x400, 0x500
CFG_UR, MEM_CTO = 0, 18


def port(port_type: int = ROOT_PORT, capability: int = RP_EXTENSIONS | LOG_4) -> Image:
    image = Image(PORT, "Port").header(0x8086, 0x3420, 0x060400, header_type=1).buses(0, 1, 4).express(0x40, port_type).aer()
    return image.extended(AT, 0x001D).put(CAPABILITY, capability, 2).put(MASK, 0x00070707, 4)


def only(image: Image) -> Ereport:
    found = sweep("pcie_dpc", image)
    assert len(found) == 1, told(found)
    return found[0]


def test_untriggered_port_is_quiet_whatever_its_last_reason_was() -> None:
    assert sweep("pcie_dpc", port().put(STATUS, 0x1F06, 2).put(SOURCE, 0x400, 2)) == []


@pytest.mark.parametrize(
    ("status", "reason", "source"),
    [
        (0x0001, "unmasked uncorrectable error", None),
        (0x0003, "ERR_NONFATAL", "0000:04:00.0"),
        (0x0005, "ERR_FATAL", "0000:04:00.0"),
        (0x0007, "RP PIO error", None),
        (0x0027, "software trigger", None),
        (0x0047, "reserved (2)", None),
    ],
)
def test_triggered_port_says_why_and_by_whom(status: int, reason: str, source: str | None) -> None:
    event = only(port().put(STATUS, status, 2).put(SOURCE, 0x400, 2).put(CONTROL, 0x9, 2))
    assert (event.class_, event.severity, event.payload["bit"]) == ("ereport.io.pciex.dpc.trig", "fatal", 0)
    assert (event.payload["reason"], event.payload.get("source")) == (reason, source)
    assert (event.payload["source-valid"], event.payload["dpc-control"]) == (source is not None, 9)


def test_reserved_status_bit_is_unknown() -> None:
    assert told(sweep("pcie_dpc", port().put(STATUS, 0x80, 2))) == [(PORT, "io.pciex.unknown", 7)]


def test_rp_pio_error_carries_the_header_of_the_first() -> None:
    image = port().put(MASK, 0, 4).put(PIO, 1 << MEM_CTO | 1 << CFG_UR, 4).put(SEVERITY, 1 << MEM_CTO, 4).put(STATUS, MEM_CTO << 8, 2)
    for i, word in enumerate((0x20000001, 0x0018000F, 0x000000FB, 0xC0001040)):
        image.put(LOG + 4 * i, word, 4)
    config, memory = sweep("pcie_dpc", image)
    assert [(e.class_, e.severity, e.residue) for e in (config, memory)] == [
        ("ereport.io.pciex.rp-pio.cfg-ur", "advisory", False),
        ("ereport.io.pciex.rp-pio.mem-cto", "nonfatal", False),
    ]
    assert (memory.payload["tlp-type"], memory.payload["tlp-address"]) == ("MRd64", "000000fbc0001040")
    assert "tlp" not in config.payload
    assert memory.payload["rp-pio-severity"] == 1 << MEM_CTO


def test_masked_configuration_error_is_what_enumeration_leaves() -> None:
    event = only(port().put(PIO, 1 << CFG_UR, 4))
    assert (event.residue, event.severity, event.payload["masked"]) == (True, "info", True)


def test_masked_memory_error_is_news_without_a_header() -> None:
    event = only(port().put(PIO, 1 << MEM_CTO, 4).put(STATUS, MEM_CTO << 8, 2).put(LOG, 0x20000001, 4))
    assert (event.residue, event.severity, event.payload["masked"], event.payload["source-valid"]) == (False, "advisory", True, False)


@pytest.mark.parametrize(
    ("image", "end"),
    [
        (port(DOWNSTREAM), SOURCE + 2),
        (port(capability=0), SOURCE + 2),
        (port(capability=RP_EXTENSIONS), LOG),
        (port(), IMPSPEC),
        (port(capability=RP_EXTENSIONS | LOG_5), IMPSPEC + 4),
    ],
)
def test_registers_that_the_port_does_not_have_are_not_read(image: Image, end: int) -> None:
    on = bench(image)
    of = Sweep(on, "pcie_dpc")
    on.forget_reads()
    of.look()
    assert max(offset + length for offset, length in on.reads[PORT] if offset >= AT) == end


def test_impspec_log_is_kept_where_there_is_one() -> None:
    image = port(capability=RP_EXTENSIONS | LOG_5).put(MASK, 0, 4).put(PIO, 1, 4).put(IMPSPEC, 0xCAFE, 4).put(LOG, 0x04000001, 4)
    assert only(image).payload["impspec-log"] == 0xCAFE


def test_log_that_changed_between_two_reads_is_not_believed() -> None:
    on = bench(port().put(MASK, 0, 4).put(PIO, 1, 4).put(LOG, 0x04000001, 4).put(STATUS, 0x5, 2).put(SOURCE, 0x400, 2))
    space, pointers = on.space(PORT), iter(range(1, 10_000))
    read = space.read

    def restless(offset: int, length: int) -> bytes:
        space.put(STATUS, 0x5 | next(pointers) % 31 << 8, 2)
        return read(offset, length)

    space.read = restless  # type: ignore[method-assign]
    trigger, error = Sweep(on, "pcie_dpc").look()
    assert (trigger.payload["source-valid"], error.payload["source-valid"]) == (False, False)
