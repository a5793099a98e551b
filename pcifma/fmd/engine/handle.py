"""A case as its module holds it: what the plugin API calls a Case."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar, get_args

import msgspec

from pcifma.errors import PluginError
from pcifma.event.case import Suspect, Urgency
from pcifma.event.ereport import Ereport
from pcifma.fmd.engine.case import CaseRecord, normalise
from pcifma.plugin import boundary

if TYPE_CHECKING:
    from pcifma.fmd.engine.docket import Docket

# Of one case this much evidence is kept; what is beyond is counted.
EVIDENCE_LIMIT = 256
SUSPECT_LIMIT = 64
SUSPECT_BYTES = 16 << 10

_ENCODER = msgspec.json.Encoder()
_SUSPECT = msgspec.json.Decoder(Suspect)
_WORDS = msgspec.json.Decoder(tuple[str, str])
T = TypeVar("T")


# What a plugin puts together may hold anything; what is stored must be read back.
def _sound(value: T, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        data = _ENCODER.encode(value)
        if len(data) > SUSPECT_BYTES:
            raise PluginError(f"{type(value).__name__} of {len(data)} bytes: {SUSPECT_BYTES} at most")
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, TypeError) as err:
        raise PluginError(f"{type(value).__name__} that cannot be stored: {err}") from err


def _check(urgency: str, rest: int) -> None:
    if urgency not in get_args(Urgency):
        raise PluginError(f"urgency {urgency!r}: write one of {', '.join(get_args(Urgency))}")
    if not isinstance(rest, int) or not 0 <= rest < 100:
        raise PluginError(f"rest {rest!r}: percent that stays with parts that are not listed, 0 to 99")


class Case:
    """One case. *ereports* is its evidence: the seq of each uuid. PluginError for a step that its state does not allow."""

    __slots__ = ("_docket", "ereports", "record")

    def __init__(self, docket: Docket, record: CaseRecord, ereports: dict[str, int]) -> None:
        self.record = record
        self.ereports = ereports
        self._docket = docket

    @property
    def uuid(self) -> str:
        """The case's uuid."""
        return self.record.uuid

    @property
    def key(self) -> str:
        """The module's name for it."""
        return self.record.key

    @property
    def state(self) -> str:
        """UNSOLVED, SOLVED, CLOSE_WAIT, CLOSED, REPAIRED or RESOLVED; CLOSED too once it was discarded."""
        return "CLOSED" if self.record.state == "DISCARDED" else self.record.state

    def add_ereport(self, event: Ereport) -> None:
        """Make *event* part of the evidence; of a case, 256 are kept and the rest counted."""
        if boundary.event(event).uuid not in self.ereports:
            self.record.injected = self.record.injected or event.injected is True
            self._keep(event.uuid, event.seq)
            self._docket.on_evidence(self.record.module, event.seq)

    def _keep(self, ereport: str, seq: int) -> None:
        if len(self.ereports) < EVIDENCE_LIMIT:
            self.ereports[ereport] = seq
            self._docket.changes.evidence.append((self.record.id, seq))
        else:
            self.record.more += 1
        self._docket.touch(self)

    def adopt(self, other: Case) -> None:
        """Take over the evidence of *other*."""
        self.record.more += other.record.more
        for ereport, seq in other.ereports.items():
            if ereport not in self.ereports:
                self._keep(ereport, seq)

    def add_suspect(self, suspect: Suspect) -> None:
        """Name a suspect; PluginError if one of its members is of another type than the contract's."""
        if self.record.state != "UNSOLVED":
            raise PluginError(f"case {self.uuid} is {self.state}: suspects are named before it is solved")
        if len(self.record.suspects) >= SUSPECT_LIMIT:
            raise PluginError(f"case {self.uuid}: more than {SUSPECT_LIMIT} suspects")
        self.record.suspects.append(_sound(suspect, _SUSPECT))
        self._docket.touch(self)

    def solve(self, code: str, *, severity: str, urgency: str, rest: int = 0) -> None:
        """Publish the suspect list (list.suspect), most certain first, certainties adding up to 100 less *rest*."""
        _check(urgency, rest)
        if self.record.state != "UNSOLVED" or not self.record.suspects:
            raise PluginError(f"case {self.uuid} is {self.state} with {len(self.record.suspects)} suspects: it cannot be solved")
        self.record.code, self.record.severity = _sound((code, severity), _WORDS)
        self.record.urgency = msgspec.convert(urgency, Urgency)
        self.record.suspects = normalise(self.record.suspects, 100 - rest)
        self._docket.solve(self)

    def revise(self, suspects: Iterable[Suspect], *, code: str, severity: str, urgency: str, rest: int = 0) -> None:
        """Tell of a published case who is blamed now: list.updated."""
        _check(urgency, rest)
        named = [_sound(one, _SUSPECT) for one in suspects]
        if self.record.state != "SOLVED" or not 0 < len(named) <= SUSPECT_LIMIT:
            raise PluginError(f"case {self.uuid} is {self.state}, with {len(named)} suspects: it cannot be revised")
        self.record.code, severity = _sound((code, severity), _WORDS)
        self._docket.revise(self, normalise(named, 100 - rest), severity=severity, urgency=msgspec.convert(urgency, Urgency))

    def close(self) -> None:
        """The case needs no more attention from its diagnosis engine."""
        self._docket.close(self)
