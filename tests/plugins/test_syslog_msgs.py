"""The message agent: what the journal and syslog are told, once, and that no socket can hold the daemon up."""

from __future__ import annotations

import importlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from support.agent import TestHouse, case, load
from support.desk import Desk, Probe, slot_with
from support.event import ereport, list_event, suspect

from pcifma.event.code import message_id
from pcifma.plugin import Looks, Status
from pcifma.plugin.loader import builtin

SECOND = 10**9


class Listener:
    """A datagram socket that somebody sends to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))

    def datagrams(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(1 << 20))
            except BlockingIOError:
                return found

    def entries(self) -> list[list[tuple[str, str]]]:
        """Messages of the journal's protocol, each as its fields."""
        return [[(n, v) for n, _, v in (line.partition("=") for line in one.decode().splitlines())] for one in self.datagrams()]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "journal")
    yield listener
    listener.socket.close()


@pytest.fixture
def desk(tmp_path: Path, house: TestHouse) -> Iterator[Desk]:
    desk = Desk(tmp_path / "log.db", fabric=slot_with(serial=0x0002C90300A1B2C3), house=house)
    yield desk
    desk.close()


def start(desk: Desk, journal: Listener, to: str = "journal") -> None:
    load(desk, "syslog_msgs", to=to, journal=str(journal.path), syslog=str(journal.path.with_name("syslog")))


def statistic(desk: Desk, name: str) -> int:
    return desk.engine.statistics("syslog_msgs").get(name, 0)


def later(desk: Desk, seconds: int) -> None:
    desk.clock.wait_until(desk.clock.boot_ns() + seconds * SECOND)
    desk.settle()


def test_off_says_nothing(desk: Desk, journal: Listener) -> None:
    start(desk, journal, "off")
    case(desk, suspect())
    assert (journal.datagrams(), desk.engine.next_due_ns()) == ([], None)


def test_case_is_announced_with_all_its_fields(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    uuid = case(desk, suspect(certainty=80), suspect("0000:00:03.0", 20, class_="fault.io.pciex.bus-linkerr", location=""))
    started, entry = journal.entries()
    assert ("MESSAGE_ID", message_id("started")) in started
    fields = [(name.removeprefix("PCIFMA_"), value) for name, value in entry]
    text = fields.pop(0)[1]
    assert text == (
        "CRITICAL PCIEX-8000-0A diagnosed: 80% fault.io.pciex.device-interr at Slot 3, 0000:04:00.0. "
        f"A PCI Express device has an internal fault; what it was doing is lost. Urgency: now. pcifma explain {uuid[:8]}"
    )
    event = next(value for name, value in fields if name == "EVENT")
    pid = next(value for name, value in fields if name == "SYSLOG_PID")
    assert fields == [
        ("MESSAGE_ID", message_id("PCIEX-8000-0A")), ("PRIORITY", "2"), ("SYSLOG_IDENTIFIER", "pcifma"), ("SYSLOG_FACILITY", "3"),
        ("SYSLOG_PID", pid), ("UUID", uuid), ("EVENT", event), ("CODE", "PCIEX-8000-0A"), ("SEVERITY", "critical"), ("URGENCY", "now"),
        ("STATE", "diagnosed"), ("CLASS", "fault.io.pciex.device-interr"), ("CERTAINTY", "80"), ("BDF", "0000:04:00.0"),
        ("SLOT", "Slot 3"), ("SERIAL", "0002c90300a1b2c3"), ("CLASS", "fault.io.pciex.bus-linkerr"), ("CERTAINTY", "20"),
        ("BDF", "0000:00:03.0"),
    ]  # fmt: skip


def test_message_id_is_fixed_for_ever() -> None:
    assert message_id("PCIEX-8000-0A") == "bca08c56bb3c5dcf98d48df0fda98030"
    assert UUID(message_id("drill")).version == 5
    assert len({message_id(kind) for kind in ("started", "blind", "wrote", "drill", "PCIEX-8000-0A", "PCIEX-8000-1S")}) == 6


@pytest.mark.parametrize(("severity", "priority"), [("Critical", "2"), ("critical", "2"), ("Major", "3"), ("minor", "4"), ("strange", "4")])
def test_severity_gives_the_priority(desk: Desk, journal: Listener, severity: str, priority: str) -> None:
    start(desk, journal)
    case(desk, suspect(), severity=severity)
    assert dict(journal.entries()[-1])["PRIORITY"] == priority


def test_serial_of_the_part_that_came_instead_is_not_said(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    uuid = case(desk, suspect())
    desk.engine.docket.set_status(desk.engine.docket.cases[uuid], {0: "replaced"})
    desk.settle()
    assert ["PCIFMA_SERIAL" in dict(entry) for entry in journal.entries()[1:3]] == [True, False]


def test_repair_is_said_as_information(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    uuid = case(desk, suspect())
    desk.engine.docket.set_status(desk.engine.docket.cases[uuid], {0: "repaired"})
    desk.settle()
    later(desk, 2)
    entries = [dict(entry) for entry in journal.entries()[1:]]
    assert [(entry["PCIFMA_STATE"], entry["PRIORITY"]) for entry in entries] == [("diagnosed", "2"), ("repaired", "6"), ("resolved", "6")]


def test_nothing_is_announced_again_after_restart_or_reboot(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    case(desk, suspect())
    for boot in (desk.boot, "11111111-0000-4000-8000-000000000001"):
        journal.datagrams()
        desk.close()
        desk.boot = boot
        desk.start()
        start(desk, journal)
        desk.add("diag", Probe())
        case(desk, suspect())  # the same again: it joins the open case
        assert [dict(entry)["MESSAGE_ID"] for entry in journal.entries()] == [message_id("started")]


def test_drill_is_a_message_of_its_own_and_says_so(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    case(desk, suspect(), severity="major", evidence=ereport(0, injected=True))
    entry = dict(journal.entries()[-1])
    assert (entry["MESSAGE_ID"], entry["PCIFMA_INJECTED"], entry["PCIFMA_CODE"]) == (message_id("drill"), "1", "PCIEX-8000-0A")
    assert "(drill: nothing is wrong)" in entry["MESSAGE"]


def test_hostile_text_stays_in_its_field(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    case(desk, suspect(location="Slot\nMESSAGE=owned\n\x1b[2J\u202e" + "x" * 5000))
    (entry,) = [entry for entry in journal.entries() if dict(entry).get("PCIFMA_SLOT")]
    assert [name for name, _ in entry].count("MESSAGE") == 1
    assert dict(entry)["PCIFMA_SLOT"].startswith("Slot?MESSAGE=owned??[2J?xxx")
    assert len(dict(entry)["PCIFMA_SLOT"]) == 2048


def test_blindness_of_many_functions_is_one_message(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    unread = [ereport(n, class_="ereport.pcifma.unread", device=f"0000:04:00.{n}", payload={"reason": "short"}) for n in range(8)]
    asleep = ereport(9, class_="ereport.pcifma.unread", device="0000:05:00.0", payload={"reason": "asleep"})
    desk.log_events(*unread, asleep)
    later(desk, 1)
    later(desk, 6)
    (entry,) = [dict(entry) for entry in journal.entries() if ("MESSAGE_ID", message_id("blind")) in entry]
    assert entry["MESSAGE"].startswith("Not everything is seen or told: 0000:04:00.0 (short), 0000:04:00.1 (short),")
    assert "and 3 more" in entry["MESSAGE"]
    assert "0000:05:00.0" not in entry["MESSAGE"]


def test_writes_to_hardware_are_said(desk: Desk, house: TestHouse, journal: Listener) -> None:
    start(desk, journal)
    house.now = Status(version="1", looks=Looks(writes=3))
    later(desk, 11)
    later(desk, 11)
    texts = [dict(entry)["MESSAGE"] for entry in journal.entries() if ("MESSAGE_ID", message_id("wrote")) in entry]
    assert texts == ["3 status registers were written back after they were logged, 3 since the start"]


def test_without_a_journal_syslog_is_told(desk: Desk, tmp_path: Path) -> None:
    syslog = Listener(tmp_path / "syslog")
    load(desk, "syslog_msgs", to="auto", journal=str(tmp_path / "none"), syslog=str(syslog.path))
    uuid = case(desk, suspect(location='a"b]c\\'))
    started, line = (one.decode() for one in syslog.datagrams())
    assert started.startswith("<30>")
    assert line.startswith("<26>")
    assert "pcifma[" in line
    assert f'[pcifma uuid="{uuid}"' in line
    assert 'slot="a\\"b\\]c\\\\"' in line
    syslog.socket.close()


def test_full_socket_holds_nobody_up_and_gets_what_waited_later(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with pytest.raises(BlockingIOError):
        while True:
            filler.sendto(b"x" * 1000, str(journal.path))
    case(desk, suspect())
    assert statistic(desk, "waiting") == 1
    journal.datagrams()
    later(desk, 2)
    assert dict(journal.entries()[-1])["PCIFMA_STATE"] == "diagnosed"
    assert statistic(desk, "waiting") == 0
    filler.close()


def test_waiting_messages_are_bounded_and_drops_counted(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with pytest.raises(BlockingIOError):
        while True:
            filler.sendto(b"x" * 1000, str(journal.path))
    for n in range(300):
        case(desk, suspect(f"0000:{n // 8:02x}:00.{n % 8}"))
    assert (statistic(desk, "waiting"), statistic(desk, "messages-dropped")) == (256, 44)
    filler.close()


def test_nobody_listening_is_counted_and_harms_nothing(desk: Desk, tmp_path: Path) -> None:
    loaded = load(desk, "syslog_msgs", to="auto", journal=str(tmp_path / "none"), syslog=str(tmp_path / "none2"))
    case(desk, suspect())
    assert (loaded.failed, statistic(desk, "messages-dropped")) == ("", 2)


def test_unknown_way_is_refused(desk: Desk) -> None:
    loaded = load(desk, "syslog_msgs", to="pager")
    assert loaded.failed == "PluginError: modules.syslog_msgs.to: 'pager': write off, auto, journal, syslog"


def test_every_suspect_of_a_case_fits_a_datagram(desk: Desk, journal: Listener) -> None:
    start(desk, journal)
    case(desk, *(suspect(f"0000:{n:02x}:00.0", location="x" * 3000) for n in range(60)))
    (entry,) = journal.entries()[1:]
    assert sum(len(value) for _, value in entry) < 64 << 10
    assert [name for name, _ in entry].count("PCIFMA_BDF") == 8


def test_document_has_every_field_and_every_other_message() -> None:
    text = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    message = importlib.import_module(f"{builtin(['syslog_msgs'])[0].code.__name__}.message")
    event = list_event(fault_list=[suspect()], injected=True, code="PCIEX-8000-0A", severity="Critical")
    fabric = slot_with(serial=0x0002C90300A1B2C3)
    said = message.of_case(event, fabric, {"0000:04:00.0": "web-12"}, {})
    assert set(re.findall(r"`PCIFMA_([A-Z]+)`", text)) == {name for name, _ in said.fields}
    assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \| (?:\d|as above) \|$", text, re.MULTILINE)) == {"started", "blind", "wrote", "drill"}
