"""What an operator reads of a case: what, where, who, why, whom it hits, how urgent, what to do; and what is said where nothing is."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import msgspec
import pytest
from support.event import ereport, list_event, suspect

from pcifma.access.clock import EPOCH_2000_NS, SimulatedClock
from pcifma.cli.article import articles
from pcifma.cli.faulty_sheet import Page, quiet, short, words
from pcifma.cli.outlook import Outlook, Part
from pcifma.cli.outlook import outlook as look_around
from pcifma.event.case import Suspect
from pcifma.event.ereport import Ereport
from pcifma.event.identity import utc
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.batch import Batch, Checkpoint, ResourceRow
from pcifma.fmd.log.log import Log
from pcifma.fmd.path import Paths

CARD, PORT = "0000:04:00.0", "0000:00:03.0"
PULLED = "0002c90300badbad"
HOUR_NS = 3_600 * 10**9
NOW_NS = EPOCH_2000_NS + 24 * HOUR_NS
STATUS: dict[str, Any] = {
    "waiting": "", "functions": 3, "started": utc(EPOCH_2000_NS), "last_look": utc(NOW_NS - 4 * 10**8), "unread": {}, "maintenance": [],
}  # fmt: skip
WORK = {"what": "Slot 3", "until": utc(NOW_NS), "why": "reseat"}
PARTS = {
    PORT: Part(vendor=0x8086, device=0x3420, type=4),
    CARD: Part(vendor=0xFFFF, device=0x1017, type=0, serial="0002c90300c0ffee", parent=PORT, slot="Slot 3", slot_source="smbios"),
    "0000:04:00.2": Part(vendor=0xFFFF, device=0x1018, physfn=CARD),
}


def outlook(**changes: object) -> Outlook:
    given: dict[str, Any] = {"status": STATUS, "silence": "", "parts": PARTS, "guests": {}, "drill": None, "now_ns": NOW_NS}
    return Outlook(**{**given, **changes})


def case(*suspects: Suspect, **changes: object) -> CaseRecord:
    given: dict[str, Any] = {
        "id": 1, "uuid": list_event().uuid, "module": "diag", "key": "k", "opened_wall_ns": 0, "state": "SOLVED", "code": "PCIEX-8000-KP",
        "severity": "Major", "urgency": "working-hours", "diag_time": utc(NOW_NS - 18 * HOUR_NS),
        "suspects": list(suspects) or [suspect(CARD)],
    }  # fmt: skip
    return CaseRecord(**{**given, **changes})


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock())
    yield log
    log.close()


def page(log: Log, **changes: object) -> Page:
    return Page(log.reader(), outlook(**changes), articles())


def read(log: Log, one: CaseRecord, **changes: object) -> dict[str, str]:
    """The case as it is read: its lines by their title, the first one under `head`."""
    head, *rest = map(click.unstyle, words(one, page(log, **changes)))
    found, title = {"head": head}, ""
    for line in rest:
        title = line[1:10].strip() or title
        found[title] = f"{found[title]}\n{line[11:]}" if line[1:10].strip() == "" else line[11:]
    return found


def store(log: Log, *events: Ereport) -> None:
    log.append(Batch(1, ereports=events, evidence=tuple((1, n) for n in range(1, len(events) + 1)))).wait()



def test_list_that_names_not_all_says_what_is_left_to_others(log: Log) -> None:
    told = "\n".join(read(log, case(suspect(CARD, 30), suspect(PORT, 20))).values())
    assert " 50%  others that fit as well: pcifma explain" in told
    assert "others that fit" not in "\n".join(read(log, case()).values())

def test_case_is_read_from_head_to_what_to_do(log: Log) -> None:
    store(log, *(ereport(n, count=3) for n in range(2)))
    link = suspect(CARD, 60, class_="fault.io.pciex.bus-linkerr-corr")
    found = read(log, case(link, suspect(PORT, 40, class_="fault.io.pciex.device-interr-corr", location="")))
    assert list(found) == ["head", "What", "Where", "Suspects", "Because", "Impact", "Urgency", "Do"]
    since = r"since \w+ \d+ Jan \d\d:00 [+-]\d\d \(18 h\), 0\.25 an hour, falling"
    assert re.fullmatch(rf"MAJOR  PCIEX-8000-KP  case 00000000  {since}", found["head"])
    assert found["What"].startswith("One direction of a link corrupts data")
    assert found["Where"] == f"Slot 3 (only SMBIOS says so)  {CARD}  s/n 0002c90300c0ffee"
    first, second = found["Suspects"].splitlines()
    assert first == f" 60%  link   ffff:1017  s/n 0002c90300c0ffee  Slot 3  bus-linkerr-corr    {CARD}"
    assert second == f" 40%  board  Root Port                                device-interr-corr  {PORT}"
    assert found["Because"] == f"Bad TLP at {CARD} (6 times)"
    assert found["Urgency"].startswith("working hours; becomes NOW with the first uncorrectable error      Auto-response: none")
    assert found["Do"].splitlines()[1].startswith("2 pcifma repaired 00000000")


@pytest.mark.parametrize(
    ("source", "others", "says"),
    [
        ("site", [("PCIe Slot 3", "smbios")], "Slot 3 (slots.yaml and SMBIOS agree)"),
        ("site", [], "Slot 3 (only slots.yaml says so)"),
        ("smbios", [("Slot 5", "slot-capability")], "Slot 3 says SMBIOS, but Slot Capabilities says Slot 5: make sure before you pull"),
    ],
)
def test_slot_is_said_with_who_says_so(log: Log, source: str, others: list[tuple[str, str]], says: str) -> None:
    part = msgspec.structs.replace(PARTS[CARD], slot_source=source, slot_others=others)
    assert read(log, case(), parts={CARD: part})["Where"].startswith(says)


def test_part_without_slot_or_that_is_gone_is_no_guess(log: Log) -> None:
    assert "no slot is known for it" in read(log, case(suspect(PORT, location="")))["Where"]
    assert read(log, case(), parts={})["Where"].startswith("Slot 3 (as it was then)")


def test_part_that_was_pulled_is_named_by_its_own_serial(log: Log) -> None:
    row = ResourceRow(f"0000-00/03.0/00.0/3/ffff:1017:0000:0000/{PULLED}", 1, 0, "replaced", b"{}")
    log.append(Batch(1, resources=(row,))).wait()
    found = read(log, case())
    assert found["Where"].endswith(f"s/n {PULLED}; s/n 0002c90300c0ffee is there now")
    assert f"ffff:1017  s/n {PULLED}  Slot 3" in found["Suspects"]
    gone = read(log, case(), parts={})
    assert gone["Where"] == f"Slot 3 (as it was then)  {CARD}  s/n {PULLED}"
    assert f"card  ffff:1017  s/n {PULLED}  Slot 3" in gone["Suspects"]


def test_nothing_is_left_to_do_for_a_case_that_is_over(log: Log) -> None:
    assert "Do" not in read(log, case(state="REPAIRED"))
    assert "Do" not in read(log, case(suspect(CARD, status="replaced")))


def test_guests_at_and_below_the_suspects_are_named_and_moved(log: Log) -> None:
    guests = {"0000:04:00.2": "web-12\x1b[31m", CARD: "db-3", "0000:07:00.0": "other"}
    found = read(log, case(suspect(PORT)), guests=guests)
    assert found["Impact"].splitlines()[1] == "guests db-3, web-12�[31m"
    assert found["Do"].startswith("1 move db-3, web-12")
    assert read(log, case())["Impact"].splitlines()[1] == "no guest is known to have it"


def test_what_was_looked_for_and_not_seen_is_said(log: Log) -> None:
    chain = {"not-seen": [f"ereport.io.pciex.tl.rof at {CARD}", f"ereport.io.pciex.tl.rof at {PORT}", f"ereport.io.pciex.int.ue at {CARD}"]}
    kept = {("buffer", f"why:{list_event().uuid}"): msgspec.json.encode(chain)}
    log.append(Batch(1, checkpoints=(Checkpoint("diag", 0, "b", 0, put=kept),))).wait()
    assert read(log, case())["Not seen"].startswith("tl.rof, int.ue, which such a fault may show too")


@pytest.mark.parametrize(("hours", "trend"), [((1, 2, 20, 21, 22, 23), ", rising"), ((1, 7, 13, 19), ""), ((1, 2, 3, 22), ", falling")])
def test_rate_of_corrected_errors_and_its_trend_come_from_the_log(log: Log, hours: tuple[int, ...], trend: str) -> None:
    store(log, *(ereport(n, time=utc(EPOCH_2000_NS + hour * HOUR_NS)) for n, hour in enumerate(hours)))
    head = read(log, case())["head"]
    assert head.endswith(f" an hour{trend}")


def test_drill_and_suspect_that_is_out_are_marked(log: Log) -> None:
    drill = suspect("host", class_="fault.pcifma.drill", location="", resource="fmd:///drill=1")
    found = read(log, case(drill, injected=True))
    assert found["head"].endswith("INJECTED: a drill")
    assert found["Where"] == "host: no part of this machine"
    assert "repaired" not in found["Do"]
    out = read(log, case(suspect(CARD, status="unusable"), urgency="now"))
    assert out["Urgency"] == f"NOW      Auto-response: {CARD} was taken out of service"


def test_case_that_follows_a_repair_says_so_and_what_was_said(log: Log) -> None:
    remarks = [f"2000-01-01T0{hour}:00:00.000000000Z acquitted {PORT} by uid 0 pid {hour}" for hour in range(5)]
    found = read(log, case(follows="7f3c1a2e-0000-5000-8000-000000000000", remarks=remarks))

    assert found["After"] == "a repair at the same place: it came up on the probation of case 7f3c1a2e"
    assert found["Said"].splitlines() == remarks[2:]
    assert "After" not in read(log, case())


def test_case_in_one_line(log: Log) -> None:
    line = click.unstyle(short(case(injected=True), page(log)))
    assert re.match(rf"MAJOR  PCIEX-8000-KP  00000000  100% device-interr  Slot 3  {CARD}  since \w+ .*  INJECTED$", line)


def test_hostile_text_reaches_no_terminal(log: Log) -> None:
    store(log, ereport(payload={"name": "\x1b]0;x\x07"}))
    hostile = suspect(CARD, class_="fault.x\x1b[2J", location="\x9b31mSlot", resource="hc:\r")
    text = "\n".join(words(case(hostile, code="\x1b", severity="\x07"), page(log, parts={})))
    assert all(c == "\n" or c.isprintable() for c in text.replace(click.style("\ufffd", fg="yellow"), ""))


def test_empty_page_says_what_is_watched() -> None:
    (line,) = quiet(outlook(drill=utc(EPOCH_2000_NS + 12 * HOUR_NS)))
    assert re.fullmatch(
        r"No faults\. Watching 3 Functions since \d+ \w+ \d+, last look 0\.4 s ago\. Last drill passed \d+ Jan 2000\.", line
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"status": None, "silence": "no daemon answers"}, "nothing is watched: the daemon does not answer"),
        ({"status": {**STATUS, "waiting": "disk full"}}, "waits for its storage (disk full)"),
        ({"status": {**STATUS, "unread": {"gone": 1}}}, "not counted as healthy: 1 gone"),
        ({"status": {**STATUS, "maintenance": [WORK]}}, "Planned work on Slot 3 until"),
    ],
)
def test_empty_page_is_no_clean_bill_where_nobody_looks(changes: dict[str, object], says: str) -> None:
    assert says in "\n".join(quiet(outlook(**changes)))


class Older(socketserver.StreamRequestHandler):
    """A daemon of an older release: its status has fewer keys, and it knows fewer verbs."""

    def handle(self) -> None:
        for line in self.rfile:
            if json.loads(line)["verb"] == "status":
                known = {key: value for key, value in STATUS.items() if key != "maintenance"}
                self.wfile.write(json.dumps({"v": 1, "ok": True, "result": known}).encode() + b"\n")
            else:
                self.wfile.write(b'{"v": 1, "ok": false, "tag": "daemon", "error": "no such verb"}\n')


def test_daemon_from_before_an_upgrade_is_read_as_far_as_it_goes(log: Log) -> None:
    with TemporaryDirectory(prefix="pcifma-") as root:  # a socket's path is short
        path = Paths(Path(root)).socket
        path.parent.mkdir(parents=True)
        with socketserver.UnixStreamServer(str(path), Older) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            around = look_around(Path(root), log.reader())
            thread.join(30)
    assert (around.status is None, around.guests) == (False, {})
    assert "\n".join(quiet(around)).startswith("No faults. Watching 3 Functions")
