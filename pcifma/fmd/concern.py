"""Which Functions a case concerns: its suspects, and where its ereports were seen."""

from __future__ import annotations

import contextlib

from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.reader import Reader
from pcifma.regs.bdf import Bdf


def functions_of(case: CaseRecord, reader: Reader, fabric: Fabric) -> frozenset[Bdf]:
    """Addresses of those that are on *fabric*."""
    devices = {suspect.device for suspect in case.suspects} | reader.devices(case.id)
    return present(devices, fabric)


def with_partners(functions: frozenset[Bdf], fabric: Fabric) -> frozenset[Bdf]:
    """*functions*, the port above each, and the port at the root: where an error of theirs may be latched too."""
    found = set(functions)
    for function in (fabric[bdf] for bdf in functions):
        near = (fabric.parent(function), fabric.root_port(function), fabric.collector(function))
        found |= {each.bdf for each in near if each is not None}
    return frozenset(found)


def present(devices: set[str], fabric: Fabric) -> frozenset[Bdf]:
    """Those of *devices* that are addresses of Functions on *fabric*."""
    found = set()
    for device in devices:
        with contextlib.suppress(ValueError):
            found.add(Bdf.parse(device))
    return frozenset(found & fabric.functions.keys())
