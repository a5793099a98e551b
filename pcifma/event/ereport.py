"""An ereport: one error bit of one Function, or the raw snapshot (`io.pci.fabric`) that it came from. Contract 4.1."""

from __future__ import annotations

from typing import Literal

import msgspec

from pcifma.event.value import FABRIC_CLASS, PayloadValue, Severity, Trust


class Ereport(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `--json` output and one row of the error log; the fields are contract 4.1.

    *time* and *not_before* are UTC with nanoseconds: the error happened at least once between them. *count* is above one
    only where a counter or folding says so; then *first* and *last* bound it. *ena* is 16 hex digits. *payload* numbers
    have at most 53 bits; 64-bit ones are 16 hex digits. *maintenance* is the id of the planned work that it belongs to.
    """

    class_: str = msgspec.field(name="class")
    version: int = 1
    uuid: str
    host: str
    boot: str
    seq: int
    tick: int
    time: str
    not_before: str | None
    count: int = 1
    first_look: bool
    residue: bool
    ena: str
    device: str
    detector: dict[str, str]
    resource: str
    fabric: str
    severity: Severity
    plugin: str
    sources: list[str]
    trust: Trust
    payload: dict[str, PayloadValue]
    first: str | msgspec.UnsetType = msgspec.UNSET
    last: str | msgspec.UnsetType = msgspec.UNSET
    injected: bool | msgspec.UnsetType = msgspec.UNSET
    maintenance: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_error(self) -> bool:
        """True for an error bit that counts for the exit status: no raw snapshot, no residue, nothing informative."""
        return self.class_ != FABRIC_CLASS and not self.residue and self.severity != "info"


class SweepSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The trailer of every `--json` run; without it the run died. *unread* counts Functions by reason."""

    class_: Literal["sweep.summary"] = msgspec.field(name="class", default="sweep.summary")
    version: int = 1
    functions: int
    read: int
    unread: dict[str, int]
    ereports: int
    residue: int
    writes: int
