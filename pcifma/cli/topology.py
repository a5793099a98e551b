"""`pcifma topology`: the fabric as a tree, with slots, serials and drivers, and marks where errors are latched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import click
import msgspec

from pcifma.access.open import open_source
from pcifma.cli.found import bits
from pcifma.fabric import fmri
from pcifma.fabric.build import build
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function, Slot
from pcifma.platform.survey import type_of
from pcifma.plugin.loader import sources
from pcifma.poll.poller import Poller

EPILOG = """\b
SOURCE: nothing (this machine), - (a capture on standard input), a sysfs root, a file of `lspci -xxxx` text,
a fixture directory, or a tar of one.
\b
Exit status: 0 done; 2 could not look.
"""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A slot's *label* and its *source*; *others* are what other sources say, *agreed* whether they mean the same slot."""

    label: str
    source: str
    others: list[str] = []
    agreed: bool | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One Function of `topology --json`. *slot* is where it sits, *slot_below* what a port leads to; *errors* are the classes of
    latched errors, residue left out.
    """

    class_: Literal["topology"] = msgspec.field(name="class", default="topology")
    version: int = 1
    device: str
    type: str
    ids: str
    parent: str | None
    physfn: str | None
    buses: list[int] | None
    driver: str | None
    serial: str | None
    slot: Label | None
    slot_below: Label | None
    resource: str
    detector: dict[str, str]
    unread: str
    note: str
    errors: list[str]


class TopologySummary(msgspec.Struct, frozen=True, kw_only=True):
    """The trailer of `topology --json`: *fabric* is the id that ereports name."""

    class_: Literal["topology.summary"] = msgspec.field(name="class", default="topology.summary")
    version: int = 1
    fabric: str
    functions: int
    unread: dict[str, int]


@click.command("topology", epilog=EPILOG)
@click.argument("source", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one Function a line, then the trailer.")
@click.option("--host-root", type=click.Path(path_type=Path), help="Where the host's / is seen from here (in a container).")
def command(source: str | None, as_json: bool, host_root: Path | None) -> int:
    """The fabric of this machine, or of a capture, as a tree."""
    machine = open_source(source, host_root=host_root)
    for complaint in machine.complaints:
        click.echo(f"pcifma: {complaint}", err=True)
    fabric = build(machine)
    errors: dict[str, list[str]] = {}
    for event in bits(Poller(machine, fabric, sources()).look().ereports):
        if event.is_error:
            errors.setdefault(event.device, []).append(event.class_)
    if as_json:
        lines = [msgspec.json.encode(n) for n in nodes(fabric, errors)]
        sys.stdout.buffer.write(b"\n".join([*lines, msgspec.json.encode(_summary(fabric))]) + b"\n")
    else:
        from pcifma.cli.topology_sheet import draw  # noqa: PLC0415 - rich is slow to import and only draws

        draw(fabric, machine.name, errors)
    return 0


def nodes(fabric: Fabric, errors: dict[str, list[str]]) -> Iterator[Node]:
    """One node a Function, in address order."""
    for function in fabric:
        yield Node(
            device=str(function.bdf),
            type=type_of(function),
            ids=f"{function.vendor:04x}:{function.device:04x}:{function.subsystem_vendor:04x}:{function.subsystem_device:04x}",
            parent=_address(fabric.parent(function)),
            physfn=str(function.physfn) if function.physfn is not None else None,
            buses=list(function.bus_range) if function.bus_range is not None else None,
            driver=function.driver,
            serial=function.serial,
            slot=_label(function.slot),
            slot_below=_label(function.slot_below),
            resource=fmri.hc(fabric, function),
            detector=fmri.detector(fabric, function),
            unread=function.unread,
            note=function.note,
            errors=errors.get(str(function.bdf), []),
        )


def _address(function: Function | None) -> str | None:
    return str(function.bdf) if function is not None else None


def _label(slot: Slot | None) -> Label | None:
    if slot is None:
        return None
    return Label(label=slot.label, source=slot.source, others=[f"{text} ({source})" for text, source in slot.others], agreed=slot.agreed)


def _summary(fabric: Fabric) -> TopologySummary:
    unread: dict[str, int] = {}
    for function in fabric:
        if function.unread:
            unread[function.unread] = unread.get(function.unread, 0) + 1
    return TopologySummary(fabric=fabric.id, functions=len(fabric.functions), unread=dict(sorted(unread.items())))
