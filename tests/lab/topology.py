"""What stands in a machine: Root Ports, switches and endpoints as a tree of names, and QEMU's arguments for it.

    Topology((
        root_port("rp1", endpoint("ep1")),
        root_port("rp2", switch("up1", downstream("dn1", endpoint("ep2"))), device="ioh3420"),
    ))

A name is the QEMU id of its Function: what inject() takes, and what address() turns into a Function address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["host_bridge", "root_port", "upstream_port", "downstream_port", "bridge", "endpoint"]
# A virtio endpoint has AER, and Device Control bits that work; e1000e has AER but cannot report (always deaf).
ENDPOINT = "virtio-rng-pci,aer=on"
DEAF_ENDPOINT = "e1000e"


@dataclass(frozen=True, slots=True)
class Node:
    """One device: its name, its kind, QEMU's device string for it, and what stands below it."""

    name: str
    kind: Kind
    device: str
    below: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """The devices of a machine, beside the few that QEMU's q35 and the harness bring (00:00.0, 00:1e.x, 00:1f.x)."""

    roots: tuple[Node, ...] = ()

    def walk(self) -> Iterator[tuple[Node, Node | None]]:
        """Yield each node with its parent, parents first; the parent of a root is None."""
        todo: list[tuple[Node, Node | None]] = [(node, None) for node in self.roots]
        while todo:
            node, parent = todo.pop(0)
            yield node, parent
            todo.extend((child, node) for child in node.below)

    def names(self, kind: Kind) -> list[str]:
        """Return the names of all nodes of *kind*, parents first."""
        return [node.name for node, _ in self.walk() if node.kind == kind]

    def path(self, name: str) -> list[str]:
        """Return the names from *name* up to its root, both included; KeyError for an unknown name."""
        parents = {node.name: parent.name if parent else None for node, parent in self.walk()}
        found: list[str] = []
        step: str | None = name
        while step is not None:
            found.append(step)
            step = parents[step]
        return found

    def arguments(self) -> list[str]:
        """Return QEMU's -device arguments, parents first; each port that has a slot gets a chassis and slot number of its own."""
        words: list[str] = []
        for slot, (node, parent) in enumerate(self.walk(), start=1):
            place = f"id={node.name},bus={parent.name if parent else 'pcie.0'}"
            if node.kind in ("root_port", "downstream_port"):
                place += f",chassis={1 + slot // 32},slot={slot % 32}"
            model, _, options = node.device.partition(",")
            words += ["-device", ",".join(filter(None, (model, place, options)))]
        return words


def host_bridge(name: str, *below: Node, bus: int) -> Node:
    """Return a second root bus, numbered *bus*, with Root Ports below it (pxb-pcie)."""
    return Node(name, "host_bridge", f"pxb-pcie,bus_nr={bus}", below)


def root_port(name: str, *below: Node, device: str = "pcie-root-port") -> Node:
    """Return a Root Port. *device*: pcie-root-port (MSI-X), ioh3420 (MSI), cxl-rp, with options after a comma."""
    return Node(name, "root_port", device, below)


def switch(name: str, *below: Node, device: str = "x3130-upstream") -> Node:
    """Return a switch: its Upstream Port *name* with Downstream Ports below it."""
    return Node(name, "upstream_port", device, below)


def downstream(name: str, *below: Node, device: str = "xio3130-downstream") -> Node:
    """Return a Downstream Port of a switch."""
    return Node(name, "downstream_port", device, below)


def bridge(name: str, *below: Node, device: str = "pcie-pci-bridge") -> Node:
    """Return a PCI Express to PCI bridge, with conventional devices below it."""
    return Node(name, "bridge", device, below)


def endpoint(name: str, device: str = ENDPOINT) -> Node:
    """Return an endpoint; *device* is QEMU's device string, options after a comma."""
    return Node(name, "endpoint", device)


def standard() -> Topology:
    """Return the topology of the boots that are part of `make test`: every kind of port, an open and a deaf endpoint."""
    return Topology(
        (
            root_port("rp1", endpoint("ep1")),
            root_port(
                "rp2",
                switch("up1", downstream("dn1", endpoint("ep2")), downstream("dn2", endpoint("deaf1", DEAF_ENDPOINT))),
                device="ioh3420",
            ),
            root_port("rp3", bridge("br1", endpoint("conv1", "e1000"))),
            root_port("rp4"),
        )
    )
