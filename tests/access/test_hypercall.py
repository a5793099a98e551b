"""The stream of hypercalls: what is told of dom0's tools, what is not, and what it says where there is no dom0."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from support.trace import domctl, enter, leave

from pcifma.access.hypercall import LONG_NS, open_stream, told
from pcifma.errors import SourceError
from pcifma.fmd.config import Config
from pcifma.fmd.keeper.trace import remove
from pcifma.fmd.roster import heeded
from pcifma.xpv.decode import Decoder
from pcifma.xpv.line import Lost, Record
from pcifma.xpv.session import Session

PAUSE, ESRCH = 3, 3
LONG_US = LONG_NS // 1000


@dataclass
class Lines:
    """Stands for a session: what was traced."""

    records: list[Record] = field(default_factory=list)

    def read(self, pipe: int) -> Iterator[Record]:
        """All of it."""
        yield from self.records


def fields_of(*records: Record) -> list[dict[str, str]]:
    return [dict(one.fields) for one in told(Decoder("kernel"), cast(Session, Lines(list(records))), -1, 0)]


def test_failed_call_is_told_with_its_domain_and_error() -> None:
    (one,) = fields_of(domctl(PAUSE, 7), leave(-ESRCH))
    assert one["domain"] == "7"
    assert (one["hypercall"], one["operation"], one["error"], one["result"]) == ("domctl", "pausedomain", "ESRCH", "-3")


def test_call_that_goes_well_is_not_told() -> None:
    assert fields_of(domctl(PAUSE, 7), leave(0)) == []


def test_long_call_is_told_without_an_error() -> None:
    (one,) = fields_of(domctl(PAUSE, 7, time_us=0), leave(0, time_us=LONG_US))
    assert one["latency_us"] == str(LONG_US)
    assert "error" not in one


def test_calls_of_daemons_and_device_models_are_not_told() -> None:
    assert fields_of(domctl(PAUSE, 7, comm="xenstored"), leave(-ESRCH)) == []


def test_call_without_a_domain_says_none() -> None:
    (one,) = fields_of(enter(0x5555, 1), leave(-ESRCH))
    assert "domain" not in one
    assert one["operation"] == "?"


def test_lost_events_are_told_as_lost() -> None:
    assert fields_of(Lost(0, 12)) == [{"lost": "12"}]
    assert fields_of(Lost(0, 0)) == [{"lost": "1"}]


def test_times_are_boot_time() -> None:
    (one,) = told(Decoder("kernel"), cast(Session, Lines([domctl(PAUSE, 7), leave(-ESRCH, time_us=10)])), -1, 1_000_000)
    assert one.boot_ns == 1_010_000


@pytest.mark.parametrize("text", [None, "", "control_x\n"])
def test_where_there_is_no_dom0_it_is_said(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "capabilities"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SourceError, match="in a Xen dom0 only"):
        open_stream(path)


def test_tools_are_watched_only_where_the_operator_asked_for_it() -> None:
    streams = ("aer_event", "hypercall")
    assert heeded(streams, Config()) == ("aer_event",)
    assert heeded(streams, Config({"xpv.listen": True})) == streams


def test_probes_and_instance_of_a_daemon_go_with_it(tmp_path: Path) -> None:
    ours, others = tmp_path / "instances/pcifma_4711_99", tmp_path / "instances/pcifma_47110_99"
    for path in (ours, others):
        path.mkdir(parents=True)
    (tmp_path / "kprobe_events").touch()
    remove(4711, [tmp_path], pause_s=0)
    assert os.listdir(tmp_path / "instances") == [others.name]  # noqa: PTH208
    assert (tmp_path / "kprobe_events").read_text() == "-:pcifma_4711_99/enter\n-:pcifma_4711_99/exit\n"
