"""A case explained to somebody who was never told how: each part is there, nothing hostile gets through, a bare case is readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.event import ereport, suspect

from pcifma.cli.explain_sheet import words
from pcifma.cli.name import names_of
from pcifma.event.ereport import Ereport
from pcifma.fmd.engine.case import CaseRecord

PORT, CARD = "0000:00:03.0", "0000:04:00.0"


def record(**changes: Any) -> CaseRecord:
    plain = {"id": 1, "uuid": "12345678-aaaa", "module": "m", "key": "k", "opened_wall_ns": 0, "state": "SOLVED", "code": "PCIEX-8000-0A"}
    told = {"severity": "Critical", "urgency": "now", "diag_time": "2000-01-01T00:00:06.0Z", "suspects": [suspect(CARD)], "rules": "m 1"}
    return CaseRecord(**{**plain, **told, **changes})


CHAIN = {
    "rule": "internal",
    "rules": "2",
    "because": {ereport(1).uuid: "rule internal: 30 of 100 such faults show it"},
    "not-seen": ["Surprise Down Error (io.pciex.dl.sd) at 0000:00:03.0"],
    "rivals": [{"class": "fault.x", "device": PORT, "not-seen": ["heat"]}],
    "history": ["followed the card: serial 1 had it in Slot 9 too"],
    "tree": [[PORT, "", "Root Port 8086:3420", ""], [CARD, PORT, "Endpoint 15b3:1017", "Slot 7"]],
}


def told(chain: dict[str, Any], *events: Ereport, **changes: Any) -> str:
    return "\n".join(words(record(**changes), chain, events))


def test_every_question_of_a_reader_has_its_part() -> None:
    text = told(CHAIN, ereport(1))
    heads = (
        "In short", "What is said", "Where", "Why:", "What was looked for and not seen", "What else it could be", "Before",
        "What to do", "What would make it surer", "Said by",
    )  # fmt: skip
    order = [text.index(head) for head in heads]
    assert order == sorted(order)
    assert "rule internal: 30 of 100 such faults show it" in text
    assert "0000:00:03.0  fault.x\n        against it: not seen heat" in text


def test_short_answer_says_what_where_how_sure_and_how_urgent() -> None:
    short = told(CHAIN, ereport(1)).splitlines()[2]
    assert short.startswith("In short: almost certainly 0000:04:00.0 (Endpoint 15b3:1017")
    assert "Slot 3), 100 %." in short and short.endswith("Act now.")
    (link,) = (replace(suspect(CARD, 40), class_="fault.io.pciex.bus-noresp"),)
    text = told({**CHAIN, "rest": 30}, ereport(1), suspects=[link, suspect(CARD, 30)], urgency="working-hours")
    assert "In short: perhaps the link to 0000:04:00.0" in text and "It can wait for working hours." in text
    assert "Link and part together, 70 % of what is said is about 0000:04:00.0." in text
    assert "The other 30 % stay with parts" in text


def test_unexplained_accuses_nobody_in_its_short_answer() -> None:
    text = told({}, ereport(1), suspects=[replace(suspect(PORT), class_="defect.pcifma.unexplained")], urgency="never-mind")
    assert "No part is accused" in text.splitlines()[2] and PORT not in text.splitlines()[2]


def test_part_has_its_name_where_the_system_knows_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ids = tmp_path / "pci.ids"
    ids.write_text("15b3  Some Maker\n\t1017  Some \x1b[31mCard\n")
    monkeypatch.setattr(names_of, "__defaults__", ((str(ids),),))
    assert "0000:04:00.0 (Endpoint 15b3:1017 Some Maker Some" in told(CHAIN, ereport(1))
    assert "\x1b" not in told(CHAIN, ereport(1))


def test_who_is_no_longer_suspected_stands_behind_who_is() -> None:
    both = [replace(suspect(PORT, 0), status="acquitted"), suspect(CARD, 60)]
    text = told(CHAIN, ereport(1), suspects=both)
    assert "In short: most likely 0000:04:00.0" in text and "no longer suspected: 0000:00:03.0" in text
    assert "<== 0%" not in text


def test_what_else_it_could_be_has_its_share_and_leaves_out_what_has_none() -> None:
    rivals: list[dict[str, Any]] = [{"class": f"fault.{n}", "device": PORT, "percent": n, "not-seen": []} for n in (7, 0.4)]
    text = told({**CHAIN, "rivals": rivals}, ereport(1))
    assert "    7%  0000:00:03.0  fault.7" in text and "fault.0.4" not in text


def test_fabric_is_a_tree_with_errors_and_suspects_on_it() -> None:
    lines = told(CHAIN, ereport(1)).splitlines()
    assert "  0000:00:03.0  Root Port 8086:3420" in lines
    assert "    0000:04:00.0  Endpoint 15b3:1017, Slot 7  [1]  <== 100%" in lines


def test_what_repeats_is_one_entry_that_counts_the_rest() -> None:
    text = told(CHAIN, *(ereport(n) for n in range(1, 42)))
    assert "40 more like it, [2] to [41]" in text and text.count("Bad TLP (ereport.io.pciex.dl.btlp)") == 1


def test_first_look_and_guest_are_said() -> None:
    text = told(CHAIN, ereport(1, first_look=True, trust="guest"))
    assert "age unknown" in text and "a guest owns this Function" in text


def test_case_of_another_module_without_a_chain_is_readable() -> None:
    text = told({}, ereport(1))
    assert "further evidence of the same fault" in text and "Where" not in text


@pytest.mark.parametrize("field", ["history", "not-seen"])
def test_no_control_byte_of_a_chain_reaches_the_terminal(field: str) -> None:
    assert "\x1b" not in told({**CHAIN, field: ["\x1b[31mred"]}, ereport(1))


def test_watched_case_says_so() -> None:
    assert "less often than the rule's threshold" in told({**CHAIN, "watch": True}, ereport(1))
