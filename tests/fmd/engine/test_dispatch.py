"""Class globs by component, as fmd's dispatch tree matches them (facts 5.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.event import ereport, list_event, suspect

from pcifma.errors import PluginError
from pcifma.fmd.engine.dispatch import Subscription


@pytest.mark.parametrize(
    ("glob", "class_", "takes"),
    [
        ("ereport.io.pciex.dl.btlp", "ereport.io.pciex.dl.btlp", True),
        ("ereport.io.pciex.dl.btlp", "ereport.io.pciex.dl.rto", False),
        ("ereport.io.pciex.dl.btlp", "ereport.io.pciex.dl.btlp.x", False),
        ("ereport.*", "ereport.io.pciex.dl.btlp", True),
        ("ereport.io.*", "ereport.io", False),
        ("ereport.*.pciex.*", "ereport.io.pciex.dl.btlp", True),
        ("ereport.*.dl.btlp", "ereport.io.pciex.dl.btlp", False),
        ("*", "ereport.io", True),
    ],
)
def test_glob_matches_by_component(glob: str, class_: str, takes: bool) -> None:
    assert Subscription([glob]).takes(ereport(class_=class_)) is takes


@pytest.mark.parametrize("glob", ["", "ereport..io", "ereport.fo*", ".x", "x."])
def test_glob_that_is_no_class_is_refused(glob: str) -> None:
    with pytest.raises(PluginError, match="whole components"):
        Subscription([glob])


def test_list_event_is_taken_for_its_suspects() -> None:
    event = list_event(fault_list=[suspect(), suspect(class_="fault.cpu.generic")])
    assert Subscription(["fault.cpu.*"]).takes(event)
    assert not Subscription(["fault.io.pci.*"]).takes(event)
    assert not Subscription(["fault.*"]).takes(list_event(fault_list=[]))


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=5), st.lists(st.sampled_from("ab*"), min_size=1, max_size=5))
def test_glob_agrees_with_a_regular_expression(parts: list[str], pattern: list[str]) -> None:
    import re  # noqa: PLC0415 # the oracle's own

    words = [r"[ab]" if part == "*" else part for part in pattern]
    if pattern[-1] == "*":
        words[-1] = r"[ab](\.[ab])*"
    expected = re.fullmatch(r"\.".join(words), ".".join(parts)) is not None
    assert Subscription([".".join(pattern)]).wants(".".join(parts)) is expected
