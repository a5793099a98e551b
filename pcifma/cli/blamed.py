"""The part that a suspect names, which need not be the one that sits there now."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pcifma.cli.outlook import Part
from pcifma.event.case import Suspect
from pcifma.fmd.engine.cache import part
from pcifma.fmd.engine.case import CaseRecord

NO_SERIAL = "-"


def blamed(case: CaseRecord, targets: Mapping[tuple[int, int], str], parts: Mapping[str, Part]) -> list[Part | None]:
    """For each suspect of *case* its part, by its identity in *targets* (by case and index); None where nothing is known of it. *parts* are
    those that are there, by address.
    """
    return [_part(suspect, targets.get((case.id, n), ""), parts.get(suspect.device)) for n, suspect in enumerate(case.suspects)]


def _part(suspect: Suspect, target: str, there: Part | None) -> Part | None:
    ids, serial = part(target)
    if not ids:
        return there
    vendor, device = (int(number, 16) for number in ids.split(":")[:2])
    known = None if serial == NO_SERIAL else serial
    if there is None:
        return Part(vendor, device, known, slot=suspect.location or None)
    return msgspec.structs.replace(there, vendor=vendor, device=device, serial=known or there.serial)
