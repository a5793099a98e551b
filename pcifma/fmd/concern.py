"""Which Functions a case concerns: its suspects, and where its ereports were seen."""

from __future__ import annotations

import contextlib

from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.reader import Reader
from pcifma.regs.bdf import Bdf

_BELOW = 8  # Functions of one device; on a conventional bus there may be more


def functions_of(case: CaseRecord, reader: Reader, fabric: Fabric) -> frozenset[Bdf]:
    """Addresses of those that are on *fabric*."""
    devices = {suspect.device for suspect in case.suspects} | reader.devices(case.id)
    return present(devices, fabric)


def with_partners(functions: frozenset[Bdf], fabric: Fabric) -> frozenset[Bdf]:
    """*functions*, every port above them, and who is at the other end of a port's link: where an error of theirs may be latched too."""
    found = set(functions)
    for function in (fabric[bdf] for bdf in functions):
        collector = fabric.collector(function)
        near = (*fabric.path(function), *fabric.children(function)[:_BELOW], *([collector] if collector is not None else []))
        found |= {each.bdf for each in near}
    return frozenset(found)


def present(devices: set[str], fabric: Fabric) -> frozenset[Bdf]:
    """Those of *devices* that are addresses of Functions on *fabric*."""
    found = set()
    for device in devices:
        with contextlib.suppress(ValueError):
            found.add(Bdf.parse(device))
    return frozenset(found & fabric.functions.keys())
