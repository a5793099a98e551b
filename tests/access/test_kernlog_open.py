"""A log is read whole whatever it comes in, twice if need be, and its identity is that of its bytes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pcifma.access.content import boot_of
from pcifma.access.kernlog.open import open_log
from pcifma.errors import FormatError, SourceError

TEXT = b"a 0000:01:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_packed_log_reports_the_same(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "log"
    path.write_bytes(pack(TEXT))
    with open_log(str(path)) as log:
        assert (log.name, log.boot) == ("log", boot_of(path.read_bytes()))
        assert [str(r.bdf) for r in log.reports() if hasattr(r, "bdf")] == ["0000:01:00.0"]


def test_pipe_is_kept_while_it_is_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(TEXT,))
    writer.start()
    with open_log(str(path)) as log:
        assert (log.boot, len(list(log.reports()))) == (boot_of(TEXT), 1)
    writer.join()


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_damaged_packing_names_the_file(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "log"
    whole = pack(os.urandom(4096))
    for damaged in (whole[:-20], whole[:40] + bytes(20) + whole[60:]):
        path.write_bytes(damaged)
        with open_log(str(path)) as log, pytest.raises(FormatError, match=f"^{path}: cannot be unpacked"):
            list(log.reports())


def test_file_that_cannot_be_opened_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="give a file of kernel, firmware or tool output"), open_log(str(tmp_path / "none")):
        pass


def test_lines_that_speak_of_errors_in_no_known_form_are_named(tmp_path: Path) -> None:
    log = tmp_path / "typed.log"
    log.write_text("hello\npcieport 0000:00:1c:0: PCIe Bus Error: serverity=Corrected\n\nA corrected hardware error has occurred.\n")
    with open_log(str(log)) as opened:
        assert not list(opened.reports())
        assert opened.speaks_of_errors() == (2, 4)


def test_drivers_iommus_and_nmis_speak_of_errors_too(tmp_path: Path) -> None:
    log = tmp_path / "kern.log"
    log.write_text(
        "NVRM: Xid (PCI:0000:02:00): 79, GPU has fallen off the bus.\n"
        "nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10\n"
        "nvme nvme0: 8/0/0 default/read/poll queues\n"
        "DMAR: VT-d detected Invalidation Time-out Error: SID 0\n"
        "NMI: PCI system error (SERR) for reason b1 on CPU 0.\n"
    )
    with open_log(str(log)) as opened:
        assert not list(opened.reports())
        assert opened.speaks_of_errors() == (1, 2, 4, 5)


def test_what_every_boot_says_speaks_of_no_error(tmp_path: Path) -> None:
    log = tmp_path / "dmesg"
    log.write_text(
        "acpi PNP0A08:00: _OSC: platform does not support [AER]\n"
        "pcieport 0000:00:01.0: AER: enabled with IRQ 26\n"
        "pcieport 0000:00:01.0: DPC: error containment capabilities: Int Msg #0, RPExt+ PoisonedTLP+ SwTrigger+ RP PIO Log 4\n"
        "GHES: APEI firmware first mode is enabled by APEI bit and WHEA _OSC.\n"
        "EEH: PCI Enhanced I/O Error Handling Enabled\n"
        "EDAC MC0: Giving out device to module skx_edac controller Skylake Socket#0 IMC#0: DEV 0000:64:0a.0 (INTERRUPT)\n"
        "DMAR: Intel(R) Virtualization Technology for Directed I/O\n"
        "RAS: Correctable Errors collector initialized.\n"
    )
    with open_log(str(log)) as opened:
        assert not list(opened.reports())
        assert opened.speaks_of_errors() == ()
