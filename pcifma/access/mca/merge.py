"""One error told twice is one record. In a dom0 three may tell of it:

    device    /dev/mcelog: what the kernel's consumer took from Xen
    probe     a probe on that consumer: the same, whole; takes nothing from anybody
    virtual   the machine check that Xen raised in dom0 itself, by the kernel's tracepoint: a bank of Xen's making

The probe comes first, the device's record within a look or two. What the probe saw and the device never gave was taken by another
reader, or did not fit: that is said. A virtual machine check waits for its real one, which has the same code and a frame or address.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pcifma.access.mca.processor import Processors
from pcifma.access.mca.telemetry import Reported
from pcifma.access.seam import MCE_RECORD, Record

# The device is read once a look; a busy dom0 may be late with a look, or with the handler that fills it.
WAIT_NS = 5_000_000_000
_CODE = 0xFFFF
_PAGE_SHIFT = 12

Members = dict[str, str]


@dataclass(slots=True)
class _Waiting:
    # Something that waits for its other half, since when.
    members: Members
    at_ns: int


@dataclass(slots=True)
class Merger:
    """Takes what each teller has and gives records. *whose* are the processors."""

    whose: Processors
    _probe: list[_Waiting] = field(default_factory=list)
    _virtual: list[_Waiting] = field(default_factory=list)
    _real: list[_Waiting] = field(default_factory=list)

    def take(
        self, device: Iterable[Members], probe: Iterable[tuple[Reported, int]], virtual: Iterable[Record], *, now_ns: int
    ) -> list[Record]:
        """Records that are whole now, the oldest first."""
        self._probe += [_Waiting(one.members(), at_ns) for one, at_ns in probe]
        self._virtual += [_Waiting(dict(one.fields), one.boot_ns) for one in virtual]
        found = [self._joined(members, now_ns) for members in device]
        self._real += [_Waiting(dict(one.fields), one.boot_ns) for one in found]
        found += self._overdue(now_ns)
        found += self._alone(now_ns)
        self._real = [one for one in self._real if now_ns - one.at_ns <= 2 * WAIT_NS]
        return sorted(found, key=lambda record: record.boot_ns)

    def _joined(self, members: Members, now_ns: int) -> Record:
        members = {**members, **self.whose.members(), "via": "xen"}
        mate = next((one for one in self._probe if _same_bank(one.members, members)), None)
        if mate is None:
            return Record(MCE_RECORD, _doubtful(members), now_ns)
        self._probe.remove(mate)
        return Record(MCE_RECORD, {**mate.members, **members}, mate.at_ns)

    def _overdue(self, now_ns: int) -> list[Record]:
        # Whoever took the record from the device has it; we have it from the probe, and say that there is somebody.
        late = [one for one in self._probe if now_ns - one.at_ns > WAIT_NS]
        self._probe = [one for one in self._probe if now_ns - one.at_ns <= WAIT_NS]
        if not late:
            return []
        reason = "another program reads /dev/mcelog, and each takes what the other then does not get: stop one of them"
        lost = Record(MCE_RECORD, {"lost": str(len(late)), "reason": reason}, now_ns)
        return [*(Record(MCE_RECORD, _numbered(one.members, self.whose), one.at_ns) for one in late), lost]

    def _alone(self, now_ns: int) -> list[Record]:
        found = []
        for one in list(self._virtual):
            told = any(_same_error(one.members, real.members) for real in self._real)
            if told or now_ns - one.at_ns > WAIT_NS:
                self._virtual.remove(one)
                if not told:
                    found.append(Record(MCE_RECORD, {**one.members, "via": "virtual", "address": "guest"}, one.at_ns))
        return found


def reported(one: Reported, whose: Processors) -> Members:
    """A record of Xen's telemetry that no device has: the hypercall's."""
    return _numbered(one.members(), whose)


def _numbered(members: Members, whose: Processors) -> Members:
    # Where Xen does not say which number that APIC id has, the id stands for it, and that is said: nobody may act on it.
    apicid = int(members["apicid"])
    known = {} if apicid in whose.numbers else {"identity": "unchecked"}
    return {**members, **whose.members(), "cpu": str(whose.numbers.get(apicid, apicid)), "via": "xen", **known}


def _doubtful(members: Members) -> Members:
    # An uncorrected error that Xen gave to a domain has the domain's address here, and nothing says whether it is one.
    if int(members.get("status", "0"), 0) >> 61 & 1:
        return {**members, "address": "guest", "doubt": "the address may be a domain's own, not the machine's"}
    return members


def _same_bank(one: Members, other: Members) -> bool:
    return all(int(one[name], 0) == int(other[name], 0) for name in ("apicid", "bank", "status"))


def _same_error(virtual: Members, real: Members) -> bool:
    # Xen's virtual bank has the real one's code and the domain's address; model-specific bits are Xen's.
    if (int(virtual["status"], 0) ^ int(real["status"], 0)) & _CODE:
        return False
    frames = {int(virtual.get("addr", "0"), 0) >> _PAGE_SHIFT}
    return bool(frames & {int(real.get("addr", "0"), 0) >> _PAGE_SHIFT, int(real.get("mfn", "0"), 0)})
