"""Ereports and list events by hand, as the poller and the engine make them."""

from __future__ import annotations

from uuid import UUID

import msgspec

from pcifma.access.clock import EPOCH_2000_NS
from pcifma.event.case import ListEvent, Suspect
from pcifma.event.ereport import Ereport
from pcifma.event.identity import ena, ereport_uuid, utc

HOST, BOOT = "node-1", "2b8cf2f4-0000-4000-8000-000000000001"


def ereport(n: int = 0, **changes: object) -> Ereport:
    """The nth Bad TLP at 0000:04:00.0, one second after the one before; *changes* replace fields."""
    plain = Ereport(
        class_="ereport.io.pciex.dl.btlp",
        uuid=ereport_uuid(HOST, BOOT, "card", "ECAP_AER+10.l", 6, occurrence=n),
        host=HOST,
        boot=BOOT,
        seq=0,
        tick=n,
        time=utc(EPOCH_2000_NS + n * 10**9),
        not_before=utc(EPOCH_2000_NS + (n - 1) * 10**9),
        first_look=False,
        residue=False,
        ena=ena(n),
        device="0000:04:00.0",
        detector={"scheme": "dev", "device-path": "/devices/pci0000:00/0000:00:03.0/0000:04:00.0"},
        resource="hc:///hostbridge=0000-00/pciexrc=18/pciexbus=04/pciexdev=0/pciexfn=0",
        fabric="f" * 16,
        severity="correctable",
        plugin="pcie_aer",
        sources=["poll"],
        trust="host",
        payload={"register": "ECAP_AER+10.l", "bit": 6, "name": "Bad TLP", "value": 0x40},
    )
    return msgspec.structs.replace(plain, **changes)


def suspect(device: str = "0000:04:00.0", certainty: int = 100, **changes: object) -> Suspect:
    """A device-interr suspect at *device*."""
    resource = f"hc:///{device}"
    plain = Suspect(
        class_="fault.io.pciex.device-interr",
        certainty=certainty,
        status="faulty",
        device=device,
        asru=f"dev:///{device}",
        fru=resource,
        location="Slot 3",
        resource=resource,
    )
    return msgspec.structs.replace(plain, **changes)


def list_event(n: int = 0, **changes: object) -> ListEvent:
    """The nth list.suspect of one case."""
    plain = ListEvent(
        class_="list.suspect",
        uuid=str(UUID(int=0xCA5E)),
        event=str(UUID(int=n + 1)),
        host=HOST,
        seq=0,
        time=utc(EPOCH_2000_NS + n * 10**9),
        diag_time=utc(EPOCH_2000_NS),
        de={"scheme": "fmd", "mod-name": "pcie_diag"},
        code="PCIEX-8000-0A",
        severity="Major",
        urgency="working-hours",
        fault_list=[suspect()],
        ereports=[],
    )
    return msgspec.structs.replace(plain, **changes)
