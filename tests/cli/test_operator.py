"""From page to repaired part: the operator's commands against a real daemon, and against its log after it has stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.daemon import Daemon, daemon

from pcifma.cli.log import moment
from pcifma.errors import UsageError

FIXTURE = Path(__file__).parents[2] / "fixtures" / "malformed-tlp-nomsi"


@pytest.fixture(scope="module")
def fmd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that has diagnosed the golden fixture."""
    root = tmp_path_factory.mktemp("root")
    with daemon(root, "--source", str(FIXTURE)) as running:
        running.until(lambda: "list.suspect" in running.classes(), "a diagnosis")
        yield running


def pcifma(fmd: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    code = "from pcifma.cli.main import run; run()"
    command = [sys.executable, "-I", "-c", code, *words, "--root", str(fmd.paths.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def case(fmd: Daemon) -> str:
    line = json.loads(pcifma(fmd, "dump", "--json").stdout.splitlines()[0])
    assert line["class"] == "list.suspect"
    return str(line["uuid"])


def test_day_of_a_case_from_page_to_repair(fmd: Daemon) -> None:
    uuid = case(fmd)
    page = pcifma(fmd, "faulty", "--check")
    assert page.returncode == 1
    assert f"CRITICAL  PCIEX-8000-0A  case {uuid}" in page.stdout
    assert "100%  fault.io.pciex.device-interr  0000:04:00.0  Slot 7  faulty" in page.stdout
    assert "io.pciex.tl.mtlp at 0000:04:00.0 (1 ereport)" in page.stdout
    why = pcifma(fmd, "explain", uuid[:8])
    assert "ereport.io.pciex.tl.mtlp  0000:04:00.0  x1  by this rule" in why.stdout
    assert pcifma(fmd, "repaired", uuid[:8]).stdout == f"case {uuid}: 0000:04:00.0 fault.io.pciex.device-interr is repaired\n"
    fmd.until(lambda: "list.repaired" in fmd.classes(), "the repair")
    after = pcifma(fmd, "faulty", "--check")
    assert (after.returncode, after.stdout) == (0, "No faults.\n")
    assert f"case {uuid}" in pcifma(fmd, "faulty", "--all").stdout
    again = pcifma(fmd, "repaired", uuid[:8])
    assert again.returncode == 2
    assert "nothing faulty is called" in again.stderr


def test_dump_filters_by_log_class_time_and_uuid(fmd: Daemon) -> None:
    def classes(*words: str) -> list[str]:
        return [json.loads(line)["class"] for line in pcifma(fmd, "dump", "--json", *words).stdout.splitlines()]

    assert classes("-e", "-c", "ereport.io.pciex.*") == ["ereport.io.pciex.tl.mtlp"]
    assert "ereport.io.pci.fabric" in classes("-i")
    assert classes("-t", "2099-01-01") == []
    assert classes("-T", "1999-01-01") == []
    assert all(name.startswith("list.") for name in classes("-u", case(fmd)))


def test_dump_prints_a_title_and_a_line_an_event(fmd: Daemon) -> None:
    lines = pcifma(fmd, "dump", "-e").stdout.splitlines()
    assert lines[0].split() == ["TIME", "CLASS", "DEVICE"]
    assert lines[1].split()[1:] == ["ereport.io.pci.fabric", "0000:04:00.0"]
    assert "bit=18" in pcifma(fmd, "dump", "-e", "-v").stdout
    assert json.loads(pcifma(fmd, "dump", "-V", "-e", "-c", "*.mtlp").stdout)["payload"]["bit"] == 18


def test_stat_counts_what_the_module_got(fmd: Daemon) -> None:
    counted = json.loads(pcifma(fmd, "stat", "-m", "pcie_diagnosis", "--json").stdout)
    assert counted["delivered"] >= 2
    assert "pcie_diagnosis" in pcifma(fmd, "stat").stdout


def test_unknown_case_is_one_line_and_exit_2(fmd: Daemon) -> None:
    done = pcifma(fmd, "explain", "ffffffff")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no case begins so" in done.stderr


def test_no_daemon_is_exit_2_and_no_log_says_so(tmp_path: Path) -> None:
    code = "from pcifma.cli.main import run; run()"
    for words, message in ((["repaired", "x"], "no daemon"), (["faulty"], "no log is here")):
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, *words, "--root", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        assert message in done.stderr


NOW = datetime(2026, 11, 22, 20, 15, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", "2026-11-22T17:15:00"),
        ("3days", "2026-11-19T19:15:00"),
        ("2026-11-22T20:15:00", "2026-11-22T19:15:00"),
        ("2026-11-22T20:15:00Z", "2026-11-22T20:15:00"),
        ("11/22/26 20:15:00", "2026-11-22T19:15:00"),
        ("18:30", "2026-11-22T17:30:00"),
    ],
)
def test_times_are_read_as_people_write_them(text: str, expected: str) -> None:
    assert moment(text, NOW) == f"{expected}.000000000Z"


def test_nonsense_time_names_the_forms() -> None:
    with pytest.raises(UsageError, match="is no time: write 2h"):
        moment("yesterday-ish", NOW)
