"""Whatever a log holds, reading it ends, raises nothing, keeps memory bounded, and gives reports in order."""

from __future__ import annotations

import io
import random
from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st
from support.logdata import DATA, read
from support.mutate import spoil_log

from pcifma.access.kernlog import grammar
from pcifma.access.kernlog.evidence import shown
from pcifma.access.kernlog.reader import reports
from pcifma.access.kernlog.report import AerError, AnyReport, RegisterText
from pcifma.regs.table import Location

SAMPLES = [path.read_bytes() for path in sorted(DATA.glob("*.log"))]
LINES = [line for sample in SAMPLES for line in sample.splitlines(keepends=True)]
SEEDS = range(60)


def check(data: bytes) -> list[AnyReport]:
    found = list(reports(io.BytesIO(data)))
    last = data.count(b"\n") + 1
    assert [r.line for r in found] == sorted(r.line for r in found)
    assert all(1 <= r.line <= last for r in found)
    for report in found:
        for sight in shown(report):
            assert all(0 <= word < 1 << 8 * location.width for location, word in sight.words.items())
            assert isinstance(sight.count, int)
    return found


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes_are_read(data: bytes) -> None:
    check(data)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789abcdef:.[](){}=,-+ \t\n\rERTxX_#>", max_size=1500))
def test_random_log_letters_are_read(text: str) -> None:
    check(text.encode())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=60))
def test_lines_in_any_order_are_read(chosen: list[bytes]) -> None:
    check(b"".join(chosen))


def test_mutated_samples_are_read() -> None:
    for seed in SEEDS:
        rng = random.Random(seed)
        for sample in SAMPLES:
            check(spoil_log(rng, sample))


def test_samples_cut_anywhere_are_read() -> None:
    for sample in SAMPLES:
        whole = len(check(sample))
        for cut in range(0, len(sample), 37):
            assert len(check(sample[:cut])) <= whole


def test_crlf_and_quotes_change_nothing() -> None:
    for sample in SAMPLES:
        plain = sample.replace(b"\r", b"")
        assert read(plain.replace(b"\n", b"\r\n")) == read(plain)
        if not plain.startswith(b">"):
            quoted = b"".join(b"> " + line for line in plain.splitlines(keepends=True))
            assert len(read(quoted)) == len(read(plain))


def test_reports_survive_foreign_lines_between_theirs() -> None:
    noise = b"[   99.000000] systemd[1]: Started Session 1 of User root.\n"
    for sample in SAMPLES:
        noisy = b"".join(line + noise for line in sample.replace(b"\r", b"").splitlines(keepends=True))
        before, after = check(sample), check(noisy)
        assert [type(r) for r in after] == [type(r) for r in before]


def test_a_storm_of_functions_keeps_few_drafts() -> None:
    lines = [
        f"a {bus:02x}:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)\n"
        f"nvme {segment:04x}:{bus:02x}:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)\n"
        for segment in range(16)
        for bus in range(256)
    ]
    drafts: grammar.Drafts[str, str] = grammar.Drafts()
    for number in range(5000):
        drafts.begin(str(number), "", number)
        list(drafts.stale(number))
    assert sum(1 for _ in drafts.all()) <= grammar.MOST
    assert len(check("".join(lines).encode())) == len(lines) * 2


def test_one_endless_line_is_read_in_one_pass() -> None:
    unit = b"pcieport 0000:00:1c.5: AER: PCIe Bus Error: severity=Corrected "
    for data in (unit * 4000, b"[" * 300_000, b"0" * 300_000, b": " * 150_000, b"a" * 150_000 + b" " * 150_000):
        check(data)


def test_every_register_name_is_one_of_setpci() -> None:
    for sample in SAMPLES:
        for report in read(sample):
            if isinstance(report, RegisterText):
                assert [str(Location.parse(name)) for name in report.words] == list(report.words)


def test_reports_are_values() -> None:
    (report,) = read("a 0000:01:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)\n")
    assert isinstance(report, AerError)
    assert {f.name for f in fields(report)} >= {"line", "bdf", "severity", "status"}
    assert hash(report) == hash(report)
