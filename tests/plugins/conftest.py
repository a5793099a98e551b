"""The daemon that a module under test believes in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.agent import TestHouse


@pytest.fixture
def house() -> Iterator[TestHouse]:
    house = TestHouse()
    yield house
    house.programs.close()
    house.loop.close()
