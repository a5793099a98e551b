"""Message codes against those that illumos prints."""

from __future__ import annotations

import pytest

from pcifma.event.code import message_code

PCIEX = [
    "0A",
    "1P",
    "25",
    "3S",
    "43",
    "5Y",
    "6D",
    "7H",
    "8R",
    "94",
    "AQ",
    "CC",
    "DJ",
    "EE",
    "FX",
    "G2",
    "HS",
    "J5",
    "KP",
    "LA",
    "MH",
    "ND",
    "PY",
    "Q3",
    "RC",
    "SQ",
    "T4",
    "UR",
]
PCI = ["0C", "1Q", "24", "3R", "42", "5X", "6E", "7J", "8S", "95", "AP", "CA", "DH", "ED", "FY", "G3", "HR", "J4"]


@pytest.mark.parametrize(("dictionary", "endings"), [("PCIEX", PCIEX), ("PCI", PCI)])
def test_codes_are_those_of_illumos(dictionary: str, endings: list[str]) -> None:
    assert [message_code(dictionary, n) for n in range(len(endings))] == [f"{dictionary}-8000-{end}" for end in endings]


def test_larger_numbers_take_longer_codes() -> None:
    lengths = {len(message_code("PCIFMA", n)) for n in (0, (1 << 21) - 1)}
    assert lengths == {len("PCIFMA-8000-0A")}
    assert len(message_code("PCIFMA", 1 << 21)) > len("PCIFMA-8000-0A")


@pytest.mark.parametrize("number", [-1, 1 << 80])
def test_impossible_number_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="no message number"):
        message_code("PCIFMA", number)
