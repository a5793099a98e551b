"""fmadm, fmdump and fmstat: illumos's letters, columns and exit statuses, against a real daemon."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from support.daemon import Daemon, configure, daemon
from support.event import list_event, suspect

from pcifma import __version__
from pcifma.cli import fmadm_sheet as sheet
from pcifma.cli.edge import run_and_exit
from pcifma.cli.fmadm import FATAL, fmadm
from pcifma.cli.fmdump import fmdump
from pcifma.cli.fmstat import fmstat
from pcifma.event.case import Suspect
from pcifma.fmd.engine.case import CaseRecord

FIXTURE = Path(__file__).parents[2] / "fixtures" / "malformed-tlp-nomsi"
COMMANDS: dict[str, click.Command] = {"fmadm": fmadm, "fmdump": fmdump, "fmstat": fmstat}
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def fmd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that has diagnosed the golden fixture."""
    root = tmp_path_factory.mktemp("root")
    configure(root, "modules: {pcie_diagnosis: {window: 200ms}}\n")
    with daemon(root, "--source", str(FIXTURE)) as running:
        running.until(lambda: "list.suspect" in running.classes(), "a diagnosis")
        yield running


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(command: str, *words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            run_and_exit(COMMANDS[command], command, words, trouble=FATAL)
        said = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, said.out, said.err

    return call


def root(fmd: Daemon) -> tuple[str, str]:
    return "-R", str(fmd.paths.root)


def test_config_has_four_columns(fmd: Daemon, call: Call) -> None:
    status, out, _ = call("fmadm", *root(fmd), "config")
    lines = out.splitlines()
    assert (status, lines[0]) == (0, "MODULE                   VERSION STATUS  DESCRIPTION")
    assert re.fullmatch(r"pcie_diagnosis {11}\d+ +active  From PCI .*", next(line for line in lines if "pcie_diagnosis" in line))


def test_record_of_a_case_has_illumos_fields(fmd: Daemon, call: Call) -> None:
    status, out, _ = call("fmadm", *root(fmd), "faulty", "-v")
    assert status == 0
    for line in (
        "TIME            EVENT-ID                              MSG-ID         SEVERITY",
        "Host        : malformed-tlp-nomsi",
        "Fault class : fault.io.pciex.device-interr",
        "                  faulted but still in service",
        "                  faulty",
    ):
        assert line in out.splitlines()
    for title in ("Affects     : dev:////", "Problem in  : hc:///", 'FRU         : "Slot 7" (hc:///', "Description : ", "Action      : "):
        assert title in out


@pytest.mark.parametrize(
    ("letters", "says"),
    [
        ("-s", "PCIEX-8000-0A  Critical"),
        ("-si", "CACHE-ID"),
        ("-f", "1 suspects in this FRU total certainty 100%"),
        ("-r", " degraded"),
        ("-agn1", "Fault class"),
        ("-aps", "PCIEX-8000-0A"),
    ],
)
def test_letters_of_faulty_choose_its_form(fmd: Daemon, call: Call, letters: str, says: str) -> None:
    status, out, _ = call("fmadm", *root(fmd), "faulty", letters)
    assert status == 0
    assert says in out


def test_case_is_chosen_by_its_uuid(fmd: Daemon, call: Call) -> None:
    uuid = call("fmadm", *root(fmd), "faulty", "-s")[1].splitlines()[-1].split()[3]
    assert uuid in call("fmadm", *root(fmd), "faulty", "-su", uuid)[1]
    status, _, err = call("fmadm", *root(fmd), "faulty", "-u", "ffffffff")
    assert (status, err.count("\n")) == (1, 1)


def test_dump_has_illumos_columns(fmd: Daemon, call: Call) -> None:
    status, out, _ = call("fmdump", *root(fmd))
    title, row = out.splitlines()[:2]
    assert (status, title) == (0, "TIME                 UUID                                 SUNW-MSG-ID EVENT")
    assert re.fullmatch(r"Jan 01 2000 00:00:\d\d [0-9a-f-]{36} PCIEX-8000-0A Diagnosed", row)
    assert "  100%  fault.io.pciex.device-interr" in call("fmdump", *root(fmd), "-v")[1]
    _, out, _ = call("fmdump", *root(fmd), "-ev", "-c", "*.mtlp")
    assert out.splitlines()[0].split() == ["TIME", "CLASS", "ENA"]
    assert re.search(r"ereport\.io\.pciex\.tl\.mtlp +0x[0-9a-f]{16}$", out.splitlines()[1])


def test_header_of_a_log_says_who_wrote_it(fmd: Daemon, call: Call) -> None:
    status, out, _ = call("fmdump", *root(fmd), "-eH")
    assert (status, out.splitlines()[:3]) == (0, ["EXD_CREATOR = pcifma", "EXD_HOSTNAME = malformed-tlp-nomsi", "EXD_FMA_LABEL = errlog"])
    assert out.splitlines()[3:] == [f"EXD_FMA_VERSION = {__version__}"]
    assert call("fmdump", str(fmd.paths.log), "-H")[1].splitlines()[2] == "EXD_FMA_LABEL = fltlog"
    assert call("fmdump", *root(fmd), "-AH")[0] == 2


def test_whole_events_are_name_value_lists_or_json(fmd: Daemon, call: Call) -> None:
    out = call("fmdump", *root(fmd), "-eV", "-c", "*.mtlp")[1]
    for line in ("nvlist version: 0", "\tclass = ereport.io.pciex.tl.mtlp", "\tbit = 0x12", "\tdetector = (embedded nvlist)"):
        assert line in out.splitlines()
    assert "\t__tod = [ 0x" in out
    assert "detector = (embedded nvlist)" in call("fmdump", *root(fmd), "-eVp", "-n", "bit=18")[1].splitlines()
    assert json.loads(call("fmdump", *root(fmd), "-Vj")[1].splitlines()[0])["class"] == "list.suspect"


def test_case_and_its_message_and_ereports_are_found(fmd: Daemon, call: Call) -> None:
    out = call("fmdump", *root(fmd), "-m")[1]
    assert out.startswith("SUNW-MSG-ID: PCIEX-8000-0A, TYPE: Fault, VER: 1, SEVERITY: Critical\n")
    uuid = re.search(r"EVENT-ID: (\S+)", out)
    assert uuid is not None
    assert "ereport.io.pciex.tl.mtlp" in call("fmdump", *root(fmd), "-e", "-u", uuid[1])[1]
    assert call("fmdump", *root(fmd), "-t", "2001-01-01")[1].count("\n") == 1
    assert call("fmdump", *root(fmd), "-A")[1].count("\n") > 3


def test_stat_has_illumos_columns(fmd: Daemon, call: Call) -> None:
    status, out, _ = call("fmstat", *root(fmd))
    assert (status, out.splitlines()[0]) == (0, "module             ev_recv ev_acpt wait  svc_t  %w  %b  open solve  memsz  bufsz")
    row = next(line for line in out.splitlines() if line.startswith("pcie_diagnosis")).split()
    assert (int(row[1]) >= 2, int(row[2]), int(row[7]), int(row[8])) == (True, 1, 1, 1)
    _, out, _ = call("fmstat", *root(fmd), "-az", "-m", "pcie_diagnosis")
    assert out.splitlines()[0].split() == ["NAME", "VALUE", "DESCRIPTION"]
    assert re.search(r"^ +fmd\.delivered +\d", out, re.M)
    assert not re.search(r" 0$", out, re.M)
    assert ">N" in call("fmstat", *root(fmd), "-s", "-m", "pcie_diagnosis")[1]
    assert re.match(r"\d{10}\n", call("fmstat", *root(fmd), "-d", "u")[1])
    assert call("fmstat", *root(fmd), "-t")[1].startswith(" id state")


@pytest.mark.parametrize(
    "words",
    [
        ["fmadm", "nope"], ["fmadm", "faulty", "-x"], ["fmadm", "-P", "1", "config"], ["fmadm", "rotate"], ["fmadm", "rotate", "tape"],
        ["fmadm", "repaired"], ["fmadm", "repaired", "a", "b"], ["fmadm", "reset"], ["fmadm", "flush"], ["fmadm", "faulty", "-n", "x"],
        ["fmdump", "-ei"], ["fmdump", "-Am"], ["fmdump", "-em"], ["fmdump", "-Vjp"], ["fmdump", "-j"], ["fmdump", "-t", "soon"],
        ["fmdump", "-R", "/x", "file"], ["fmdump", "-n", ""], ["fmdump", "-f", "file"], ["fmdump", "--nope"],
        ["fmstat", "-s"], ["fmstat", "-tT"], ["fmstat", "-P", "1"], ["fmstat", "0"], ["fmstat", "1", "x"], ["fmstat", "-d", "x"],
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_2(call: Call, words: list[str]) -> None:
    status, out, err = call(*words)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"{words[0]}: ")


@pytest.mark.parametrize("words", [["fmadm", "config"], ["fmadm", "faulty"], ["fmdump"], ["fmstat"]])
def test_what_cannot_be_done_is_one_line_and_1(call: Call, tmp_path: Path, words: list[str]) -> None:
    command, *rest = words
    status, out, err = call(command, "-R", str(tmp_path), *rest)
    assert (status, out, err.count("\n")) == (1, "", 1)


REFUSED = (["load", "/nowhere/pcie_aer"], ["load", "nope"], ["unload", "nope"], ["reset", "nope"], ["rotate", "infolog"])


@pytest.mark.parametrize("words", REFUSED)
def test_order_that_is_refused_is_one_line_and_1(fmd: Daemon, call: Call, words: list[str]) -> None:
    status, out, err = call("fmadm", *root(fmd), *words)
    assert (status, out, err.count("\n")) == (1, "", 1)


def test_modules_come_and_go_and_say_so(fmd: Daemon, call: Call) -> None:
    assert call("fmadm", *root(fmd), "unload", "pcix") == (0, "fmadm: module 'pcix' unloaded from fault manager\n", "")
    assert call("fmadm", *root(fmd), "load", "pcix") == (0, "fmadm: module 'pcix' loaded into fault manager\n", "")
    assert call("fmadm", *root(fmd), "-q", "reset", "pcie_diagnosis") == (0, "", "")


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Daemon]:
    configure(tmp_path, "modules: {pcie_diagnosis: {window: 200ms}}\n")
    with daemon(tmp_path, "--source", str(FIXTURE)) as running:
        running.until(lambda: "list.suspect" in running.classes(), "a diagnosis")
        yield running


def test_part_is_acquitted_in_either_order_then_flushed(another: Daemon, call: Call) -> None:
    uuid = call("fmadm", *root(another), "faulty", "-s")[1].splitlines()[-1].split()[3]
    status, _, err = call("fmadm", *root(another), "flush", "0000:04:00.0")
    assert (status, "is faulty" in err) == (1, True)
    assert call("fmadm", *root(another), "acquit", uuid, "Slot 7") == (0, f"fmadm: recorded acquittal of {uuid}\n", "")
    assert call("fmadm", *root(another), "acquit", "Slot 7", uuid)[0] == 0
    assert call("fmadm", *root(another), "faulty", "-s") == (0, "", "")
    assert call("fmadm", *root(another), "flush", "0000:04:00.0")[0] == 0
    assert call("fmadm", *root(another), "flush", "0000:04:00.0")[0] == 1


# The sheet, by itself.


def case(*suspects: Suspect, **changes: object) -> CaseRecord:
    plain = {"id": 3, "uuid": list_event().uuid, "module": "diag", "key": "k", "opened_wall_ns": 0, "state": "SOLVED"}
    given = {"code": "PCIEX-8000-KP", "severity": "Major", "diag_time": "2026-11-22T02:31:00.000000000Z", "suspects": list(suspects)}
    return CaseRecord(**{**plain, **given, **changes})  # type: ignore[arg-type]


def record(one: CaseRecord, look: sheet.Look | None = None) -> list[str]:
    return [line for lines in sheet.records([one], {}, look or sheet.Look(), "h") for line in lines]


def test_suspects_of_one_part_are_one_row_and_states_that_differ_are_each_said() -> None:
    card = {"fru": "hc:///card", "asru": "dev:///card"}
    lines = record(case(suspect(certainty=40, **card), suspect(certainty=30, class_="x", **card), suspect(certainty=30, status="repaired")))
    assert 'FRU         : "Slot 3" (hc:///card) 70%' in lines
    assert sum("repair attempted" in line for line in lines) == 1
    assert "Fault class : fault.io.pciex.device-interr 2 @ max 40%" in lines


def test_long_lists_are_cut_and_that_is_said() -> None:
    many = [suspect(f"0000:0{n}:00.0", 20) for n in range(5)]
    assert sum("... 3 more entries suppressed" in line for line in record(case(*many), sheet.Look(most=2))) == 2


def test_synthetic_case_and_hostile_text_are_marked_and_tamed() -> None:
    text = "\n".join(record(case(suspect(location="Slot\x1b[31m 3"), injected=True)))
    assert "injected" in text
    assert "\x1b" not in text


def test_time_is_printed_as_illumos_does() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert re.fullmatch(r"Nov 2\d \d\d:31:00\.1234", sheet.stamp("2026-11-22T02:31:00.123400000Z", now, part=".1234"))
    assert re.fullmatch(r"Mar 0\d 2026", sheet.stamp("2026-03-02T02:31:00.123400000Z", now))
