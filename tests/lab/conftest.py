"""The two boots that the fast suite shares, and the line that says what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from lab import reporting
from lab.error import Unavailable
from lab.machine import Machine
from lab.topology import DEAF_ENDPOINT, Topology, endpoint, root_port, standard

_LEFT_OUT = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEFT_OUT] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for boot, reason in config.stash[_LEFT_OUT].items():
        terminalreporter.write_line(f"laboratory: left out all checks in {boot}: {reason}")


def booted(machine: Machine, boot: str, config: pytest.Config) -> Iterator[Machine]:
    """Yield *machine* booted and close it; skip, and have the summary say so, where this computer cannot host it."""
    try:
        machine.boot()
    except Unavailable as reason:
        config.stash[_LEFT_OUT][boot] = str(reason)
        pytest.skip(f"no laboratory here: {reason}")
    with closing(machine):
        yield machine


def quiet(machine: Machine) -> Machine:
    """Return *machine* as each check finds it: nothing latched, nothing reported.

    dom0's kernel owns AER. With the path open it answers a fatal error by a link reset, after which a switch has lost
    its bus numbers: a check that needs that boots a machine of its own.
    """
    reporting.quiet(machine)
    return machine


@pytest.fixture(scope="session")
def linux_nomsi_boot(pytestconfig: pytest.Config) -> Iterator[Machine]:
    yield from booted(Machine(standard(), cmdline="pci=nomsi"), "Linux with pci=nomsi", pytestconfig)


@pytest.fixture(scope="session")
def xen_dom0_boot(pytestconfig: pytest.Config) -> Iterator[Machine]:
    yield from booted(Machine(standard(), xen=True), "Xen dom0", pytestconfig)


@pytest.fixture(scope="session")
def deaf(pytestconfig: pytest.Config) -> Iterator[Machine]:
    """Linux with an endpoint that cannot report: `deaf1`, whose Device Status QEMU never clears."""
    topology = Topology((root_port("rp1", endpoint("deaf1", DEAF_ENDPOINT)),))
    yield from booted(Machine(topology), "Linux with a deaf endpoint", pytestconfig)


@pytest.fixture
def linux_nomsi(linux_nomsi_boot: Machine) -> Machine:
    """Linux without MSI, every status register clear, the reporting path closed."""
    return quiet(linux_nomsi_boot)


@pytest.fixture
def xen_dom0(xen_dom0_boot: Machine) -> Machine:
    """Xen with a dom0, every status register clear, the reporting path closed."""
    return quiet(xen_dom0_boot)


@pytest.fixture(params=["linux_nomsi", "xen_dom0"])
def machine(request: pytest.FixtureRequest) -> Machine:
    """Each of the two boots in turn."""
    found: Machine = request.getfixturevalue(request.param)
    return found
