"""Streams of the live machine: uevents as the kernel words them, tracefs instances that leave nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pcifma.access.event_trace import EventTrace
from pcifma.access.live import LiveHost
from pcifma.access.uevent import Uevents, parse
from pcifma.errors import SourceError

FAILED = (
    b"change@/devices/pci0000:00/0000:00:02.0\0ACTION=change\0SUBSYSTEM=pci\0ERROR_EVENT=FAILED_RECOVERY\0DEVICE_ONLINE=0\0"
    b"PCI_SLOT_NAME=0000:04:00.0\0"
)


def tracefs(root: Path) -> Path:
    for name in ("events/ras/aer_event", "instances"):
        (root / name).mkdir(parents=True)
    return root


def test_uevent_of_a_function_has_its_fields() -> None:
    fields = parse(FAILED)
    assert (fields["ERROR_EVENT"], fields["PCI_SLOT_NAME"]) == ("FAILED_RECOVERY", "0000:04:00.0")


@pytest.mark.parametrize("message", [b"", b"\xff\xfe\0=", FAILED.replace(b"SUBSYSTEM=pci", b"SUBSYSTEM=net"), b"libudev\0\xfe\xed\xca\xfe"])
def test_other_messages_are_passed_over(message: bytes) -> None:
    assert parse(message) == {}


def test_uevents_of_a_quiet_machine_are_none() -> None:
    try:
        stream = Uevents()
    except SourceError as err:
        assert "netlink" in str(err)
        return
    assert [record for record in stream.records() if "ERROR_EVENT" in record.fields] == []
    stream.close()


def test_kernel_without_the_event_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    root = tracefs(tmp_path)
    with pytest.raises(SourceError, match="listening to AER needs root and a mounted tracefs"):
        EventTrace(root).open()
    assert list((root / "instances").iterdir()) == []


def test_leftover_of_a_dead_listener_is_swept_and_a_live_one_is_not(tmp_path: Path) -> None:
    root = tracefs(tmp_path)
    began = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[19]
    dead, live, other = (root / "instances" / name for name in ("pcifma-aer-1-99", f"pcifma-aer-{os.getppid()}-{began}", "rasdaemon"))
    for path in (dead, live, other):
        path.mkdir()
    with pytest.raises(SourceError):
        EventTrace(root).open()
    assert (dead.exists(), live.exists(), other.exists()) == (False, True, True)


def test_unknown_stream_has_no_records_and_close_is_harmless() -> None:
    host = LiveHost()
    assert list(host.stream("nothing")) == []
    host.close()
    host.close()
