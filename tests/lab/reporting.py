"""The path of an error message, opened and closed from inside the guest, and all status registers cleared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .machine import Machine
from .topology import Kind, Node

BRIDGES: tuple[Kind, ...] = ("root_port", "upstream_port", "downstream_port", "bridge")
CONVENTIONAL = ("e1000", "rtl8139", "pci-testdev")  # QEMU devices without a PCI Express capability


def clear(machine: Machine) -> None:
    """Clear every error bit of the topology's Functions: PCI and Secondary Status, AER, Device Status, Root Error Status."""
    _apply(machine, _clearing)


def open_path(machine: Machine) -> None:
    """Let every Function report and every bridge forward: SERR# in Command and Bridge Control, Device Control, Root Control."""
    _apply(machine, lambda node: _enables(node, "ffff"))


def close_path(machine: Machine) -> None:
    """Let no Function report and no bridge forward."""
    _apply(machine, lambda node: _enables(node, "0000"))


def quiet(machine: Machine) -> None:
    """close_path() and clear() in one command: how a check finds a shared machine."""
    _apply(machine, lambda node: (*_enables(node, "0000"), *_clearing(node)))


def _clearing(node: Node) -> Iterator[str]:
    if is_express(node):
        yield from ("ECAP_AER+4.l=ffffffff", "ECAP_AER+10.l=ffffffff", "CAP_EXP+a.w=000f")
    yield "06.w=f900"
    if node.kind in BRIDGES:
        yield "1e.w=f900"
    if node.kind == "root_port":
        yield "ECAP_AER+30.l=7f"


def _enables(node: Node, value: str) -> Iterator[str]:
    yield f"04.w={value}:0100"
    if is_express(node):
        yield f"CAP_EXP+8.w={value}:000f"
    if node.kind in BRIDGES:
        yield f"3e.w={value}:0002"
    if node.kind == "root_port":
        yield f"ECAP_AER+2c.l={value}:7"


def is_express(node: Node) -> bool:
    """Return whether *node* has the PCI Express and AER capabilities."""
    return node.kind != "host_bridge" and node.device.partition(",")[0] not in CONVENTIONAL


def _apply(machine: Machine, operations: Callable[[Node], Iterable[str]]) -> None:
    addresses = machine.addresses()
    nodes = [node for node, _ in machine.topology.walk() if node.kind != "host_bridge" and node.name in addresses]  # not unplugged
    machine.check("setpci " + " ".join(f"-s {addresses[node.name]} {' '.join(operations(node))}" for node in nodes))
