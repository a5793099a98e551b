"""PCI Express diagnosis: ereports in, cases with suspects out.

    corrected link error ──> tally of its link and direction ──> rate worse than allowed ──> case
    anything else        ──> exercise of its part of the fabric ──(window)──> verdicts ──(SERD)──> case

The window is a few looks long: what belongs to one uncorrectable error is latched at once, but is seen by looks one after another,
and their order means nothing. All state lives in checkpointed buffers, so a restart goes on where the daemon was killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from pcifma.plugin import Ereport, Fabric, ListEvent, Services, Suspect

from .address import find
from .check import load
from .conviction import MENDED, Convictions
from .docket import Docket
from .gathering import DUE, Gathering
from .link import Links
from .place import GUEST_DRIVERS
from .removal import Removals
from .rule import Rules
from .store import Store

RULES = Path(__file__).with_name("rules.yaml")
FABRIC = "ereport.io.pci.fabric"
UNREAD = "ereport.pcifma.unread"
# A guest resets its card for seconds, and a machine that starts or ends is done within minutes.
ABSENT, ABSENT_S = "absent:", 600.0
DRILL, DRILL_FAULT = "ereport.pcifma.drill", "fault.pcifma.drill"


def open(services: Services) -> Diagnosis:
    """Start the module with its rules; PluginError names every mistake in them."""
    site = str(services.properties.get("rules", ""))
    return Diagnosis(services, load(RULES, Path(site) if site else None))


class Diagnosis:
    """The module: what comes is sorted here, and goes to links, or to the exercise of its part of the fabric."""

    def __init__(self, services: Services, rules: Rules) -> None:
        self._services = services
        self._rules = rules
        self._removals = Removals(rules, services.fabric)
        store = Store(services)
        self._links = Links(services, store, rules)
        self._docket = Docket(services, store, rules)
        window_s = float(str(services.properties.get("window", 5.0)))
        self._gathering = Gathering(services, store, rules, self._removals, window_s=window_s)
        self._convictions = Convictions(services, rules, self._docket, self._links, self._removals)

    def recv(self, event: Ereport | ListEvent) -> None:
        """Take one ereport, or a repair."""
        if isinstance(event, ListEvent):
            self._begin_anew(event)
        elif event.class_ == DRILL:
            self._drill(event)
        elif not event.residue:
            self._sort(event)

    def _sort(self, event: Ereport) -> None:
        if event.class_ == FABRIC:
            self._links.learn(event.device, event.payload.get("pcie_link_status"))
            self._gathering.readings.learn(event)
        elif event.class_ == UNREAD:
            self._absent(event)
        elif event.severity == "info":
            return
        elif (kind := self._rules.kind(event.class_)).link:
            self._corrected(event)
        elif not kind.explained and not (kind.shadow and self._gathering.is_shadow(event)):
            self._gathering.add(event)

    def _absent(self, event: Ereport) -> None:
        # Who reads all ones is dead, or cut off; or a guest resets it, which is its own business.
        # Of what has left the fabric by now, it is known from before.
        function = find(self._removals.fabric(self._services.fabric, event.device, self._services.now_ns()), event.device)
        if event.payload.get("reason") != "gone" or event.first_look or function is None:
            return
        if function.driver in GUEST_DRIVERS:
            self._removals.reset(event.device, self._services.now_ns())
            self._services.arm(f"{ABSENT}{event.device}", ABSENT_S, msgspec.json.encode(event).decode())
        else:
            self._gathering.add(event)

    def _still_absent(self, told: Ereport) -> None:
        # No reset takes so long: it is as dead as if the host had it.
        if self._services.status().unread.get(told.device) == "gone":
            self._gathering.add(told)

    def _corrected(self, event: Ereport) -> None:
        of = self._links.count(event)
        if of is None:
            self._services.count("unplaced")
        else:
            self._convictions.link(of, event)

    def timeout(self, timer: str, data: str) -> None:
        """An exercise's window is over: say what it was."""
        if timer.startswith(ABSENT):
            self._still_absent(msgspec.json.decode(data, type=Ereport))
        elif timer.startswith(DUE):
            together = self._gathering.close(data)
            judged = self._convictions.judge(data, together)
            self._gathering.settle(data, together.fresh, judged.taken)
            for event in judged.absent:
                self._gathering.add(event)

    def close(self) -> None:
        """Nothing is held outside the buffers."""

    def stats(self) -> Mapping[str, int]:
        """None beside those that the daemon keeps."""
        return {}

    def topo(self, fabric: Fabric) -> None:
        """Remember what has gone: for a while its errors are judged on the fabric that it was on."""
        self._removals.topo(fabric, self._services.now_ns())

    def _drill(self, event: Ereport) -> None:
        # A fault of no part, so that nothing can be taken out of service for it; of each drill another one, so that none merge.
        no_part = {"asru": "", "fru": "", "location": "", "resource": f"fmd:///drill={event.uuid}"}
        told = Suspect(class_=DRILL_FAULT, certainty=100, status="faulty", device=event.device, **no_part)
        case = self._docket.open(f"drill:{event.uuid}", [event], [told])
        case.solve(self._docket.code([DRILL_FAULT]), severity="Minor", urgency=str(event.payload.get("urgency", "never-mind")))

    def _begin_anew(self, event: ListEvent) -> None:
        # What was counted of a part before its repair says nothing of it after.
        fabric = self._services.fabric
        devices = frozenset(suspect.device for suspect in event.fault_list if suspect.status in MENDED)
        for device in sorted(devices):
            function = find(fabric, device)
            for lower in (function, *fabric.children(function)) if function is not None else ():
                self._links.forget(str(lower.bdf))
        self._gathering.forget(devices)
        self._convictions.forget(event)
