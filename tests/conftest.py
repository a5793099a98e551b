"""Shared fixtures. Tests run against the installed pcifma (the wheel in `make test`), never the checkout by accident."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from pcifma.fmd.child import offspring

# What a property says does not depend on how busy the machine is.
settings.register_profile("pcifma", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pcifma")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-expected", action="store_true", help="rewrite generated and expected files; read the diff")


@pytest.fixture(scope="session")
def update_expected(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-expected"))


@pytest.fixture(autouse=True)
def _children_that_are_not_this_tests() -> None:
    """Keep a plugin's end, which takes every stray child along, from the laboratory's machines: here they share a parent."""
    for pid in offspring.children():
        offspring.OFFSPRING.keep(pid)
