from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.image import Image

from pcifma.access.open import open_source
from pcifma.cli.record import command
from pcifma.regs.bdf import Bdf

PORT = Bdf.parse("0000:00:1c.0")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    device = tmp_path / "machine/sys/bus/pci/devices" / str(PORT)
    device.mkdir(parents=True)
    (device / "config").write_bytes(bytes(Image("", "").header(0x8086, 0x3420, 0x060400).data[:256]))
    (tmp_path / "machine/proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "machine/proc/sys/kernel/hostname").write_text("node7\n")
    return tmp_path / "machine"


def test_record_makes_a_source_and_says_what_is_in_it(root: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(tmp_path / "made"), "--host-root", str(root)], catch_exceptions=False)

    assert done.exit_code == 0
    assert done.output.splitlines() == [
        f"{tmp_path}/made: 256 bytes of 1 Functions, 1 host facts, 0 steps",
        "Written to hardware: nothing",
    ]
    machine = open_source(str(tmp_path / "made"))
    assert (machine.name, list(machine.configs)) == ("node7", [PORT])


def test_record_redact_leaves_the_host_name_out(root: Path, tmp_path: Path) -> None:
    CliRunner().invoke(command, [str(tmp_path / "made"), "--redact", "--host-root", str(root)], catch_exceptions=False)

    assert open_source(str(tmp_path / "made")).name == "redacted"


def test_record_warns_that_it_reads_everything() -> None:
    help_text = CliRunner().invoke(command, ["--help"]).output

    assert "Reads every byte of configuration space" in help_text
    assert "Sleeping Functions are not woken" in help_text
