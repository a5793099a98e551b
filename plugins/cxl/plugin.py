"""CXL, as far as configuration space tells: Viral, resets that failed, framing errors of the Flex Bus link (CXL 3.1, 8.1, 8.2.1.3).

CXL's own RAS registers lie in memory, out of reach; what they find ends in AER's internal errors.
"""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import CAPABILITIES, Fabric, Finding, Host, Read, Snapshot, Target, Watch, error_mask, findings

DVSEC = CAPABILITIES["ECAP_DVSEC"]
HEADER_1, HEADER_2 = DVSEC["dvsec_header_1"], DVSEC["dvsec_header_2"]
STATUS = {
    "cxl-device": (DVSEC["cxl_status"], DVSEC["cxl_status_2"]),
    "cxl-port": (DVSEC["cxl_port_extension_status"],),
    "cxl-flex-bus": (DVSEC["dvsec_flex_bus_port_status"],),
}
FORMS = {0: "cxl-device", 3: "cxl-port", 7: "cxl-flex-bus"}  # by DVSEC ID


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """The status registers of each CXL DVSEC."""
    for function in fabric:
        for number, found in enumerate(function.all(DVSEC.name)):
            reads = (Read(DVSEC.location(HEADER_2, number)),)
            for register in STATUS.get(found.form.name, ()):
                yield Watch(Target.function(function.bdf), DVSEC.location(register, number), error_mask(register), reads=reads)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding for each error bit."""
    for target, location in now.words:
        if target == now.target and location._replace(number=0) == DVSEC.location(HEADER_2):
            form = FORMS.get((now.word(location) or 0) & 0xFFFF, "")
            for register in STATUS.get(form, ()):
                yield from findings(now, DVSEC.location(register, location.number), register, {"dvsec": form})
