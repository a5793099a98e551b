"""ESXi's messages about PCI Express errors that firmware reported (`ApeiHEST: …: Fatal error from 0000:3b:00.0(PCI Express
Endpoint), VID:8086, DID:1572 DevSts: 0xd, AERUeSts: 0x2000.`), as Broadcom's knowledge base shows them (article 399748).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pcifma.access.kernlog.grammar import LineByLine
from pcifma.access.kernlog.line import Line
from pcifma.access.kernlog.name import severity_of
from pcifma.access.kernlog.report import AnyReport, BriefError
from pcifma.regs.bdf import Bdf

# Published logs blank parts of the address with X.
_ERROR = re.compile(
    r"(?P<severity>Correct(?:ed|able)|Uncorrect(?:ed|able) \((?:Non-)?Fatal\)|Recoverable|Non-?[Ff]atal|Fatal) error from "
    r"(?P<bdf>[0-9a-fA-FxX#]{4,8}:[0-9a-fA-FxX#]{2}:[0-9a-fA-FxX#]{2}\.[0-9a-fxX#]) ?(?:\((?P<kind>[^)]{0,60})\))?(?P<rest>.{0,400})"
)
_PAIR = re.compile(r"(?P<name>[A-Za-z]\w{1,20}): ?(?:0x)?(?P<value>[0-9a-fA-F]{1,8})\b")

# ESXi's names of registers, as setpci names them.
_REGISTERS = {
    "pcists": "6.w",
    "devsts": "CAP_EXP+a.w",
    "devctl": "CAP_EXP+8.w",
    "aeruests": "ECAP_AER+4.l",
    "aeruemask": "ECAP_AER+8.l",
    "aeruemsk": "ECAP_AER+8.l",
    "aeruesev": "ECAP_AER+c.l",
    "aercests": "ECAP_AER+10.l",
    "aercemask": "ECAP_AER+14.l",
    "aercemsk": "ECAP_AER+14.l",
    "aerrootsts": "ECAP_AER+30.l",
}


class Esxi(LineByLine):
    """Grammar of those messages; each is whole."""

    def feed(self, line: Line) -> Iterator[AnyReport]:
        match = _ERROR.search(line.text)
        if match is None:
            return
        pairs = {p["name"].lower(): int(p["value"], 16) for p in _PAIR.finditer(match["rest"])}
        severity = severity_of(match["severity"])
        assert severity is not None
        yield BriefError(
            teller="esxi",
            line=line.number,
            boot_ns=line.boot_ns,
            wall_ns=line.wall_ns,
            bdf=_address(match["bdf"]),
            severity=severity,
            kind=(match["kind"] or "").strip(),
            vendor=pairs.get("vid"),
            device=pairs.get("did"),
            words={_REGISTERS[name]: value for name, value in pairs.items() if name in _REGISTERS},
        )


def _address(text: str) -> Bdf | None:
    try:
        return Bdf.parse(text)
    except ValueError:
        return None
