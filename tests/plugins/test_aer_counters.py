"""The kernel's counters of every era: exact counts since boot and from look to look, and none of its junk."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.board import CORRECTABLE, END, ROOT, UNCORRECTABLE, board
from support.image import capture
from support.machine import Bench, bench
from support.sweep import Sweep

from pcifma.access.fixture import Fixture
from pcifma.access.playback import open_fixture
from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.plugin.loader import builtin
from pcifma.poll.replay import play

CARD, PORT = f"/sys/bus/pci/devices/{END}", f"/sys/bus/pci/devices/{ROOT}"
COR_SHORT = ("RxErr", "BadTLP", "BadDLLP", "Rollover", "Timeout", "NonFatalErr", "CorrIntErr", "HeaderOF")
COR_LONG = (
    "Receiver Error", "Bad TLP", "Bad DLLP", "RELAY_NUM Rollover", "Replay Timer Timeout", "Advisory Non-Fatal",
    "Corrected Internal Error", "Header Log Overflow",
)  # fmt: skip
COR_LEAVES = ("pl.re", "dl.btlp", "dl.bdllp", "dl.rnr", "dl.rto", "a-nonfatal", "int.ce", "tl.hlo")
UNC_SHORT = (
    "Undefined", "DLP", "SDES", "TLP", "FCP", "CmpltTO", "CmpltAbrt", "UnxCmplt", "RxOF", "MalfTLP", "ECRC", "UnsupReq", "ACSViol",
    "UncorrIntErr", "BlockedTLP", "AtomicOpBlocked", "TLPBlockedErr", "PoisonTLPBlocked", "DMWrReqBlocked", "IDECheck", "MisIDETLP",
    "PCRC_CHECK", "TLPXlatBlocked",
)  # fmt: skip
UNC_LONG = (
    "Undefined", "Data Link Protocol", "Surprise Down Error", "Poisoned TLP", "Flow Control Protocol", "Completion Timeout",
    "Completer Abort", "Unexpected Completion", "Receiver Overflow", "Malformed TLP", "ECRC", "Unsupported Request", "ACS Violation",
    "Uncorrectable Internal Error", "MC Blocked TLP", "AtomicOp Egress Blocked", "TLP Prefix Blocked Error",
)  # fmt: skip
UNC_LEAVES = (
    "pl.te", "dl.dllp", "dl.sd", "tl.ptlp", "tl.fcp", "tl.cto", "tl.ca", "tl.uc", "tl.rof", "tl.mtlp", "tl.ecrc", "tl.ur", "tl.acsv",
    "int.ue", "tl.mcb", "tl.aob", "tl.tpb", "tl.peb", "tl.dmwb", "ide.chk", "ide.mis", "tl.pcrc", "tl.xlb",
)  # fmt: skip


def text(names: tuple[str, ...], counts: dict[str, int], total: str) -> bytes:
    rows = {**dict.fromkeys(names, 0), **counts}
    return "".join(f"{name} {n}\n" for name, n in {**rows, f"TOTAL_ERR_{total}": sum(counts.values())}.items()).encode()


def cor(names: tuple[str, ...] = COR_SHORT, **counts: int) -> bytes:
    return text(names, {name.replace("_", " "): n for name, n in counts.items()}, "COR")


def files(on: Bench, correctable: bytes, nonfatal: bytes = b"", fatal: bytes = b"", base: str = CARD) -> None:
    for name, content in (("correctable", correctable), ("nonfatal", nonfatal), ("fatal", fatal)):
        on.facts.files[f"{base}/aer_dev_{name}"] = content


def leaves(events: list[Ereport]) -> list[tuple[str, int, str]]:
    return [(e.class_.removeprefix("ereport.io.pciex."), e.count, e.severity) for e in events]


@pytest.fixture
def on() -> Bench:
    found = bench(*board())
    files(found, cor(), text(UNC_SHORT, {}, "NONFATAL"), text(UNC_SHORT, {}, "FATAL"))
    return found


def test_zeros_are_quiet_and_touch_no_hardware(on: Bench) -> None:
    of = Sweep(on, "aer_counters")
    on.forget_reads()
    assert of.look() == []
    on.forget_reads()
    assert of.look(31) == []
    assert on.reads == {}


def test_function_without_the_files_is_not_watched() -> None:
    on = bench(*board())
    files(on, cor(BadTLP=3), base=f"/sys/bus/pci/devices/{ROOT}")
    assert [e.device for e in Sweep(on, "aer_counters").look()] == [ROOT]


@pytest.mark.parametrize("names", [COR_SHORT, COR_LONG])
@pytest.mark.parametrize("n", range(8))
def test_every_correctable_row_of_every_era_has_its_class(on: Bench, names: tuple[str, ...], n: int) -> None:
    files(on, text(names, {names[n]: 7}, "COR"))
    assert leaves(Sweep(on, "aer_counters").look()) == [(COR_LEAVES[n], 7, "correctable")]


@pytest.mark.parametrize("severity", ["nonfatal", "fatal"])
@pytest.mark.parametrize(("names", "rows"), [(UNC_SHORT, 23), (UNC_LONG, 17), (UNC_SHORT[:18], 18)])
def test_every_uncorrectable_row_of_every_era_has_its_class(on: Bench, names: tuple[str, ...], rows: int, severity: str) -> None:
    counts = {name: n for n, name in enumerate(names, 1)}
    on.facts.files[f"{CARD}/aer_dev_{severity}"] = text(names, counts, severity.upper())
    found = leaves(Sweep(on, "aer_counters").look())
    assert found == [(leaf, n, severity) for n, leaf in enumerate(UNC_LEAVES[:rows], 1)]


def test_first_look_tells_all_since_boot_and_later_ones_what_came(on: Bench) -> None:
    files(on, cor(BadTLP=1234))
    of = Sweep(on, "aer_counters")
    first = of.look()
    assert [(e.count, e.first_look, e.not_before, e.sources) for e in first] == [(1234, True, None, ["counter"])]
    assert first[0].payload["register"] == "{sysfs}/aer_dev_correctable"
    files(on, cor(BadTLP=1240, RxErr=1))
    later = of.look(31)
    assert leaves(later) == [("pl.re", 1, "correctable"), ("dl.btlp", 6, "correctable")]
    assert later[0].not_before == "2000-01-01T00:00:00.000000000Z"


def test_device_that_was_plugged_again_counts_from_zero(on: Bench) -> None:
    files(on, cor(BadTLP=90))
    of = Sweep(on, "aer_counters")
    of.look()
    files(on, cor(BadTLP=2))
    assert leaves(of.look(31)) == [("dl.btlp", 2, "correctable")]


@pytest.mark.parametrize("row", ["dev_cor_errs_bit[16] 99", "dev_cor_errs_bit[31] 4294967296"])
def test_rows_from_behind_the_kernels_array_are_junk(on: Bench, row: str) -> None:
    files(on, cor() + row.encode() + b"\n", b"dev_nonfatal_errs_bit[27] 5\n")
    assert Sweep(on, "aer_counters").look() == []


def test_row_of_a_bit_without_a_name_is_told_with_its_number(on: Bench) -> None:
    files(on, b"dev_cor_errs_bit[9] 3\nRxErr 0\nTOTAL_ERR_COR 3\n", b"dev_nonfatal_errs_bit[26] 4\nTOTAL_ERR_NONFATAL 4\n")
    events = Sweep(on, "aer_counters").look()
    assert leaves(events) == [("unknown", 3, "info"), ("tl.peb", 4, "nonfatal")]
    assert events[0].payload["bit"] == 9


def test_row_that_nobody_knows_is_not_silent(on: Bench) -> None:
    files(on, cor() + b"Brand New Error 2\n")
    events = Sweep(on, "aer_counters").look()
    assert [(e.class_, e.count, e.payload["name"]) for e in events] == [("ereport.io.pciex.unknown", 2, "Brand New Error")]


def test_total_without_a_row_is_an_error_the_kernel_has_no_counter_for(on: Bench) -> None:
    files(on, cor(), text(UNC_SHORT[:18], {}, "NONFATAL").replace(b"NONFATAL 0", b"NONFATAL 2"))
    assert leaves(Sweep(on, "aer_counters").look()) == [("nonfatal", 2, "nonfatal")]


def test_one_message_with_two_errors_is_two_rows_and_no_total_of_its_own(on: Bench) -> None:
    files(on, cor(BadTLP=1, BadDLLP=1).replace(b"COR 2", b"COR 1"))
    assert leaves(Sweep(on, "aer_counters").look()) == [("dl.btlp", 1, "correctable"), ("dl.bdllp", 1, "correctable")]


def test_messages_at_a_root_port_are_told_by_kind() -> None:
    on = bench(*board())
    files(on, cor(), base=PORT)
    for name, number in (("cor", 5), ("nonfatal", 2), ("fatal", 1)):
        on.facts.files[f"{PORT}/aer_rootport_total_err_{name}"] = b"%d\n" % number
    assert leaves(Sweep(on, "aer_counters").look()) == [
        ("rc.ce-msg", 5, "correctable"),
        ("rc.fe-msg", 1, "fatal"),
        ("rc.nfe-msg", 2, "nonfatal"),
    ]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"nonsense\n", b"BadTLP -3\n", b"BadTLP 0x10\n", b" \n\n", b"9" * 5000])
def test_content_that_is_none_is_survived(on: Bench, content: bytes) -> None:
    files(on, content, content, content)
    assert [e for e in Sweep(on, "aer_counters").look() if e.class_ == "ereport.pcifma.module"] == []


def test_bit_that_stands_and_its_count_are_one_ereport(on: Bench) -> None:
    files(on, cor(BadTLP=3))
    on.space(END).put(CORRECTABLE, 0x40, 4)
    events = Sweep(on, "aer_counters", "pcie_aer").look()
    assert [(e.class_, e.count, e.sources) for e in events] == [("ereport.io.pciex.dl.btlp", 3, ["poll", "counter"])]


def test_residue_hides_no_count(on: Bench) -> None:
    files(on, cor(), text(UNC_SHORT, {"UnsupReq": 4}, "NONFATAL"))
    on.space(END).put(UNCORRECTABLE, 1 << 20, 4)
    events = Sweep(on, "aer_counters", "pcie_aer").look()
    assert [(e.residue, e.count, e.severity, e.sources) for e in events] == [
        (True, 1, "info", ["poll"]),
        (False, 4, "nonfatal", ["counter"]),
    ]


def test_restarted_daemon_counts_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "config.lspci").write_text(capture(*board()))
    (tmp_path / "case.yaml").write_text("about: x\nsteps:\n  - {at: 0s}\n  - {at: 40s, restart: true}\n  - {at: 80s}\n")
    directory = tmp_path / "host" / CARD[1:]
    directory.mkdir(parents=True)
    (directory / "aer_dev_correctable").write_bytes(cor(BadTLP=5))
    fixture = open_fixture(tmp_path)
    assert isinstance(fixture, Fixture)
    events = [e for look in play(fixture, builtin(("aer_counters",))) for e in look.ereports if e.class_ != FABRIC_CLASS]
    assert [(e.tick, e.count) for e in events] == [(0, 5)]
