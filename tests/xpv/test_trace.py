"""`pcifma trace list` and `replay`, as an operator sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.trace import DATA, shared_recording

from pcifma.cli.main import run
from pcifma.xpv.output import printable

SAMPLE = str(DATA / "direct-memory-op.trace")


# Runs `pcifma trace` with these words: exit status, lines of standard output, standard error.
Pcifma = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def pcifma(capsys: pytest.CaptureFixture[str]) -> Pcifma:
    def call(*args: str) -> tuple[int, list[str], str]:
        with pytest.raises(SystemExit) as exit_:
            run(["trace", *args])
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out.splitlines(), err

    return call


def test_list_has_the_columns_of_dtrace(pcifma: Pcifma) -> None:
    status, lines, _ = pcifma("list", "--original", "xpv:::dom-create-*")
    assert status == 0
    assert lines == [
        "   ID   PROVIDER            MODULE                          FUNCTION NAME",
        "    3        xpv           privcmd         privcmd_HYPERVISOR_domctl dom-create-start",
        "    4        xpv           privcmd         privcmd_HYPERVISOR_domctl dom-create-end",
    ]


def test_list_marks_extensions(pcifma: Pcifma) -> None:
    _, lines, _ = pcifma("list", "physinfo-start")
    assert lines[1].split()[1:] == ["xpv", "privcmd", "privcmd_HYPERVISOR_sysctl", "physinfo-start", "[extension]"]


def test_list_verbose_has_types_and_stability(pcifma: Pcifma) -> None:
    _, lines, _ = pcifma("list", "-v", "populate-physmap-start")
    assert "\t\tProvider:  Evolving/Evolving/Platform" in lines
    assert "\t\targs[1]: ulong_t nr_extents" in lines
    assert "\t\targs[3]: uint_t extent_order (added here)" in lines


def test_list_json_ends_with_a_trailer(pcifma: Pcifma) -> None:
    _, lines, _ = pcifma("list", "--json", "dom-pause-start")
    probe, trailer = map(json.loads, lines)
    assert (probe["probe"], probe["arguments"]) == (
        "xpv:privcmd:privcmd_HYPERVISOR_domctl:dom-pause-start",
        [{"name": "domain", "type": "domid_t", "added": False}],
    )
    assert trailer == {"class": "trace.summary", "version": 1, "probes": 1}


def test_list_of_nothing_says_so(pcifma: Pcifma) -> None:
    status, lines, err = pcifma("list", "nosuch")
    assert (status, lines) == (2, [])
    assert err == "pcifma: 'nosuch' matches no probe: `pcifma trace list` has them all\n"


def test_replay_streams_as_dtrace(pcifma: Pcifma) -> None:
    status, lines, _ = pcifma("replay", SAMPLE, "-n", "populate-physmap-*")
    assert status == 3  # the sample says that events were lost
    assert lines[:3] == [
        "CPU     ID                    FUNCTION:NAME",
        "  0     17 privcmd_HYPERVISOR_memory_op:populate-physmap-start",
        "  0     18 privcmd_HYPERVISOR_memory_op:populate-physmap-end",
    ]


def test_replay_shows_arguments(pcifma: Pcifma) -> None:
    _, lines, _ = pcifma("replay", SAMPLE, "--args", "-n", "mmap-*")
    assert [line.partition("do_privcmd_mmap:")[2] for line in lines[1:]] == [
        "mmap-start xl[101] domid=7 num=2 entry=0x7ffc00001000",
        "mmap-entry xl[101] va=0x7f0000003000 mfn=0x1234 npages=1",
        "mmap-entry xl[101] va=0x7f0000004000 mfn=0x1235 npages=2",
        "mmap-end xl[101] error=-22 (EINVAL) 100us",
    ]


def test_replay_indents_by_thread(pcifma: Pcifma) -> None:
    _, lines, _ = pcifma("replay", SAMPLE, "-F", "-n", "mmap-*")
    assert lines == [
        "CPU FUNCTION",
        "  1 -> do_privcmd_mmap:mmap-start",
        "  1    | do_privcmd_mmap:mmap-entry",
        "  1    | do_privcmd_mmap:mmap-entry",
        "  1 <- do_privcmd_mmap:mmap-end",
    ]


def test_replay_json_has_arguments_and_a_trailer(pcifma: Pcifma) -> None:
    _, lines, _ = pcifma("replay", SAMPLE, "--json")
    rows = [json.loads(line) for line in lines]
    assert rows[0]["args"] == {"domid": 7, "nr_extents": 4, "extents": "00007f0000002000", "extent_order": 9}
    assert (rows[1]["class"], rows[1]["result"], rows[1]["latency_ns"]) == ("xpv.end", 4, 250_000)
    assert {"class": "xpv.lost", "version": 1, "cpu": 1, "count": 3} in rows
    assert rows[-1] == {
        "class": "trace.summary",
        "version": 1,
        "events": 12,
        "calls": 5,
        "failed": 1,
        "hidden": 0,
        "lost": 3,
        "unfinished": 0,
        "orphans": 0,
        "foreign": 1,
        "incomplete": None,
    }


def test_replay_errors_shows_only_failures(pcifma: Pcifma) -> None:
    _, lines, _ = pcifma("replay", SAMPLE, "--errors")
    assert len(lines) == 2
    assert lines[1].endswith("mmap-end xl[101] error=-22 (EINVAL) 100us")


@pytest.mark.parametrize(
    ("option", "expected"), [("--count", "populate-physmap-start"), ("--latency", "Distribution"), ("--memory", "DOMAIN")]
)
def test_replay_sums_take_the_place_of_the_stream(pcifma: Pcifma, option: str, expected: str) -> None:
    _, lines, _ = pcifma("replay", SAMPLE, option)
    assert "FUNCTION:NAME" not in lines[0]
    assert any(expected in line for line in lines)


def test_replay_reports_lost_events(pcifma: Pcifma) -> None:
    _, _, err = pcifma("replay", SAMPLE)
    assert "pcifma: events lost on CPU 1: the kernel's buffer was full" in err
    assert "pcifma: 3 events lost in all" in err


def test_replay_shows_what_comes_before_the_damage(pcifma: Pcifma, tmp_path: Path) -> None:
    bad = tmp_path / "bad.trace"
    bad.write_text("".join(Path(SAMPLE).read_text().splitlines(keepends=True)[:8]) + "garbage\n")
    status, lines, err = pcifma("replay", str(bad))
    assert (status, len(lines)) == (2, 3)
    assert err.startswith(f"pcifma: {bad}:9: is no line of a trace")
    assert len(err.splitlines()) == 1


def test_replay_copies_without_stale_words(pcifma: Pcifma, tmp_path: Path) -> None:
    clean = str(tmp_path / "clean.trace")
    _, lines, _ = pcifma("replay", SAMPLE, "-q", "-o", clean)
    assert lines == []
    assert "ffff888000000000" in Path(SAMPLE).read_text()
    assert "ffff888000000000" not in Path(clean).read_text()
    _, first, _ = pcifma("replay", SAMPLE, "--args")
    _, again, _ = pcifma("replay", clean, "--args")
    assert again == first


def test_replay_does_not_copy_onto_itself(pcifma: Pcifma, tmp_path: Path) -> None:
    own = tmp_path / "own.trace"
    own.write_bytes(Path(SAMPLE).read_bytes())
    status, _, err = pcifma("replay", str(own), "-o", str(own))
    assert (status, own.read_bytes()) == (2, Path(SAMPLE).read_bytes())
    assert "is the recording itself" in err


def test_replay_refuses_a_bad_probe_before_reading(pcifma: Pcifma) -> None:
    status, _, err = pcifma("replay", "no-such-file", "-n", "nosuch")
    assert status == 2
    assert "matches no probe" in err


def test_replay_hides_daemons_unless_asked(pcifma: Pcifma) -> None:
    path = shared_recording("traces-6.12-xen4.17/pv-create-p.trace")
    _, shown, err = pcifma("replay", path)
    _, everything, _ = pcifma("replay", path, "--all")
    assert (len(shown), len(everything)) == (1 + 2 * 84, 1 + 2 * 96)
    assert "12 calls of background daemons hidden" in err


def test_originals_fire_in_the_order_of_the_post(pcifma: Pcifma) -> None:
    _, lines, _ = pcifma("replay", shared_recording("traces-6.12-xen4.17/pv-create-p.trace"), "--json")
    rows = [json.loads(line) for line in lines]
    names = [row["name"] for row in rows if row.get("origin") == "original" and row["name"].endswith("-start")]
    assert names[:7] == [
        "dom-create-start",
        "evtchn-op-start",
        "evtchn-op-start",
        "set-memory-map-start",
        "populate-physmap-start",
        "mmapbatch-start",
        "mmapbatch-start",
    ]
    assert names[-1] == "setvcpucontext-start"


def test_printable_lets_no_control_character_through() -> None:
    assert printable("a\x1b[2J\x00é") == "a?[2J??"
