"""`pcifma sweep` and `replay` as commands: exit statuses, JSON lines, what a person reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from support.board import CORRECTABLE, DEVICE_STATUS, END, STATUS, UNCORRECTABLE, board
from support.image import Image, capture

FIXTURE = Path(__file__).parents[2] / "fixtures" / "malformed-tlp-nomsi"


def pcifma(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", "from pcifma.cli.main import run; run()", *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def images(**latched: int) -> tuple[Image, ...]:
    found = board()
    for name, value in latched.items():
        offset, width = {"status": (STATUS, 2), "ue": (UNCORRECTABLE, 4), "ce": (CORRECTABLE, 4), "devsta": (DEVICE_STATUS, 2)}[name]
        found[-1].put(offset, value, width)
    return found


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return tmp_path / "dump.txt"


def test_healthy_capture_exits_0_with_a_trailer_alone(dump: Path) -> None:
    dump.write_text(capture(*images()))
    done = pcifma("sweep", dump, "--json")
    assert done.returncode == 0
    assert [json.loads(line)["class"] for line in done.stdout.splitlines()] == ["sweep.summary"]


def test_latched_error_exits_1_and_is_counted(dump: Path) -> None:
    dump.write_text(capture(*images(ce=0x40)))
    done = pcifma("sweep", dump, "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [line["class"] for line in lines] == ["ereport.io.pci.fabric", "ereport.io.pciex.dl.btlp", "sweep.summary"]
    assert lines[-1] == {
        "class": "sweep.summary", "version": 1, "functions": 5, "read": 5, "unread": {}, "ereports": 1, "residue": 0, "writes": 0,
    }  # fmt: skip


def test_residue_exits_0_and_is_folded(dump: Path) -> None:
    dump.write_text(capture(*images(ue=0x100000, devsta=0x8)))
    done = pcifma("sweep", dump)
    assert done.returncode == 0
    assert "residue  Unsupported Request on 1 Function, age unknown" in done.stdout


def test_unsupported_request_beside_another_error_is_no_residue(dump: Path) -> None:
    dump.write_text(capture(*images(ue=0x140000, devsta=0xC)))
    assert pcifma("sweep", dump).returncode == 1


@pytest.mark.parametrize(("owner", "hides"), [("none", True), ("native", False), ("unknown", False)])
def test_bit_that_nobody_will_clear_is_said_to_hide_its_repeats(tmp_path: Path, owner: str, hides: bool) -> None:
    step = f'{{at: 0s, latch: {{"{END}": {{"ECAP_AER+10.l": 0x40}}}}}}'
    (tmp_path / "case.yaml").write_text(f"about: one bit\nplatform: {{owner: {owner}}}\nsteps: [{step}]\n")
    (tmp_path / "config.lspci").write_text(capture(*images()))

    said = pcifma("sweep", tmp_path).stdout

    assert ("what is set at 1 Function hides repeats, and nobody else will clear it: pcifma sweep --clear" in said) == hides


def test_64_bytes_alone_exit_3_and_name_the_remedy(dump: Path) -> None:
    dump.write_text("\n".join(image.text(64) for image in images()))
    done = pcifma("sweep", dump)
    assert done.returncode == 3
    assert "run as root" in done.stdout
    assert "no clean bill of health" in done.stdout


def test_256_bytes_of_pci_express_are_said_to_lack_aer(dump: Path) -> None:
    rows = (row for row in capture(*images()).splitlines() if ": " not in row[:5] or int(row.partition(":")[0], 16) < 256)
    dump.write_text("\n".join(rows) + "\n")
    done = pcifma("sweep", dump)
    assert done.returncode == 0
    assert "limited  " in done.stdout and "AER and what lies beyond was not read" in done.stdout
    dump.write_text(capture(*images()))
    assert "limited" not in pcifma("sweep", dump).stdout


def test_capture_on_standard_input() -> None:
    done = pcifma("sweep", "-", "--json", stdin=capture(*images(ce=1)))
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[1])["host"] == "stdin"


def test_human_report_leads_with_the_word_and_proves_itself(dump: Path) -> None:
    dump.write_text(capture(*images(ue=0x40000, devsta=0x4)))
    text = pcifma("sweep", dump).stdout
    assert f"FATAL    {END}  Slot 7" in text
    assert "Malformed TLP" in text
    assert f"setpci -s {END} ECAP_AER+4.l" in text
    assert text.splitlines()[-1] == "Written to hardware: nothing"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sweep", "/no/such/file"), "No such file"),
        (("sweep", "--plugin", "nothing", str(FIXTURE)), "no source plugin is called 'nothing': there are"),
        (("replay", "/usr"), "neither a sysfs root"),
        (("sweep", "--no-such-option"), "No such option"),
    ],
)
def test_trouble_is_one_plain_line_and_exit_2(words: tuple[str, ...], message: str) -> None:
    done = pcifma(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_capture_speaks_of_the_time_it_was_written(dump: Path) -> None:
    dump.write_text(capture(*images(ce=1)))
    os.utime(dump, (1_700_000_000, 1_700_000_000))
    assert json.loads(pcifma("sweep", dump, "--json").stdout.splitlines()[1])["time"] == "2023-11-14T22:13:20.000000000Z"


def test_real_output_follows_the_schema(dump: Path) -> None:
    schema = json.loads((files("pcifma.event") / "schema.json").read_text())
    dump.write_text(capture(*images(ce=1, ue=0x140000, devsta=0xF, status=0xF910)))
    lines = pcifma("sweep", dump, "--json").stdout.splitlines()
    assert len(lines) > 8
    for line in lines:
        jsonschema.validate(json.loads(line), schema)


def test_failed_plugin_is_said_and_the_sweep_is_incomplete(dump: Path, tmp_path: Path) -> None:
    path = tmp_path / "plugins" / "broken"
    path.mkdir(parents=True)
    (path / "plugin.yaml").write_text("name: broken\nversion: '1'\napi: 1\nkind: source\n")
    (path / "plugin.py").write_text("def watches(fabric, host):\n    raise SystemExit(0)\n\n\ndef normalise(now, before):\n    return []\n")
    dump.write_text(capture(*images()))
    code = (
        "from pcifma.plugin import loader; from pathlib import Path; builtin = loader.builtin;"
        f"loader.builtin = lambda names=(): [*builtin(names), loader.load(Path({str(path)!r}), 'directory')];"
        f"import sys; sys.argv = ['pcifma', 'sweep', {str(dump)!r}]; from pcifma.cli.main import run; run()"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "plugin broken was set aside: SystemExit: 0" in done.stderr


def test_machine_without_pci_is_healthy(tmp_path: Path) -> None:
    (tmp_path / "bus/pci/devices").mkdir(parents=True)
    done = pcifma("sweep", tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0].split("  ")[2]) == (0, "0 Functions: 0 read")


def test_host_seen_from_a_container_is_swept(tmp_path: Path) -> None:
    for image in images(ce=0x40):
        directory = tmp_path / "sys/bus/pci/devices" / image.bdf
        directory.mkdir(parents=True)
        (directory / "config").write_bytes(image.data)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/hostname").write_text("outside\n")
    done = pcifma("sweep", "--json", "--host-root", tmp_path)
    line = json.loads(done.stdout.splitlines()[1])
    assert (done.returncode, line["class"], line["host"]) == (1, "ereport.io.pciex.dl.btlp", "outside")


def test_deaf_functions_of_another_host_are_explained_by_the_same_source() -> None:
    assert "4 Functions have nobody to tell: pcifma coverage SOURCE\n" in pcifma("sweep", FIXTURE).stdout


def test_replay_prints_events_and_ends_with_a_trailer() -> None:
    done = pcifma("replay", "--json", FIXTURE)
    classes = [json.loads(line)["class"] for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert classes == ["ereport.io.pci.fabric", "ereport.io.pciex.tl.mtlp", "list.suspect", "sweep.summary"]


def test_hostile_name_reaches_no_terminal(tmp_path: Path) -> None:
    evil = tmp_path / "a\x1b[2Jb"
    evil.write_text(capture(*images()))
    assert "\x1b" not in pcifma("sweep", evil).stdout


def test_help_names_every_verb_without_importing_them() -> None:
    done = pcifma("--help")
    assert "sweep" in done.stdout
    probe = "import sys; from pcifma.cli import main; sys.argv=['pcifma','--help']\ntry: main.run()\nexcept SystemExit: pass\n"
    heavy = "print([m for m in ('yaml','msgspec','pyudev','rich') if m in sys.modules])"
    listed = subprocess.run([sys.executable, "-I", "-c", probe + heavy], capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines()[-1] == "[]"


def test_host_bridge_is_named_by_its_own_registers(dump: Path) -> None:
    ras = Image("0000:00:14.2", "System peripheral").header(0x8086, 0x3423, 0x080000)
    dump.write_text(capture(ras.put(0x1C0, 0x100, 4)))
    assert "residue  Host bridge's own record on 1 Function, age unknown" in pcifma("sweep", dump).stdout
    dump.write_text(capture(ras.put(0x1C0, 0x800000, 4)))
    done = pcifma("sweep", dump)
    assert done.returncode == 1
    assert "I/O Hub core error  io.hb.iio.core  GNERRST bit 23" in done.stdout
    assert "setpci -s 0000:00:14.2 1c0.l" in done.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["sweep", "a", "b"], "unexpected extra argument (b): see pcifma sweep --help"),
        (["sweep", "--loud"], "No such option '--loud': see pcifma sweep --help"),
        (["sweeep"], "No such command 'sweeep'"),
    ],
)
def test_wrong_usage_is_one_line(words: list[str], complaint: str) -> None:
    done = pcifma(*words)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
