"""What `clear` and `sweep --clear` say of an answered order: each write before and after, who refused, what is never written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pcifma.cli.daemon import plain
from pcifma.cli.ledger import TITLE, line, record
from pcifma.cli.text import clean, plural
from pcifma.errors import DaemonError
from pcifma.event.written import ClearLeft, ClearRefused, WrittenLine
from pcifma.fmd.keeper.consent import give
from pcifma.fmd.log.batch import RegisterWrite

DONE, REFUSED = 0, 2


@dataclass(frozen=True, slots=True)
class Cleared:
    """An answer: rows of the ledger, (address, reason) of refusals, (address, register, bits) that are never written."""

    writes: list[RegisterWrite]
    refused: list[tuple[str, str]]
    left: list[tuple[str, str, int]]
    ereports: list[str]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Cleared:
        """From the daemon's answer."""
        return msgspec.convert({key: answer[key] for key in ("writes", "refused", "left", "ereports")}, cls)

    @property
    def written(self) -> int:
        """How many registers were written."""
        return sum(row.outcome == "done" for row in self.writes)

    @property
    def status(self) -> int:
        """REFUSED if anything was."""
        refused = self.refused or any(row.outcome in ("refused", "unknown") for row in self.writes)
        return REFUSED if refused else DONE

    def refusals(self) -> Iterator[str]:
        """A line for each refusal."""
        yield from (f"not cleared: {clean(device)}: {clean(why)}" for device, why in self.refused)

    def sheet(self) -> Iterator[str]:
        """For people."""
        if self.writes:
            yield TITLE
        yield from map(line, self.writes)
        for device, register, bits in self.left:
            yield f"left      {clean(device)} {clean(register)} bits {bits:#x}: not a register that is ever written"
        yield f"Written to hardware: {plural(self.written, 'register') if self.written else 'nothing'}"

    def lines(self) -> Iterator[WrittenLine]:
        """For `--json`, without a trailer."""
        yield from (record(row) for row in self.writes)
        yield from (ClearRefused(device=device, why=why) for device, why in self.refused)
        yield from (ClearLeft(device=device, register=register, bits=bits) for device, register, bits in self.left)


def consent(path: Path, functions: Iterable[str]) -> AbstractContextManager[None]:
    """Root's consent, for the keeper to see, while the daemon carries the order out; nobody else's would count."""
    if os.geteuid() != 0:
        return contextlib.nullcontext()
    return _given(path, list(functions))


@contextlib.contextmanager
def _given(path: Path, functions: list[str]) -> Iterator[None]:
    try:
        with give(path, functions):
            yield
    except OSError as err:
        raise DaemonError(f"{plain(path)}: the consent cannot be left for the keeper: {err.strerror}") from err
