"""Why a Function is not heard: what closes the path, for which severities, and what would open it.

A remedy is a list of changes that can be laid over what was read, so that its yield is computed and not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pcifma.platform.coverage import MsiState, Owner
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

Severity = Literal["correctable", "nonfatal", "fatal"]
SEVERITIES: tuple[Severity, ...] = ("correctable", "nonfatal", "fatal")
UNCORRECTABLE: tuple[Severity, ...] = ("nonfatal", "fatal")


@dataclass(frozen=True, slots=True)
class Bits:
    """Register bits as they would be: *set* to one, *clear* to zero."""

    bdf: Bdf
    location: Location
    set: int = 0
    clear: int = 0

    def on(self, word: int) -> int:
        """*word* with the change made."""
        return word & ~self.clear | self.set


@dataclass(frozen=True, slots=True)
class Option:
    """A word of the kernel's command line, taken away."""

    word: str


@dataclass(frozen=True, slots=True)
class Ownership:
    """An owner of AER below a host bridge (segment, root bus) as it would be."""

    root: tuple[int, int]
    owner: Owner


@dataclass(frozen=True, slots=True)
class Served:
    """The AER service attached to a Root Port or RCEC, its interrupt in this state."""

    port: Bdf
    msi: MsiState = "on"


Change = Bits | Option | Ownership | Served


@dataclass(frozen=True, slots=True)
class Remedy:
    """What an operator can do, in *text*; *risk* is what it may cost; *changes* are its effect on the path."""

    text: str
    changes: tuple[Change, ...]
    risk: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause. *closed*: nothing passes; else it cannot be known from here. *kind* is the cause's name in docs/coverage.md."""

    kind: str
    text: str
    severities: tuple[Severity, ...] = SEVERITIES
    closed: bool = True
    remedy: Remedy | None = field(default=None)
