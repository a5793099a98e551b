"""From page to repaired part: the operator's commands against a real daemon, and against its log after it has stopped."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import Daemon, daemon

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
    assert f"CRITICAL  PCIEX-8000-0A  case {uuid[:8]}" in page.stdout
    assert " Where     Slot 7 (only Slot Capabilities says so)  0000:04:00.0" in page.stdout
    assert re.search(r"^ Suspects  100%  card  .*Slot 7  device-interr  0000:04:00.0$", page.stdout, re.M)
    assert " Because   Malformed TLP at 0000:04:00.0 (1 time)\n" in page.stdout
    why = pcifma(fmd, "explain", uuid[:8])
    assert "Malformed TLP (ereport.io.pciex.tl.mtlp) at 0000:04:00.0" in why.stdout
    assert "rule internal: " in why.stdout and "What was looked for and not seen" in why.stdout
    assert "<== 100%" in why.stdout
    assert "1. Look for a firmware update first." in why.stdout
    assert pcifma(fmd, "repaired", uuid[:8]).stdout.splitlines() == [
        f"case {uuid}: 0000:04:00.0 fault.io.pciex.device-interr is repaired",
        f"1 bit stays latched there and hides repeats: pcifma clear {uuid[:8]}",
    ]
    fmd.until(lambda: "list.repaired" in fmd.classes(), "the repair")
    after = pcifma(fmd, "faulty", "--check")
    assert after.returncode == 0
    assert re.match(r"No faults\. Watching 4 Functions since 1 Jan 2000, last look \d+\.\d s ago\. ", after.stdout)
    assert f"case {uuid[:8]}" in pcifma(fmd, "faulty", "--all").stdout
    again = pcifma(fmd, "repaired", uuid[:8])
    assert (again.returncode, again.stdout) == (0, f"{uuid[:8]}: nothing of it is faulty any more; nothing was changed\n")
    unknown = pcifma(fmd, "repaired", "Slot 99")
    assert unknown.returncode == 2
    assert "nothing faulty is called 'Slot 99'" in unknown.stderr


def nagios(fmd: Daemon, *words: str) -> tuple[int, str]:
    done = pcifma(fmd, "check", *words)
    assert done.stdout.count("\n") == 1
    return done.returncode, done.stdout


def test_check_is_one_line_for_scripts_and_for_nagios(fmd: Daemon) -> None:
    status, line = nagios(fmd)
    opened = status == 1
    assert ("PCIEX-8000-0A" in line) is opened, "the case may be repaired already"
    status, line = nagios(fmd, "--nagios")
    assert re.match(r"PCIFMA (OK|WARNING|CRITICAL): .* \| cases=\d urgent=\d functions=4 unread=0 ereports=\d+c$", line)
    assert (status in (1, 2)) is opened
    assert nagios(fmd, "--nagios", "--nope") == (3, "PCIFMA UNKNOWN: No such option '--nope'.\n")
    assert pcifma(fmd, "check", "--nope").returncode == 2


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


def test_module_and_its_serd_engines_are_reset(fmd: Daemon) -> None:
    # Not the module whose case the other tests stand on: what it knew of it would be gone.
    done = pcifma(fmd, "reset", "mca_diagnosis")
    assert (done.returncode, done.stdout) == (0, "mca_diagnosis module has been reset\n")
    for words, message in ((["nobody"], "no module nobody"), (["mca_diagnosis", "-s", "none"], "has no SERD engine 'none'")):
        done = pcifma(fmd, "reset", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr


def test_rotated_log_is_still_dumped_and_followed(fmd: Daemon) -> None:
    def seqs() -> list[int]:
        return [json.loads(line)["seq"] for line in pcifma(fmd, "dump", "-A", "--json").stdout.splitlines()]

    before = seqs()
    done = pcifma(fmd, "rotate", "errlog")
    assert done.returncode == 0
    assert "errlog has been rotated out" in done.stdout or "nothing to rotate" in done.stdout
    after = seqs()
    assert after[: len(before)] == before
    assert after == sorted(set(after))
    assert pcifma(fmd, "rotate", "tape").returncode == 2


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
    for words, message in ((["repaired", "x"], "no daemon"), (["faulty"], "no log is here"), (["check"], "no log is here")):
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, *words, "--root", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        assert message in done.stderr


def test_daemon_that_is_down_is_unknown_to_nagios_and_no_clean_bill(tmp_path: Path) -> None:
    with daemon(tmp_path, "--source", str(FIXTURE)) as running:
        running.until(lambda: "list.suspect" in running.classes(), "a diagnosis")
        uuid = case(running)
        pcifma(running, "acquit", uuid)
        running.until(lambda: "list.repaired" in running.classes(), "its end")
        running.stop()
    assert nagios(running, "--nagios")[0] == 3
    done = pcifma(running, "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No faults are known, and nothing is watched" in pcifma(running, "faulty").stdout


def test_slots_of_the_site_are_taken_and_their_mistakes_stop_the_daemon(tmp_path: Path) -> None:
    slots = tmp_path / "etc/pcifma/slots.yaml"
    slots.parent.mkdir(parents=True)
    slots.write_text('slots: [{product: "*", ports: {"0000:02:00.0": "Riser 1, slot 7"}}]')
    slots.chmod(0o644)
    with daemon(tmp_path, "--source", str(FIXTURE)) as running:
        running.until(lambda: "list.suspect" in running.classes(), "a diagnosis")
        assert "Riser 1, slot 7 (slots.yaml and Slot Capabilities agree)" in pcifma(running, "faulty").stdout
        assert pcifma(running, "repaired", "Riser 1, slot 7").returncode == 0
    slots.write_text("slots: [{product: x}, 7]")
    with daemon(tmp_path, "--source", str(FIXTURE), wait=False) as running:
        assert running.process.wait(30) == 2
        assert "$.slots[0].ports" in running.said
        assert "$.slots[1]" in running.said
