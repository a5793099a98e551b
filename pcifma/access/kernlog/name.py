"""Error names as kernels and tools of every era print them, and the bit that each means. The first name of a row is the kernel's
and lspci's short one. Sources: Linux aer.c and ras_event.h from 2.6.19 on, rasdaemon, FreeBSD pciconf err.c, illumos, lspci.
"""

from __future__ import annotations

import re

from pcifma.access.kernlog.report import PrintedBit, Severity, Side

_CORRECTABLE: tuple[tuple[int, tuple[str, ...]], ...] = (
    (0, ("RxErr", "Receiver Error")),
    (6, ("BadTLP", "Bad TLP")),
    (7, ("BadDLLP", "Bad DLLP")),
    (8, ("Rollover", "RELAY_NUM Rollover", "REPLAY_NUM Rollover")),
    (12, ("Timeout", "Replay Timer Timeout")),
    (13, ("NonFatalErr", "AdvNonFatalErr", "Advisory Non-Fatal", "Advisory Non-Fatal Error")),
    (14, ("CorrIntErr", "Corrected Internal Error")),
    (15, ("HeaderOF", "Header Log Overflow")),
)

_UNCORRECTABLE: tuple[tuple[int, tuple[str, ...]], ...] = (
    (0, ("Undefined", "Training Error")),
    (4, ("DLP", "Data Link Protocol", "Data Link Protocol Error")),
    (5, ("SDES", "Surprise Down", "Surprise Down Error", "Surprise Link Down", "Surprise Link Down Error")),
    (12, ("TLP", "Poisoned TLP", "Poisoned TLP Received", "PoisTLP")),
    (13, ("FCP", "Flow Control Protocol", "Flow Control Protocol Error")),
    (14, ("CmpltTO", "Completion Timeout")),
    (15, ("CmpltAbrt", "Completer Abort")),
    (16, ("UnxCmplt", "Unexpected Completion")),
    (17, ("RxOF", "Receiver Overflow", "Receiver Overflow Error")),
    (18, ("MalfTLP", "Malformed TLP")),
    (19, ("ECRC", "ECRC Error")),
    (20, ("UnsupReq", "Unsupported Request", "Unsupported Request Error")),
    (21, ("ACSViol", "ACSVoil", "ACS Violation")),
    (22, ("UncorrIntErr", "Uncorrectable Internal Error", "Uncorrected Internal", "Uncorrected Internal Error")),
    (23, ("BlockedTLP", "MC Blocked TLP", "Multicast Blocked TLP")),
    (24, ("AtomicOpBlocked", "AtomicOp Egress Blocked", "AtomicOpEgressBlocked")),
    (25, ("TLPBlockedErr", "TLP Prefix Blocked", "TLP Prefix Blocked Error", "TLPPrefixBlocked")),
    (26, ("PoisonTLPBlocked", "Poisoned TLP Egress Blocked", "Poisoned TLP Egrees Blocked", "PoisonedTLPEgressBlocked")),
    (27, ("DMWrReqBlocked", "DMWr Request Egress Blocked")),
    (28, ("IDECheck", "IDE Check Failed")),
    (29, ("MisIDETLP", "Misrouted IDE TLP")),
    (30, ("PCRC_CHECK", "PCRC Check Failed")),
    (31, ("TLPXlatBlocked", "TLP Translation Egress Blocked")),
)

_SQUEEZE = re.compile(r"[^a-z0-9]+")
_UNKNOWN_BIT = re.compile(r"Unknown (?:Error )?Bit ? ?(\d{1,2})?$")


def _key(name: str) -> str:
    return _SQUEEZE.sub("", name.lower())


_BITS: dict[Side, dict[str, int]] = {
    "correctable": {_key(name): bit for bit, names in _CORRECTABLE for name in names},
    "uncorrectable": {_key(name): bit for bit, names in _UNCORRECTABLE for name in names},
}

_SEVERITIES: dict[str, Severity] = {
    "corrected": "correctable",
    "correctable": "correctable",
    "uncorrectednonfatal": "nonfatal",
    "uncorrectablenonfatal": "nonfatal",
    "nonfatal": "nonfatal",
    "recoverable": "nonfatal",
    "uncorrectedfatal": "fatal",
    "uncorrectablefatal": "fatal",
    "fatal": "fatal",
}


def bit_of(name: str, side: Side) -> int | None:
    """The bit of a status register that *name* means, None if it is no name of that register."""
    if match := _UNKNOWN_BIT.match(name.strip()):
        return int(match[1]) if match[1] else None
    return _BITS[side].get(_key(name))


def severity_of(words: str) -> Severity | None:
    """The severity that *words* (`Uncorrected (Non-Fatal)`, `Correctable`, `recoverable`, …) say; None if they say none."""
    return _SEVERITIES.get(_key(words))


def side_of(severity: Severity) -> Side:
    """The status register that errors of *severity* latch in."""
    return "correctable" if severity == "correctable" else "uncorrectable"


def side_of_names(printed: tuple[PrintedBit, ...]) -> Side | None:
    """The one register whose names, at these bits, all of *printed* are; None if none is or both could be."""
    named = [p for p in printed if not _UNKNOWN_BIT.match(p.text)]
    fits: list[Side] = [side for side in _BITS if named and all(bit_of(p.text, side) == p.bit for p in named)]
    return fits[0] if len(fits) == 1 else None


def status_of(names: tuple[str, ...], side: Side) -> int:
    """The status word with the bits of *names* set; names that the register does not have, and hex left-overs, add their own bits."""
    word = 0
    for name in names:
        bit = bit_of(name, side)
        if bit is not None and bit < 32:
            word |= 1 << bit
        elif re.fullmatch(r"0x[0-9a-fA-F]{1,8}", name.strip()):
            word |= int(name, 16)
    return word
