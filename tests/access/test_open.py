from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

import pytest
from support.image import Image

from pcifma.access.open import open_live, open_source
from pcifma.access.playback import open_fixture
from pcifma.errors import FormatError, SourceError
from pcifma.regs.bdf import Bdf

PORT = Bdf.parse("0000:00:1c.0")


def text() -> str:
    return Image(str(PORT), "PCI bridge: Root Port").header(0x8086, 0x3420, 0x060400).text(256)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    folder = tmp_path / "sleepy"
    (folder / "host/proc").mkdir(parents=True)
    (folder / "host/proc/cmdline").write_text("quiet")
    (folder / "host/proc/again").symlink_to("/proc/cmdline")
    (folder / "case.yaml").write_text("about: x\nsteps: [{at: 1s}]\n")
    (folder / "config.lspci").write_text(text())
    (folder / "expect.json").write_text("{}")
    return folder


def tarred(folder: Path, name: str, *, mode: str = "w", below: str | None = None) -> Path:
    made = folder.parent / name
    with tarfile.open(made, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, arcname=folder.name if below is None else below)
    return made


def test_open_capture_is_called_after_its_file_and_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "dump.txt").write_text(text())

    machine = open_source(str(tmp_path / "dump.txt"))

    assert (machine.kind, machine.name) == ("capture", "dump.txt")
    assert uuid.UUID(machine.boot).version == 5
    assert machine.boot != open_source(str(_written(tmp_path / "other.txt", text() + " "))).boot
    assert list(machine.configs) == [PORT]
    assert machine.host.why("/proc/cmdline") == "not recorded"


def _written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_open_capture_sorts_functions_and_passes_complaints_on(tmp_path: Path) -> None:
    other = Image("0000:00:02.0", "VGA compatible controller: X").header(0x8086, 1, 0x030000).text(64)
    machine = open_source(str(_written(tmp_path / "a", text() + other + "00:03.0 Audio device: Y\n")))

    assert list(machine.configs) == [Bdf(0, 0, 2, 0), PORT]
    assert machine.unread == {Bdf(0, 0, 3, 0): "short"}
    assert [complaint.removeprefix(f"{tmp_path}/a:") for complaint in machine.complaints] == [
        "23: 0000:00:03.0 has no bytes: give the text of `lspci -xxxx`, run as root"
    ]


def test_open_capture_with_a_host_root_has_that_hosts_facts(tmp_path: Path, case: Path) -> None:
    machine = open_source(str(case / "config.lspci"), host_root=case / "host")

    assert machine.host.read("/proc/cmdline") == b"quiet"


def test_open_standard_input_is_a_capture_called_stdin() -> None:
    script = "from pcifma.access.open import open_source; m = open_source('-'); print(m.kind, m.name, *m.configs)"

    done = subprocess.run([sys.executable, "-c", script], input=text(), capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["capture", "stdin", str(PORT)]


def test_open_compressed_capture(tmp_path: Path) -> None:
    (tmp_path / "dump.txt.gz").write_bytes(gzip.compress(text().encode()))

    assert open_source(str(tmp_path / "dump.txt.gz")).kind == "capture"


def test_open_sysfs_root_reads_its_own_facts(tmp_path: Path) -> None:
    device = tmp_path / "tree/bus/pci/devices" / str(PORT)
    device.mkdir(parents=True)
    (device / "config").write_bytes(bytes(64))
    (device / "power_state").write_text("D0\n")

    machine = open_source(str(tmp_path / "tree"))

    assert (machine.kind, machine.name) == ("sysfs", "tree")
    assert list(machine.configs) == [PORT]
    assert machine.host.read(f"/sys/bus/pci/devices/{PORT}/power_state") == b"D0\n"


def test_open_host_root_is_the_machine_seen_there(tmp_path: Path) -> None:
    kernel = tmp_path / "proc/sys/kernel"
    (kernel / "random").mkdir(parents=True)
    (kernel / "hostname").write_text("node7\n")
    (kernel / "random/boot_id").write_text("8a8d4b9c-0000-4000-8000-000000000001\n")

    machine = open_live(tmp_path)

    assert (machine.kind, machine.name, machine.boot) == ("live", "node7", "8a8d4b9c-0000-4000-8000-000000000001")
    assert dict(machine.configs) == {}


@pytest.mark.parametrize(("name", "mode", "below"), [("a.tar", "w", None), ("a.tgz", "w:gz", None), ("sleepy.tar.gz", "w:gz", ".")])
def test_open_tar_of_a_fixture_is_that_fixture(case: Path, name: str, mode: str, below: str | None) -> None:
    packed, plain = open_source(str(tarred(case, name, mode=mode, below=below))), open_source(str(case))

    assert (packed.kind, packed.name, packed.boot) == ("fixture", "sleepy", plain.boot)
    assert list(packed.configs) == list(plain.configs)
    for machine in (packed, plain):
        assert machine.host.read("/proc/cmdline") == b"quiet"
        assert machine.host.read("/proc/again") == b"quiet"
        assert machine.host.entries("/proc") == ("again", "cmdline")


def test_open_fixture_gives_what_is_expected_of_it(case: Path) -> None:
    assert open_fixture(case).expect == b"{}"
    assert open_fixture(tarred(case, "a.tgz", mode="w:gz")).expect == b"{}"


def test_open_tar_mistake_names_the_file_in_the_tar(case: Path) -> None:
    (case / "case.yaml").write_text("about: x\nsteps: 3\n")
    made = tarred(case, "a.tar")

    with pytest.raises(FormatError, match=r"a\.tar:sleepy/case\.yaml: \$\.steps: 3 is no list"):
        open_source(str(made))


def test_open_tar_without_a_case_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()

    with pytest.raises(SourceError, match=r"there is no case\.yaml in this tar: give nothing, -, "):
        open_source(str(tarred(tmp_path / "x", "a.tar")))


def test_open_what_is_not_there_is_refused_with_every_form(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing: No such file or directory: give nothing, -, a sysfs root, a file of"):
        open_source(str(tmp_path / "nothing"))


def test_open_directory_that_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"neither a sysfs root \(no bus/pci/devices in it\) nor a fixture \(no case\.yaml\)"):
        open_source(str(tmp_path))


def test_open_file_that_is_no_capture_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    out.write(bytes(range(256)) * 8)
    (tmp_path / "noise").write_bytes(out.getvalue())

    with pytest.raises(FormatError, match=r"noise:1: no device with bytes in it"):
        open_source(str(tmp_path / "noise"))
