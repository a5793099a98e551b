"""A case explained to somebody who was never told how: each part is there, nothing hostile gets through, a bare case is readable."""

from __future__ import annotations

from typing import Any

import pytest
from support.event import ereport, suspect

from pcifma.cli.explain_sheet import words
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
    heads = ("What is said", "Where", "Why:", "What was looked for and not seen", "Before", "What to do", "Said by")
    order = [text.index(head) for head in heads]
    assert order == sorted(order)
    assert "rule internal: 30 of 100 such faults show it" in text
    assert "fault.x at 0000:00:03.0 would explain it too, but is less likely: not seen heat" in text


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
