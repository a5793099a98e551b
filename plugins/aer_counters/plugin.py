"""The kernel's AER statistics in sysfs, exact counts of what it handled; no hardware is touched.

    aer_dev_correctable, aer_dev_nonfatal, aer_dev_fatal    a row a kind of error, then TOTAL_ERR_*; any Function with AER
    aer_rootport_total_err_cor, …_nonfatal, …_fatal         one number: messages received; Root Ports and Event Collectors

Rows are called `Bad TLP`, `BadTLP` or `dev_cor_errs_bit[9]`, by the kernel's age, and there are 27 or 32 of them for uncorrectable
errors. Kernels of some years print `_bit[n]` rows from behind the end of their arrays: those are other counters, and left out.
A counter that falls belongs to a device that was plugged again. A zero proves nothing: only unmasked errors that the kernel was
told of are counted, and the other end of the link may be the one that counts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from pcifma.plugin import CAPABILITIES, DevType, Evidence, Fabric, Finding, Host, Register, Severity, Snapshot, Target, Watch, numbers

AER, EXP = CAPABILITIES["ECAP_AER"], CAPABILITIES["CAP_EXP"]
CORRECTABLE, UNCORRECTABLE, ROOT = AER["correctable_error_status"], AER["uncorrectable_error_status"], AER["root_error_status"]
ROOT_TYPES = frozenset({DevType.ROOT_PORT, DevType.RCEC})
# How the kernel calls what the specification calls otherwise, of any age, by bit; case, blanks and a final "Error" do not matter.
NAMES: Mapping[str, tuple[tuple[int, str], ...]] = {
    CORRECTABLE.key: (
        (0, "RxErr"), (8, "Rollover"), (8, "RELAY_NUM Rollover"), (12, "Timeout"), (13, "NonFatalErr"), (13, "Advisory Non-Fatal"),
        (14, "CorrIntErr"), (15, "HeaderOF"),
    ),
    UNCORRECTABLE.key: (
        (4, "DLP"), (4, "Data Link Protocol"), (5, "SDES"), (12, "TLP"), (12, "Poisoned TLP"), (13, "FCP"), (14, "CmpltTO"),
        (15, "CmpltAbrt"), (16, "UnxCmplt"), (17, "RxOF"), (18, "MalfTLP"), (19, "ECRC"), (20, "UnsupReq"), (20, "Unsupported Request"),
        (21, "ACSViol"), (22, "UncorrIntErr"), (23, "BlockedTLP"), (24, "AtomicOpBlocked"), (24, "AtomicOp Egress Blocked"),
        (25, "TLPBlockedErr"), (25, "TLP Prefix Blocked"), (26, "PoisonTLPBlocked"), (27, "DMWrReqBlocked"), (28, "IDECheck"),
        (29, "MisIDETLP"), (30, "PCRC_CHECK"), (31, "TLPXlatBlocked"),
    ),
}  # fmt: skip
TOTAL = 32  # evidence numbers: 0 to 31 a bit, then the total, then rows without a known name, by their place
UNKNOWN = 64
_BIT = r"\w+_bit\[(\d{1,3})\]"


class Counts(NamedTuple):
    """One file of a device: *slots* is how many counters the oldest kernels have for it, *shadow* the Device Status bit of a total."""

    path: str
    register: Register
    severity: Severity
    slots: int
    shadow: int


DEVICE = (
    Counts("{sysfs}/aer_dev_correctable", CORRECTABLE, "correctable", 16, 0),
    Counts("{sysfs}/aer_dev_nonfatal", UNCORRECTABLE, "nonfatal", 27, 1),
    Counts("{sysfs}/aer_dev_fatal", UNCORRECTABLE, "fatal", 27, 2),
)
# Root Error Status bit of what each total counts.
RECEIVED = {
    "{sysfs}/aer_rootport_total_err_cor": 0,
    "{sysfs}/aer_rootport_total_err_nonfatal": 5,
    "{sysfs}/aer_rootport_total_err_fatal": 6,
}
_DEVICE_FACTS = tuple(counts.path for counts in DEVICE)
_ROOT_FACTS = (*_DEVICE_FACTS, *RECEIVED)


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]|error$", "", name.lower())


@cache
def _bits(register: Register) -> dict[str, int]:
    return {_folded(field.title): field.lo for field in register.fields} | {_folded(name): bit for bit, name in NAMES[register.key]}


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """The files of each Function that the kernel counts for; of one that cannot be read, as it sleeps, sysfs alone says whether."""
    for function in fabric:
        may_have = function.offset_of(AER.name) is not None or (function.unread and not function.capabilities)
        if may_have and host.read(f"/sys/bus/pci/devices/{function.bdf}/aer_dev_correctable") is not None:
            facts = _ROOT_FACTS if function.dev_type in ROOT_TYPES else _DEVICE_FACTS
            yield Watch(Target.function(function.bdf), when="count", facts=facts)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """What each counter has counted since *before*; all of it on a first look."""
    for counts in DEVICE:
        if counts.path in now.facts:
            yield from _device(now, before, counts)
    for path, bit in RECEIVED.items():
        count = _moved(_number(now, path), _number(before, path))
        if count:
            yield _finding(now, path, ROOT, bit, count=count)


def _device(now: Snapshot, before: Snapshot | None, counts: Counts) -> Iterator[Finding]:
    rows, known = dict(_rows(now, counts.path)), dict(_rows(before, counts.path))
    moved = {name: count for name, number in rows.items() if (count := _moved(number, known.get(name, 0)))}
    told = 0
    for place, name in enumerate(rows):
        if name in moved and not name.startswith("TOTAL_"):
            found = _row(now, counts, name, place, count=moved[name])
            told += found is not None
            yield from () if found is None else (found,)
    total = next((count for name, count in moved.items() if name.startswith("TOTAL_")), 0)
    if total and not told:
        # Errors of kinds that this kernel has no counter for.
        shadow = EXP["device_status"].field_at(counts.shadow)
        assert shadow is not None
        payload = {"name": f"{shadow.title}, of a kind that the kernel does not count"}
        yield Finding(f"ereport.{shadow.ereport}", Evidence(now.target, counts.path, TOTAL), counts.severity, payload, count=total)


def _row(now: Snapshot, counts: Counts, name: str, place: int, *, count: int) -> Finding | None:
    numbered = re.fullmatch(_BIT, name)
    if numbered is not None and int(numbered[1]) >= counts.slots:
        return None
    bit = int(numbered[1]) if numbered is not None else _bits(counts.register).get(_folded(name), -1)
    if counts.register.field_at(bit) is not None:
        return _finding(now, counts.path, counts.register, bit, count=count, severity=counts.severity)
    number = bit if bit >= 0 else UNKNOWN + place
    payload = {"name": name[:80]}
    return Finding("ereport.io.pciex.unknown", Evidence(now.target, counts.path, number), "info", payload, count=count)


def _finding(now: Snapshot, path: str, register: Register, bit: int, *, count: int, severity: Severity | None = None) -> Finding:
    field = register.field_at(bit)
    assert field is not None
    evidence = Evidence(now.target, path, bit)
    return Finding(f"ereport.{field.ereport}", evidence, severity or field.severity or "nonfatal", {"name": field.title}, count=count)


def _moved(number: int, known: int) -> int:
    return number - known if number >= known else number


def _rows(snapshot: Snapshot | None, path: str) -> Iterator[tuple[str, int]]:
    return numbers(None if snapshot is None else snapshot.facts.get(path))


def _number(snapshot: Snapshot | None, path: str) -> int:
    return next((number for _, number in _rows(snapshot, path)), 0)
