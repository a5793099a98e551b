from __future__ import annotations

from pathlib import Path
from shutil import rmtree

import pytest
from support.host_tree import DEVICES, END, PORT, files, images, plant
from support.image import capture

from pcifma.access.fixture import Fixture
from pcifma.access.open import open_live, open_source
from pcifma.access.playback import open_fixture
from pcifma.access.recording import power_state, take, whole, write
from pcifma.access.seam import Machine
from pcifma.cli.record import record, report
from pcifma.errors import UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path / "machine")


def recorded(machine: Machine, where: Path, seconds: int = 0) -> Fixture:
    write(record(machine, seconds), where)
    return open_fixture(where)


def test_recording_has_every_byte_and_the_facts(root: Path, tmp_path: Path) -> None:
    fixture = recorded(open_live(root), tmp_path / "made")

    assert list(fixture.configs) == [PORT, END]
    for bdf, image in zip((PORT, END), images(), strict=True):
        assert fixture.configs[bdf].read(0, 4096) == bytes(image.data)
    assert (fixture.name, fixture.boot) == ("node7", "8a8d4b9c-0000-4000-8000-000000000001")
    assert fixture.host.read(f"/{DEVICES}/{END}/power_state") == b"D0\n"
    assert fixture.host.read(f"/sys/devices/pci0000:00/{PORT}/{END}/vendor") == b"0x8086\n"
    assert fixture.host.link(f"/{DEVICES}/{END}/driver") == "../../../bus/pci/drivers/pcieport"
    assert fixture.host.read("/proc/cpuinfo") == b"processor: 0\nflags: hypervisor\n"


def test_recording_of_a_recording_is_the_same_tree(root: Path, tmp_path: Path) -> None:
    first = recorded(open_live(root), tmp_path / "first")

    recorded(first, tmp_path / "second")

    assert files(tmp_path / "second") == files(tmp_path / "first")
    assert len(files(tmp_path / "first")) > 10


def test_recording_knows_why_facts_are_missing(root: Path, tmp_path: Path) -> None:
    rmtree(root / "sys/bus/pci/slots/3")
    fixture = recorded(open_live(root), tmp_path / "made")

    assert fixture.host.why("/sys/firmware/acpi/tables/BERT") == "absent"
    assert fixture.host.why(f"/{DEVICES}/{END}/aer_dev_nonfatal") == "absent"
    assert fixture.host.why("/sys/bus/pci/slots") == "a directory"
    assert fixture.host.why("/proc/device-tree") == "absent"
    assert fixture.host.why("/etc/passwd") == "not recorded"


def test_recording_steps_of_a_fixture_are_that_fixtures(tmp_path: Path) -> None:
    steps = """\
  - {at: 0s}
  - {at: 1s, store: {"0000:01:00.0": {"ECAP_AER+18.l": 0x00000012}}, latch: {"0000:01:00.0": {"ECAP_AER+4.l": 0x00040000}}}
  - {at: 2s, remove: ["0000:01:00.0"]}
  - {at: 3s, add: ["0000:01:00.0"]}
  - {at: 4s, sleep: {"0000:01:00.0": D3cold}}
  - {at: 5s, wake: ["0000:01:00.0"], store: {"0000:00:1c.0": {"CAP_EXP+a.w": 0x0001}}}
  - {at: 6s, store: {"0000:00:1c.0": {"CAP_EXP+a.w": 0x0000}}, irq: {"24": 2}}
  - {at: 7s, answer: {"0000:01:00.0": ones}}
  - {at: 8s, answer: {"0000:01:00.0": ok}, fact: {"/sys/bus/pci/devices/0000:01:00.0/aer_dev_fatal": "DLP 0\\nTOTAL_ERR_FATAL 1\\n"}}
"""
    (tmp_path / "played/host/proc").mkdir(parents=True)
    (tmp_path / "played/host/proc/interrupts").write_text("      CPU0\n 24:  1  PCI-MSI  aerdrv\n")
    (tmp_path / "played/case.yaml").write_text(f"about: x\nsteps:\n{steps}")
    (tmp_path / "played/config.lspci").write_text(capture(*images()))

    write(record(open_source(str(tmp_path / "played")), 9), tmp_path / "made")

    made = (tmp_path / "made/case.yaml").read_text().partition("steps:\n")[2].splitlines()
    expected = steps.splitlines()
    expected[5] = expected[5].replace("store", "latch")  # a status bit that rises is latched, however it was written
    assert made == expected


def test_recording_keeps_what_the_kernel_says_of_errors(tmp_path: Path) -> None:
    poisoned = '{"dev_name": "0000:01:00.0", "status": "4096", "severity": "0"}'
    wiped = '{"dev_name": "0000:01:00.0", "status": "0", "severity": "1"}'
    recovery = '{"ERROR_EVENT": "FAILED_RECOVERY", "PCI_SLOT_NAME": "0000:01:00.0"}'
    step = f'  - {{at: 2s, event: {{"aer_event": [{poisoned}, {wiped}], "uevent": [{recovery}]}}}}\n'
    (tmp_path / "played").mkdir()
    (tmp_path / "played/case.yaml").write_text(f"about: x\nsteps:\n  - {{at: 1s, add: []}}\n{step}")
    (tmp_path / "played/config.lspci").write_text(capture(*images()))

    write(record(open_source(str(tmp_path / "played")), 3), tmp_path / "made")

    assert step in (tmp_path / "made/case.yaml").read_text()


def test_recording_meets_a_function_that_came_later(tmp_path: Path) -> None:
    (tmp_path / "played").mkdir()
    (tmp_path / "played/case.yaml").write_text('about: x\nsteps: [{at: 2s, add: ["0000:01:00.0"]}]\n')
    (tmp_path / "played/config.lspci").write_text(capture(*images()))

    fixture = recorded(open_source(str(tmp_path / "played")), tmp_path / "made", seconds=3)

    assert list(fixture.configs) == [PORT]
    fixture.clock.advance_to_end()
    assert list(fixture.configs) == [PORT, END]
    assert fixture.configs[END].read(0, 4096) == bytes(images()[1].data)


def test_recording_leaves_a_sleeping_function_and_those_below_alone(root: Path, tmp_path: Path) -> None:
    (root / DEVICES / str(PORT) / "power/runtime_status").write_text("suspended\n")
    (root / DEVICES / str(PORT) / "power_state").write_text("D3hot\n")
    (root / DEVICES / str(END) / "config").unlink()  # whoever reads it fails

    fixture = recorded(open_live(root), tmp_path / "made", seconds=0)

    assert dict(fixture.configs) == {}
    assert fixture.unread == {PORT: "asleep", END: "asleep"}
    assert '{at: 0s, sleep: {"0000:00:1c.0": D3hot, "0000:01:00.0": D3hot}}' in (tmp_path / "made/case.yaml").read_text()


def test_recording_never_reads_the_registers_of_a_sleeping_function(tmp_path: Path) -> None:
    (tmp_path / "played").mkdir()
    (tmp_path / "played/case.yaml").write_text('about: x\nsteps: [{at: 0s, sleep: ["0000:01:00.0"]}]\n')
    (tmp_path / "played/config.lspci").write_text(capture(*images()))
    fixture = open_fixture(tmp_path / "played")

    recording = take(fixture)

    assert fixture.recorder.bytes_read(END) == set()
    assert recording.asleep == {END: "D3cold"}


def test_recording_of_64_bytes_says_what_would_help(root: Path, tmp_path: Path) -> None:
    for bdf in (PORT, END):
        config = root / DEVICES / str(bdf) / "config"
        config.write_bytes(config.read_bytes()[:64])

    lines = report(take(open_live(root)), tmp_path / "made")

    assert lines[0].startswith(f"{tmp_path}/made: 128 bytes of 2 Functions, ")
    assert "64 bytes only of 2 Functions: run it as root to have them whole" in lines


def test_recording_of_a_function_that_vanishes_meanwhile_has_no_bytes(root: Path) -> None:
    machine = open_live(root)
    (root / DEVICES / str(END) / "config").unlink()

    assert whole(machine.configs[END]) == {}


@pytest.mark.parametrize(("power", "runtime", "state"), [("D0", "active", None), ("D3hot", "active", None), ("D3cold", "active", "D3cold")])
def test_recording_reads_what_is_not_suspended(root: Path, power: str, runtime: str, state: str | None) -> None:
    (root / DEVICES / str(END) / "power_state").write_text(power)
    (root / DEVICES / str(END) / "power/runtime_status").write_text(runtime)

    assert power_state(open_live(root).host, END) == state


def test_recording_is_not_written_over_anything(root: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/mine").write_text("x")
    recording = take(open_live(root))

    with pytest.raises(UsageError, match="made: not empty: give a new directory"):
        write(recording, tmp_path / "made")
    with pytest.raises(UsageError, match="mine/x: Not a directory: give a directory that can be written"):
        write(recording, tmp_path / "made/mine/x")


def test_recording_quotes_what_firmware_and_people_wrote(root: Path, tmp_path: Path) -> None:
    (root / "proc/sys/kernel/hostname").write_text('a"b\\c: #\x1b[31m\n')

    assert recorded(open_live(root), tmp_path / "made").about == 'recorded on a"b\\c: #?[31m'
