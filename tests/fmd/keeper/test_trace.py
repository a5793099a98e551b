"""The daemon's tracefs instance goes with it, and nobody else's does."""

from __future__ import annotations

from pathlib import Path

from pcifma.fmd.keeper.trace import remove


def test_only_the_instances_of_that_process_are_removed(tmp_path: Path) -> None:
    names = ("pcifma-aer-4711-99", "pcifma-aer-47110-99", "pcifma-aer-4711-99x", "pcifma_4711_99x", "rasdaemon")
    for name in names:
        (tmp_path / "instances" / name).mkdir(parents=True)
    remove(4711, [tmp_path], pause_s=0)
    assert sorted(path.name for path in (tmp_path / "instances").iterdir()) == sorted(names[1:])


def test_every_kind_of_instance_goes_and_so_does_the_probe(tmp_path: Path) -> None:
    for tag in ("aer", "mce", "mca"):
        (tmp_path / f"instances/pcifma-{tag}-4711-99").mkdir(parents=True)
    (tmp_path / "kprobe_events").write_text("p:other/probe f\n")
    remove(4711, [tmp_path], pause_s=0)
    assert list((tmp_path / "instances").iterdir()) == []
    assert (tmp_path / "kprobe_events").read_text() == "p:other/probe f\n-:pcifma_mca_4711_99/record\n"


def test_busy_instance_and_absent_tracefs_are_left(tmp_path: Path) -> None:
    busy = tmp_path / "instances/pcifma-aer-1-2"
    (busy / "events/ras/aer_event").mkdir(parents=True)
    remove(1, [tmp_path / "nowhere", tmp_path], pause_s=0)
    assert (busy / "events/ras/aer_event/enable").read_text() == "0"
