"""The matrix: its plan, its readers and its judgement on words of their own; and one machine of it. `make lab` measures it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import product as pairs
from pathlib import Path
from typing import Any

import pytest
from lab.error import Unavailable
from lab.expect import ERRORS, Error
from lab.machine import Machine
from lab.matrix.cell import PLACES, ROWS, Cell, Row, every, pairwise, rounds
from lab.matrix.mode import MODES, Mode, branches, hest, topology
from lab.matrix.result import Run, failures, render
from lab.matrix.session import Phase
from lab.matrix.verdict import Judged, judge
from lab.matrix.witness import Sighting, collectd, kernel, rasdaemon
from lab.topology import Topology

BY_NAME = {error.name: error for error in ERRORS}
POISONED = BY_NAME["POISON_TLP"]
PLAIN = Mode("plain", "linux")
DEVICE = "0000:03:00.0"
# Linux 6.1, rasdaemon 0.6.8 and collectd 5.12 of these very errors.
KERNEL = """
[   14.350614] pcieport 0000:00:01.0: AER: Uncorrected (Non-Fatal) error message received from 0000:03:00.0
[   14.351290] virtio-pci 0000:03:00.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer, (Receiver ID)
[   14.356751] virtio-pci 0000:03:00.0:   device [1af4:1044] error status/mask=00001000/00000000
[   14.357014] virtio-pci 0000:03:00.0:    [12] TLP                    (First)
[   72.387855] virtio-pci 0000:09:00.0: AER: PCIe Bus Error: severity=Uncorrected (Fatal), type=Inaccessible, (Unregistered Agent ID)
"""
RAS = [(2, DEVICE, "Uncorrected (Non-Fatal)", "Poisoned TLP, Unexpected Completion TLP Header: 00000000 00000000")]
NOTICE = "Notification: severity = WARNING, host = lab, plugin = pcie_errors, plugin_instance = 0000:03:00.0, type = pcie_error"
COLLECTD = f"""
{NOTICE}, type_instance = non_fatal, message = Device Status Error set: Non-Fatal Error
{NOTICE}, type_instance = non_fatal, message = Uncorrectable(non_fatal) Error set: Poisoned TLP
{NOTICE}, type_instance = non_fatal, message = Uncorrectable(non_fatal) Error cleared: Malformed TLP
"""


def ereport(leaf: str, device: str = DEVICE, count: int = 1) -> dict[str, Any]:
    return {"class": f"ereport.io.pciex.{leaf}", "device": device, "count": count}


def phase(*ereports: dict[str, Any], row: Row | None = None, standing: tuple[Error, ...] = (), heard: bool | None = None) -> Phase:
    cell = Cell("plain", row or Row("nonfatal", (POISONED,)), "endpoint", "ep1")
    line = {"heard": dict.fromkeys(("correctable", "nonfatal", "fatal"), heard)}
    return Phase(
        PLAIN, [cell], [frozenset(standing)], [False], coverage={DEVICE: line}, said={"kernel": [], "rasdaemon": [], "collectd": []},
        ereports=list(ereports), address={"ep1": DEVICE, "rp1": "0000:00:01.0"},
    )  # fmt: skip


def verdict(of: Phase) -> str:
    return judge(of).outcomes[0].pcifma


def test_pairs_are_all_there() -> None:
    plan = pairwise(MODES, seed=7)
    cells = [(mode, row, place) for mode, drawn in plan.items() for row, place in drawn]
    assert {(row, place) for _, row, place in cells} == set(pairs(ROWS, PLACES))
    assert {(mode, row) for mode, row, _ in cells} == {(mode.name, row) for mode in MODES for row in ROWS}
    assert {(mode, place) for mode, _, place in cells} == {(mode.name, place) for mode in MODES for place in PLACES}


def test_rows_have_every_error_and_every_kind() -> None:
    alone = {(row.kind, error.name) for row in ROWS for error in row.errors if row.kind != "several"}
    assert {name for _, name in alone} == set(BY_NAME)
    assert {row.kind for row in ROWS} == {"correctable", "advisory", "nonfatal", "fatal", "several"}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("plan", [pairwise, every])
def test_rounds_try_each_cell_once_and_no_bit_twice_at_a_function(mode: Mode, plan: Any) -> None:
    wanted = plan(MODES, 3)[mode.name]
    tried = rounds(mode, wanted)
    assert sorted((cell.row.name, cell.row.kind, cell.place) for turn in tried for cell in turn) == sorted(
        (row.name, row.kind, place) for row, place in wanted
    )
    bits = [(cell.node, error.name) for turn in tried for cell in turn for error in cell.row.errors]
    assert len(bits) == len(set(bits))
    alone = {cell.node for turn in tried for cell in turn if BY_NAME["ADV_NONFATAL"] in cell.row.errors}
    assert not alone & {cell.node for turn in tried for cell in turn if cell.row.kind == "advisory"}
    assert all(len({int(cell.node[2:]) for cell in turn}) == len(turn) for turn in tried)
    names = {node.name for node, _ in topology(mode.boot).walk()}
    assert {cell.node for turn in tried for cell in turn} <= names
    assert {int(cell.node[2:]) for turn in tried for cell in turn} <= set(branches(mode))


def test_kernel_log_is_read() -> None:
    assert list(kernel(KERNEL)) == [Sighting(DEVICE, "nonfatal", frozenset({POISONED})), Sighting("0000:09:00.0", "fatal")]


def test_rasdaemon_rows_are_read() -> None:
    assert list(rasdaemon(RAS)) == [Sighting(DEVICE, "nonfatal", frozenset({POISONED, BY_NAME["UNX_COMP"]}))]


def test_collectd_notices_are_read() -> None:
    assert list(collectd(COLLECTD)) == [Sighting(DEVICE, "nonfatal"), Sighting(DEVICE, "nonfatal", frozenset({POISONED}))]


def test_one_ereport_is_right_and_two_are_not() -> None:
    assert verdict(phase(ereport("tl.ptlp"))) == "right"
    assert verdict(phase(ereport("tl.ptlp"), ereport("tl.ptlp"))) == "twice"
    assert verdict(phase(ereport("tl.ptlp", count=2))) == "twice"


@pytest.mark.parametrize("wrong", [(), (ereport("tl.mtlp"),), (ereport("tl.ptlp", "0000:00:01.0"),)])
def test_another_class_or_function_is_a_miss(wrong: tuple[dict[str, Any], ...]) -> None:
    found = judge(phase(*wrong))
    assert found.outcomes[0].pcifma == "missed"
    assert len(found.false) == len(wrong)


def test_severity_accounts_for_one_error_and_no_more() -> None:
    fatal = Row("fatal", (POISONED, BY_NAME["MALF_TLP"]), True)
    assert [outcome.pcifma for outcome in judge(phase(ereport("fatal"), row=fatal)).outcomes] == ["accounted", "missed"]


def test_report_without_a_name_answers_for_one_cell_and_all_of_it() -> None:
    several = Row("several", (POISONED, BY_NAME["MALF_TLP"]), True)
    of = phase(row=several)
    of.cells.append(Cell("plain", Row("fatal", (BY_NAME["DLP"],), True), "endpoint", "ep1"))
    of.standing.append(frozenset())
    of.asleep.append(False)
    of.said["kernel"] = [Sighting(DEVICE, "fatal")]
    assert [outcome.kernel for outcome in judge(of).outcomes] == ["told", "told", "silent"]


def test_accounting_does_not_do_for_what_could_be_read() -> None:
    of = phase(ereport("nonfatal"), standing=(POISONED,))
    assert failures([judge(of)]) == ["plain: POISON_TLP (nonfatal) at ep1: POISON_TLP accounted"]


@pytest.mark.parametrize(("heard", "said", "wrong"), [(True, False, 1), (False, True, 1), (True, True, 0), (None, True, 0)])
def test_coverage_is_held_to_what_the_kernel_heard(heard: bool | None, said: bool, wrong: int) -> None:
    of = phase(ereport("tl.ptlp"), heard=heard)
    of.said["kernel"] = [Sighting(DEVICE, "nonfatal", frozenset({POISONED}))] * said
    assert len(failures([judge(of)])) == wrong


def test_error_that_a_recovery_has_wiped_is_accounted_for_by_one_message_more_than_errors() -> None:
    several = Row("several", (POISONED, BY_NAME["MALF_TLP"]), False)
    counted = ereport("rc.nfe-msg", "0000:00:01.0", 2)
    told = [o.pcifma for o in judge(phase(ereport("tl.ptlp"), counted, row=several)).outcomes]
    assert told == ["right", "accounted"]
    once = [o.pcifma for o in judge(phase(ereport("tl.ptlp"), {**counted, "count": 1}, row=several)).outcomes]
    assert once == ["right", "merged"]


def test_wiped_errors_of_one_moment_are_merged_with_the_one_that_is_told_and_what_stood_alone_is_not() -> None:
    several = Row("several", (POISONED, BY_NAME["MALF_TLP"], BY_NAME["DLP"]), True)
    of = phase(ereport("fatal", count=2), row=several)
    of.cells.append(Cell("plain", Row("fatal", (BY_NAME["ECRC"],), True), "endpoint", "ep1"))
    of.standing.append(frozenset())
    of.asleep.append(False)
    assert [o.pcifma for o in judge(of).outcomes] == ["accounted", "merged", "merged", "accounted"]
    of.ereports[:] = [ereport("fatal")]
    assert [o.pcifma for o in judge(of).outcomes] == ["missed", "missed", "missed", "accounted"]
    of.ereports[:] = []
    of.standing[0] = frozenset(several.errors[1:])
    assert [o.pcifma for o in judge(of).outcomes] == ["missed"] * 4


def test_kernel_that_names_one_of_several_messages_was_heard_by_coverage() -> None:
    several = Row("several", (POISONED, BY_NAME["MALF_TLP"]), False)
    of = phase(ereport("tl.ptlp"), ereport("tl.mtlp"), row=several, standing=several.errors, heard=True)
    of.said["kernel"] = [Sighting(DEVICE, "nonfatal", frozenset({POISONED}))]
    assert failures([judge(of)]) == []


@pytest.mark.parametrize(("plan", "said", "verdict"), [([], False, "asleep"), (["poll"], False, "missed"), ([], True, "missed")])
def test_error_of_a_sleeper_is_left_alone_only_where_nobody_spoke_of_it_and_coverage_said_so(plan: Any, said: bool, verdict: str) -> None:
    of = phase()
    of.asleep[0] = True
    of.coverage[DEVICE] |= {"plan": plan, "why": [f"{DEVICE}: asleep (D3hot suspended), not woken"]}
    of.said["kernel"] = [Sighting(DEVICE, "nonfatal", frozenset({POISONED}))] * said
    assert judge(of).outcomes[0].pcifma == verdict


def test_complete_control_breaks_the_table() -> None:
    complete, crippled = (replace(judge(phase(*found)), control=True) for found in ((ereport("tl.ptlp"),), ()))
    assert "proves nothing" in failures([complete])[0]
    assert failures([crippled]) == []


def test_document_has_every_mode_and_what_is_wrong() -> None:
    judged: list[Judged] = [judge(phase())]
    text = render(judged, Run("a plan", 5, {"Linux": "6.1"}, 2.0, "A note."))
    assert "| plain | 1 | 0 |" in text
    assert "seed 5" in text
    assert "\nA note.\n" in text
    assert f"Not run: {', '.join(mode.name for mode in MODES)}." in text
    assert "- plain: POISON_TLP (nonfatal) at ep1: POISON_TLP missed, not readable" in text
    assert "| nonfatal | POISON_TLP | e:-* |" in text


def test_hest_has_the_length_that_its_types_ask_for() -> None:
    assert len(hest()) == 4 + 48 + 44


@pytest.mark.lab_long
def test_matrix_holds_on_one_machine(tmp_path: Path) -> None:
    try:
        with Machine(Topology()):
            pass
    except Unavailable as reason:
        pytest.skip(f"no laboratory here: {reason}")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    words = [sys.executable, "-m", "lab.matrix", "--boot", "nomsi", "--write", str(tmp_path / "results.md")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    print((tmp_path / "results.md").read_text() if (tmp_path / "results.md").exists() else "")
    assert done.returncode == 0, done.stderr
