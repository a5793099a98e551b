"""Which Functions the kernel's uevents speak of."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pcifma.access.seam import Record
from pcifma.regs.bdf import Bdf


def functions(records: Iterable[Record]) -> tuple[set[Bdf], bool]:
    """The Functions that something happened to; True if some records were lost."""
    found: set[Bdf] = set()
    lost = False
    for record in records:
        lost |= "lost" in record.fields
        name = record.fields.get("PCI_SLOT_NAME") or os.path.basename(record.fields.get("DEVPATH", ""))  # noqa: PTH119 - not a file's path
        try:
            found.add(Bdf.parse(name.partition(":pcie")[0]))
        except ValueError:
            continue  # a bus, a slot, a driver
    return found, lost
