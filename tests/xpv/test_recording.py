"""Recordings are read whole, written without stale words, and refused with file and line."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trace import (
    DATA,
    POINTER,
    STALE,
    domctl,
    enter,
    leave,
    memory_op,
    moments,
    replayed,
    reservation,
    shared_recording,
    shared_recordings,
    started,
)

from pcifma.errors import FormatError, PcifmaError, SourceError
from pcifma.xpv.call import Call, Return
from pcifma.xpv.decode import Decoder
from pcifma.xpv.line import Lost, Record
from pcifma.xpv.recording import Writer, header, opened, trailer

SAMPLE = DATA / "direct-memory-op.trace"


def written(records: list[Record]) -> str:
    file = io.BytesIO()
    writer = Writer(file)
    for record in records:
        writer.write(record)
    return header("mono", "kernel", "6.1.0") + file.getvalue().decode() + trailer(writer.events, 0)


def sites(path: str) -> list[tuple[str, str | None]]:
    return [m.site for m in replayed(path) if isinstance(m, Call)]


def test_sample_reads_to_the_end() -> None:
    calls = sites(str(SAMPLE))
    assert calls == [
        ("memory_op", "populate_physmap"),
        ("ioctl", "mmap"),
        ("memory_op", "populate_physmap"),
        ("xen_version", "version"),
        ("multicall", None),
    ]


def test_gzipped_recording_reads_the_same(tmp_path: Path) -> None:
    packed = tmp_path / "sample.trace.gz"
    packed.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    assert sites(str(packed)) == sites(str(SAMPLE))


def test_missing_file_is_named() -> None:
    with pytest.raises(SourceError, match=r"no/such\.trace"), opened("no/such.trace"):
        pass


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"pcifma trace run -o"), opened(str(tmp_path)):
        pass


def test_damage_is_named_with_file_and_line(tmp_path: Path) -> None:
    lines = SAMPLE.read_text().splitlines(keepends=True)
    bad = tmp_path / "bad.trace"
    bad.write_text("".join([*lines[:7], "garbage\n", *lines[7:]]))
    with opened(str(bad)) as recording:
        records = recording.records()
        next(records)
        with pytest.raises(FormatError, match=r"bad\.trace:8: is no line of a trace"):
            list(records)


def test_endless_line_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "long.trace"
    bad.write_bytes(b"x" * 200_000)
    with opened(str(bad)) as recording, pytest.raises(FormatError, match=r"long\.trace:1: is longer than"):
        list(recording.records())


def test_cut_gzip_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "cut.trace.gz"
    bad.write_bytes(gzip.compress(SAMPLE.read_bytes())[:-20])
    with opened(str(bad)) as recording, pytest.raises(FormatError, match=r"cut\.trace\.gz:\d+: cannot be read on"):
        list(recording.records())


def test_own_recording_without_trailer_is_incomplete(tmp_path: Path) -> None:
    own = tmp_path / "own.trace"
    text = written([domctl(3, 7), leave()])
    own.write_text(text)
    with opened(str(own)) as recording:
        assert len(list(recording.records())) == 2
        assert recording.incomplete == ""
    own.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with opened(str(own)) as recording:
        list(recording.records())
        assert "without its trailer" in recording.incomplete


def test_overwritten_events_count_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "over.trace"
    path.write_text("# entries-in-buffer/entries-written: 10/25   #P:1\n")
    with opened(str(path)) as recording:
        assert list(recording.records()) == [Lost(-1, 15)]


def test_writer_keeps_what_the_calls_say(tmp_path: Path) -> None:
    records: list[Record] = [
        memory_op(6, *reservation(7, 64, 9)),
        leave(op=13, again=(12, 60, 6, 0)),
        Lost(0, 4),
        domctl(1, 0xFFFF),
        leave(op=36, again=(1, 5)),
    ]
    path = tmp_path / "own.trace"
    path.write_text(written(records))
    again = [m for m in replayed(str(path)) if isinstance(m, Return)]
    assert [(m.call.site[1], m.result, m.created, m.latency_ns) for m in again] == [
        ("populate_physmap", 60, None, 10_000),
        ("createdomain", 0, 5, 10_000),
    ]


def test_writer_drops_stale_words() -> None:
    stale = replace(enter(36, POINTER, behind0=(STALE,)), behind1=(STALE,) * 4, nested=((STALE,),), buffer=(STALE,))
    assert f"{STALE:x}" not in written([stale, leave(op=36, again=(STALE, STALE))])


def test_writer_drops_control_characters_of_names() -> None:
    text = written([domctl(3, 7, comm="a\x1b[2J\nb"), leave()])
    assert "\x1b" not in text
    assert len(text.splitlines()) == 7


@pytest.mark.parametrize("name", shared_recordings() or ["any"])
def test_shared_recording_decodes_whole(name: str) -> None:
    path = shared_recording(name)
    with opened(path) as recording:
        decoder = Decoder(*recording.survey())
        found = moments(recording.records(), decoder)
    calls = [m for m in found if isinstance(m, Call)]
    assert len(calls) == sum(isinstance(m, Return) for m in found) > 0
    assert (decoder.unfinished, decoder.orphans, decoder.lost) == (0, 0, 0)
    unnamed = {call.site for call in calls if call.site[1] is None and call.site[0] != "dm_op"} | {
        c.site for c in calls if c.site[0] == "unknown"
    }
    assert unnamed == set()


@pytest.mark.parametrize("name", shared_recordings() or ["any"])
def test_shared_recording_survives_being_rewritten(name: str, tmp_path: Path) -> None:
    with opened(shared_recording(name)) as recording:
        layer, again = recording.survey()
        kept = [
            r for r in recording.records() if isinstance(r, Lost) or (r.layer == layer and (not hasattr(r, "again") or r.again == again))
        ]
    before = moments(kept, Decoder(layer, again))
    own = tmp_path / "own.trace"
    own.write_text(written(kept))
    after = replayed(str(own))
    told = [(m.call.site, m.call.domain, m.result, m.created, m.latency_ns) for m in before if isinstance(m, Return)]
    assert [(m.call.site, m.call.domain, m.result, m.created, m.latency_ns) for m in after if isinstance(m, Return)] == told


@pytest.mark.parametrize(
    ("name", "events"), [("pv-create-p", 84), ("hvm-create-p", 126), ("xl-list", 15), ("pv-destroy", 28), ("hvm-destroy", 30)]
)
def test_tools_make_as_many_calls_as_were_counted(name: str, events: int) -> None:
    assert len(started(shared_recording(f"traces-6.1-xen4.17/{name}.trace"))) == events


@pytest.mark.parametrize("name", ["pv-create-p", "pv-destroy", "xl-list"])
def test_two_kernels_show_the_same_calls(name: str) -> None:
    old, new = (started(shared_recording(f"traces-{kernel}-xen4.17/{name}.trace")) for kernel in ("6.1", "6.12"))
    assert old == new


def test_kernel_probes_count_where_a_trace_has_both() -> None:
    both = shared_recording("traces-6.1-xen4.17/uprobe-xl-list.trace")
    assert started(both) == started(shared_recording("traces-6.1-xen4.17/xl-list.trace"))


def test_strace_saw_as_many_ioctls() -> None:
    strace = Path(shared_recording("strace-xl-list.txt")).read_text()
    ioctls = sum("_IOC(_IOC_NONE, 0x50" in line for line in strace.splitlines())
    assert len(started(shared_recording("traces-6.12-xen4.17/xl-list.trace"))) == ioctls


@given(st.binary(max_size=400), st.integers(0, 3000), st.integers(0, 300))
def test_any_damage_is_one_line_or_nothing(data: bytes, at: int, removed: int) -> None:
    text = SAMPLE.read_bytes()
    _survives(text[:at] + data + text[at + removed :])


@given(st.binary(max_size=2000))
def test_any_bytes_are_one_line_or_nothing(data: bytes) -> None:
    _survives(data)


def _survives(data: bytes) -> None:
    from pcifma.xpv.recording import _unpacked  # noqa: PLC0415  # the reader itself, without a file for each example

    recording = _unpacked("sample", io.BytesIO(data))
    try:
        moments(recording.records(), Decoder(*recording.survey()))
    except PcifmaError as err:
        assert str(err).startswith("sample:")
        assert "\n" not in str(err)
