"""Every fault class can be reached, has a code and an article, and a lone symptom of each names the part that it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from support.desk import Desk
from support.diagnosis import plugin, rules
from support.event import ereport
from support.fabric import bridge, endpoint, fabric_of, root_port
from support.image import DOWNSTREAM, PCIE_TO_PCI, UPSTREAM, Image

from pcifma.cli.help import command
from pcifma.event.case import ListEvent
from pcifma.event.code import message_code
from pcifma.event.ereport import Ereport
from pcifma.event.identity import ereport_uuid, utc
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.rehearsal import registration
from pcifma.plugin.data import load_data

SECOND = 1_000_000_000
ROOT, UP, DOWN, CARD, BRIDGE, PCI = "0000:00:03.0", "0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:04:00.0", "0000:05:01.0"


def machine() -> Fabric:
    return fabric_of(
        root_port(ROOT, 1, 3, slot=3),
        bridge(UP, UPSTREAM, 2, 3).aer(),
        bridge(DOWN, DOWNSTREAM, 3, 3).aer(),
        endpoint(CARD),
        root_port("0000:00:1c.0", 4, 5),
        bridge(BRIDGE, PCIE_TO_PCI, 5, 5).aer(),
        Image(PCI, "PCI").header(0x1000, 0x0030, 0x010000),
    )


Said = dict[str, Any]


def said(leaf: str, device: str, times: int = 1, severity: str = "nonfatal", **payload: Any) -> list[Said]:
    return [{"leaf": leaf, "device": device, "severity": severity, "payload": payload}] * times


def named(**parts: str) -> dict[str, Any]:
    return {f"tlp-{part}": device for part, device in parts.items()}


# What makes a case of each class: (class, the part that is named first, what was seen).
REACHED = [
    ("fault.io.pciex.device-interr", CARD, said("io.pciex.int.ue", CARD, severity="fatal")),
    ("fault.io.pciex.device-interr-corr", CARD, said("io.pciex.int.ce", CARD, 8, "correctable")),
    ("fault.io.pciex.device-interr-deg", CARD, said("io.cxl.rst", CARD)),
    ("fault.io.pciex.device-interr-unaf", CARD, said("io.pciex.tl.ptlp", ROOT, **named(requester=CARD))),
    ("fault.io.pciex.device-invreq", CARD, said("io.pciex.tl.acsv", DOWN, **named(requester=CARD))),
    ("fault.io.pciex.device-noresp", CARD, said("io.pciex.tl.cto", ROOT, **named(target=CARD))),
    ("fault.io.pciex.bus-noresp", CARD, said("io.pciex.tl.cto", ROOT, **named(target=CARD))),
    ("fault.io.pciex.bus-linkerr", CARD, said("io.pciex.dl.sd", DOWN, severity="fatal")),
    ("fault.io.pciex.bus-linkerr-corr", CARD, said("io.pciex.dl.btlp", CARD, 60, "correctable")),
    ("fault.io.pciex.bus-linkerr-lane", CARD, said("io.pciex.pl.lane", CARD, 70, "correctable", lane=5)),
    ("fault.io.pciex.bus-linkerr-deg", CARD, said("io.pciex.pl.width", CARD, severity="correctable")),
    ("defect.io.pciex.pulled", DOWN, [*said("io.pci.fabric", DOWN, severity="info", pcie_slot_cap=0x60, pcie_slot_status=0x8),
                                      *said("io.pciex.dl.sd", DOWN, severity="fatal")]),
    ("fault.io.pciex.slot-power", DOWN, said("io.pciex.slot.pf", DOWN)),
    ("fault.io.pciex.irq-lost", ROOT, said("io.pciex.rc.irq-lost", ROOT, cause="the port says that it interrupts")),
    ("fault.io.pciex.rc.generic-ce", CARD, said("io.hb.iio.wcache-ce", CARD, 6, "correctable")),
    ("fault.io.pciex.rc.generic-ue", CARD, said("io.hb.iio.queue", CARD, severity="fatal")),
    ("fault.io.pciex.rc.generic-sw", CARD, said("io.hb.iio.vtd-fault", CARD)),
    ("fault.io.pciex.rc.generic-fw", CARD, said("io.hb.iio.sad", CARD)),
    ("fault.io.hb.memory", CARD, said("io.hb.iio.mem-ue", CARD)),
    ("fault.io.hb.memory-corr", CARD, said("io.hb.iio.mem-ce", CARD, 26, "correctable")),
    ("fault.io.ht.linkerr", CARD, said("io.ht.lf", CARD, severity="fatal")),
    ("fault.io.pci.device-interr", PCI, said("io.pci.sserr", PCI, severity="fatal")),
    ("fault.io.pci.device-interr-unaf", PCI, said("io.pci.dpe", PCI)),
    ("fault.io.pci.bus-linkerr", BRIDGE, said("io.pciex.bdg.sec-uadr", BRIDGE, severity="fatal")),
    ("fault.io.pci.bus-linkerr-unaf", BRIDGE, said("io.pciex.bdg.sec-perr", BRIDGE)),
    ("fault.io.pci.device-invreq", PCI, said("io.pci.rta", PCI, 8)),
    ("fault.io.pci.device-noresp", PCI, said("io.pciex.bdg.sec-tex", BRIDGE, 8)),
    ("defect.io.pciex.driver", CARD, said("io.pciex.tl.ur", CARD, 8, **named(requester="0000:00:00.0"))),
    ("defect.io.pciex.firmware", CARD, said("io.pciex.doe.err", CARD)),
    ("defect.io.pciex.irq-config", ROOT, said("io.pciex.rc.irq-lost", ROOT, cause="MSI off")),
    ("defect.io.pciex.deaf-path", DOWN, said("io.pciex.deaf", DOWN)),
    ("defect.pcifma.unexplained", CARD, said("io.pciex.tl.dmwb", ROOT)),
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    one = Desk(tmp_path / "log", fabric=machine())
    row = registration(plugin())
    one.engine.register(type(row)(row.name, row.version, row.open, row.subscribe, row.properties))
    yield one
    one.close()


def event(desk: Desk, n: int, one: Said) -> Ereport:
    now = utc(desk.clock.wall_ns())
    identity = ereport_uuid("h", "b", one["device"], one["leaf"], 0, occurrence=n)
    plain = {"class_": f"ereport.{one['leaf']}", "device": one["device"], "severity": one["severity"], "payload": one["payload"]}
    return msgspec.structs.replace(ereport(n), **plain, uuid=identity, time=now, not_before=now)


def cases(desk: Desk, seen: list[Said]) -> list[ListEvent]:
    # Lanes are looked at each half minute; a link's other errors come faster.
    pause_s = 1 if seen[0]["leaf"].endswith("btlp") else 30
    (status,) = said("io.pci.fabric", CARD, severity="info", pcie_link_status=0x0011 if pause_s == 1 else 0x0083)
    desk.log_events(event(desk, 0, status))
    for n, one in enumerate(seen, start=1):
        desk.log_events(event(desk, n, one))
        desk.settle()
        desk.clock.wait_until(desk.clock.boot_ns() + pause_s * SECOND)
        desk.settle()
    desk.clock.wait_until(desk.clock.boot_ns() + 10 * SECOND)
    desk.settle()
    return [one for one in desk.log.reader().lists() if one.class_ == "list.suspect"]


@pytest.mark.parametrize(("class_", "part", "seen"), REACHED, ids=[class_ for class_, *_ in REACHED])
def test_class_is_reached_at_its_part(desk: Desk, class_: str, part: str, seen: list[Said]) -> None:
    found = cases(desk, seen)
    if class_ == "defect.pcifma.unexplained":
        part = ROOT
    assert (class_, part) in {(suspect.class_, suspect.device) for case in found for suspect in case.fault_list}
    assert all(case.code != "-" for case in found)


def test_every_class_of_the_rules_is_among_the_reached() -> None:
    assert {class_ for class_, *_ in REACHED} == set(rules().classes())


@pytest.mark.parametrize("class_", sorted(rules().classes()))
def test_class_has_an_article_by_its_code(class_: str) -> None:
    code = rules().code_of(frozenset({class_}))
    assert code is not None
    done = CliRunner().invoke(command, [message_code(*code)])
    assert done.exit_code == 0, done.output
    assert class_ in done.output and all(head in done.output for head in ("What", "Impact", "Do"))


def test_articles_speak_of_classes_that_there_are() -> None:
    known = {name for entries in rules().codes.values() for members in entries.values() for name in members}
    assert set(load_data(plugin().path / "articles.yaml")) <= known


# illumos's own table of message codes: what it assigned a number to keeps that number, and nothing else has one.
ILLUMOS = {
    "PCIEX-8000-0A": {"fault.io.pciex.device-interr"},
    "PCIEX-8000-25": {"fault.io.pciex.bus-noresp", "fault.io.pciex.device-noresp"},
    "PCIEX-8000-3S": {"fault.io.pciex.bus-linkerr", "fault.io.pciex.device-interr"},
    "PCIEX-8000-8R": {"fault.io.pciex.device-invreq"},
    "PCIEX-8000-J5": {"fault.io.pciex.device-interr-corr"},
    "PCIEX-8000-KP": {"fault.io.pciex.bus-linkerr-corr", "fault.io.pciex.device-interr-corr"},
    "PCIEX-8000-MH": {"fault.io.pciex.device-interr-unaf"},
    "PCIEX-8000-ND": {"fault.io.pciex.device-interr-deg"},
    "PCIEX-8000-RC": {"fault.io.pciex.rc.generic-ce"},
    "PCIEX-8000-UR": {"fault.io.pciex.rc.generic-fw"},
    "PCI-8000-7J": {"fault.io.pci.device-interr"},
    "PCI-8000-CA": {"fault.io.pci.device-noresp"},
    "PCI-8000-DH": {"fault.io.pci.bus-linkerr-unaf", "fault.io.pci.device-interr-unaf"},
}


@pytest.mark.parametrize("code", sorted(ILLUMOS))
def test_codes_are_those_that_illumos_assigned(code: str) -> None:
    found = rules().code_of(frozenset(ILLUMOS[code]))
    assert found is not None and message_code(*found) == code
