"""pcifma-collect under every shell at hand makes what `pcifma record` makes of the same machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.host_tree import DEVICES, END, PORT, files, plant

import pcifma
from pcifma.access.open import open_live, open_source
from pcifma.access.playback import open_fixture
from pcifma.access.recording import take, write
from pcifma.access.redact import redact

SCRIPT = Path(pcifma.__file__).parent / "collect/pcifma-collect"
SHELLS = {
    name: command
    for name, command in {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"], "sh": ["sh", "-u", "-e"]}.items()
    if shutil.which(command[0])
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path / "machine")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return SHELLS[request.param]


def collect(shell: list[str], *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*shell, str(SCRIPT), *map(str, words)], capture_output=True, check=False, cwd=cwd, timeout=60)


def unpacked(tar: Path, where: Path) -> Path:
    with tarfile.open(tar) as archive:
        archive.extractall(where, filter="fully_trusted")
    return next(where.iterdir())


@pytest.mark.parametrize("redacted", [False, True])
def test_collect_makes_the_very_tree_that_record_makes(shell: list[str], root: Path, tmp_path: Path, redacted: bool) -> None:
    recording = take(open_live(root))
    write(redact(recording) if redacted else recording, tmp_path / "recorded")

    done = collect(shell, *(["--redact"] if redacted else []), "--root", root, tmp_path / "a.tar.gz")

    assert (done.returncode, done.stdout) == (0, b"")
    collected, recorded = files(unpacked(tmp_path / "a.tar.gz", tmp_path / "x")), files(tmp_path / "recorded")
    assert collected.keys() == recorded.keys()
    assert collected == recorded


def test_collect_is_a_source(shell: list[str], root: Path, tmp_path: Path) -> None:
    collect(shell, f"--root={root}/", tmp_path / "a.tar.gz")

    machine = open_source(str(tmp_path / "a.tar.gz"))

    assert (machine.kind, machine.name, list(machine.configs), machine.complaints) == ("fixture", "node7", [PORT, END], ())
    assert machine.configs[END].size == 4096
    assert machine.host.why("/sys/firmware/acpi/tables/BERT") == "absent"


def test_collect_leaves_what_sleeps_alone(shell: list[str], root: Path, tmp_path: Path) -> None:
    (root / DEVICES / str(PORT) / "power/runtime_status").write_text("suspended\n")
    for bdf in (PORT, END):
        (root / DEVICES / str(bdf) / "config").unlink()

    collect(shell, "--root", root, tmp_path / "a.tar.gz")

    fixture = open_fixture(tmp_path / "a.tar.gz")
    assert (dict(fixture.configs), fixture.unread) == ({}, {PORT: "asleep", END: "asleep"})


def test_collect_without_privilege_has_64_bytes(shell: list[str], root: Path, tmp_path: Path) -> None:
    config = root / DEVICES / str(END) / "config"
    config.write_bytes(config.read_bytes()[:64])

    collect(shell, "--root", root, tmp_path / "a.tar.gz")

    assert open_source(str(tmp_path / "a.tar.gz")).configs[END].size == 64


def test_collect_of_a_host_without_pci_says_so_and_goes_on(shell: list[str], tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()

    done = collect(shell, "--root", tmp_path / "bare", tmp_path / "a.tar.gz")

    assert done.returncode == 0
    assert b"this host has no PCI" in done.stderr
    assert dict(open_source(str(tmp_path / "a.tar.gz")).configs) == {}


def test_collect_writes_to_standard_output(shell: list[str], root: Path, tmp_path: Path) -> None:
    done = collect(shell, "--root", root, "-")
    (tmp_path / "a").write_bytes(done.stdout)

    assert open_source(str(tmp_path / "a")).name == "node7"


def test_collect_calls_its_tar_after_the_host_and_keeps_what_is_there(shell: list[str], root: Path, tmp_path: Path) -> None:
    first = collect(shell, "--root", root, cwd=tmp_path)
    second = collect(shell, "--root", root, cwd=tmp_path)

    assert first.returncode == 0
    assert second.returncode == 2
    assert b"pcifma-node7.tar.gz: there already: give another name" in second.stderr


@pytest.mark.parametrize(("words", "message"), [(["--wrong"], b"--wrong: no such option"), (["--root"], b"--root: which directory?")])
def test_collect_refuses_what_it_does_not_know(shell: list[str], words: list[str], message: bytes) -> None:
    done = collect(shell, *words)

    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr


def test_collect_explains_itself(shell: list[str]) -> None:
    done = collect(shell, "--help")

    assert done.returncode == 0
    assert done.stdout.startswith(b"pcifma-collect: everything pcifma needs")
    assert b"Sleeping Functions are not woken." in done.stdout


def test_collect_cleans_up_after_itself(shell: list[str], root: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    subprocess.run(
        [*shell, str(SCRIPT), "--root", str(root), str(tmp_path / "a")], env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary)}, check=True
    )

    assert list(temporary.iterdir()) == []


def test_collect_is_installed_as_a_command() -> None:
    installed = Path(sys.executable).parent / "pcifma-collect"

    done = subprocess.run([installed, "--help"], capture_output=True, check=False)

    assert done.stdout.startswith(b"pcifma-collect: everything pcifma needs")


def test_the_documented_command_gives_the_tar_on_standard_output(root: Path) -> None:
    install = (Path(__file__).parents[2] / "docs/install.md").read_text()
    (words,) = re.findall(r"\./pcifma-collect( .*?) ?>xcp-04\.tar\.gz", install)
    done = collect(next(iter(SHELLS.values())), *words.split(), "--root", root)
    assert (done.returncode, done.stdout[:2]) == (0, b"\x1f\x8b")
