"""Who else may tell of an error: the kernel's log, rasdaemon, collectd's pcie_errors; what each has said, in one form.

The peers are given their best: rasdaemon a trace buffer that wakes it at the first record (0.6.8 as shipped sleeps on this kernel
until the buffer is half full), collectd an interval of one second and masked errors too.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..expect import ERRORS, Error
from ..machine import Machine

Severity = Literal["correctable", "nonfatal", "fatal", ""]
COLLECTD = """
Hostname "lab"
Interval 1
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "/lab/collectd.log"
</Plugin>
LoadPlugin pcie_errors
<Plugin "pcie_errors">
  Source "sysfs"
  ReportMasked true
  PersistentNotifications false
</Plugin>
"""
INSTANCE = "/sys/kernel/tracing/instances/rasdaemon"
START = f"""
mkdir -p /var/lib/rasdaemon /var/lib/collectd {INSTANCE}; echo 0 >{INSTANCE}/buffer_percent
rasdaemon -f -r >/lab/rasdaemon.log 2>&1 &
collectd -C /lab/collectd.conf -P /run/collectd.pid >/lab/collectd.err 2>&1 || {{ cat /lab/collectd.err >&2; exit 1; }}
for i in $(seq 100); do grep -q Listening /lab/rasdaemon.log && exit 0; sleep .2; done; cat /lab/rasdaemon.log >&2; exit 1
"""
# A word of each error's name as rasdaemon 0.6 and collectd 5.12 print it; those that a peer does not know it prints not at all.
WORDS = {
    "DLP": "data link protocol", "SDN": "surprise", "POISON_TLP": "poisoned", "FCP": "flow control", "COMP_TIME": "completion timeout",
    "COMP_ABORT": "completer abort", "UNX_COMP": "unexpected completion", "RX_OVER": "receiver overflow", "MALF_TLP": "malformed",
    "ECRC": "ecrc", "UNSUP": "unsupported request", "ACSV": "acs violation", "INTN": "internal", "MCBTLP": "mc blocked",
    "ATOP_EBLOCKED": "atomic", "TLP_PRF_BLOCKED": "prefix blocked", "RCVR": "receiver error", "BAD_TLP": "bad tlp",
    "BAD_DLLP": "bad dllp", "REP_ROLL": "rollover", "REP_TIMER": "timeout", "ADV_NONFATAL": "advisory", "INTERNAL": "internal",
    "HL_OVERFLOW": "overflow",
}  # fmt: skip
_SEVERITY: dict[str, Severity] = {"Corrected": "correctable", "Uncorrected (Non-Fatal)": "nonfatal", "Uncorrected (Fatal)": "fatal"}
_KERNEL = re.compile(r"([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d): (?:AER: )?PCIe Bus Error: severity=([^,]*), ")
_STATUS = re.compile(r"([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d): +device \[.*\] error status/mask=([0-9a-f]{8})/")
_COLLECTD = re.compile(r"plugin_instance = (\S+), type = pcie_error, type_instance = (\w+), message = (.*)")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One report: the Function, and the errors that it names; none where only the severity is told."""

    device: str
    severity: Severity
    errors: frozenset[Error] = frozenset()


def start(machine: Machine) -> None:
    """Start rasdaemon and collectd in *machine*."""
    (machine.share / "collectd.conf").write_text(COLLECTD)
    machine.check(START)


class Peers:
    """What kernel, rasdaemon and collectd have said since the last call of `said`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._row = self._offset = 0
        self.log = ""
        self.said()

    def said(self) -> dict[str, list[Sighting]]:
        """What each has said since the last call; the kernel word by word in `log`."""
        log = self.log = self._machine.check("cp /var/lib/rasdaemon/ras-mc_event.db /lab/rasdaemon.db; dmesg -c")
        rows = list(_rows(self._machine.share / "rasdaemon.db", self._row))
        self._row = max((number for number, *_ in rows), default=self._row)
        with (self._machine.share / "collectd.log").open(errors="replace") as stream:
            stream.seek(self._offset)
            notices = stream.read()
            self._offset = stream.tell()
        return {"kernel": list(kernel(log)), "rasdaemon": list(rasdaemon(rows)), "collectd": list(collectd(notices))}


def kernel(log: str) -> Iterator[Sighting]:
    """What Linux's AER service has printed."""
    waiting: dict[str, Severity] = {}
    for line in log.splitlines():
        if found := _KERNEL.search(line):
            device, severity = found[1], _SEVERITY.get(found[2], "")
            if "Inaccessible" in line:
                yield Sighting(device, severity)
            else:
                waiting[device] = severity
        elif found := _STATUS.search(line):
            severity = waiting.pop(found[1], "")
            yield Sighting(found[1], severity, _errors(int(found[2], 16), correctable=severity == "correctable"))


def rasdaemon(rows: Iterable[tuple[int, str, str, str]]) -> Iterator[Sighting]:
    """What rasdaemon has stored: rows (id, device, type, text)."""
    for _, device, kind, text in rows:
        yield Sighting(device, _SEVERITY.get(kind, ""), _named(text.partition("TLP Header")[0], correctable=kind == "Corrected"))


def collectd(log: str) -> Iterator[Sighting]:
    """What collectd has notified of, but for errors that have gone ("Cleared")."""
    for device, kind, message in _COLLECTD.findall(log):
        head, _, text = message.partition(" set: ")
        if text and "Device Status" not in head:
            yield Sighting(device, _kind(kind), _named(text, correctable=kind == "correctable"))
        elif text:
            yield Sighting(device, _kind(kind))


def _rows(path: Path, after: int) -> Iterator[tuple[int, str, str, str]]:
    connection = sqlite3.connect(path)
    try:
        yield from connection.execute("SELECT id, dev_name, err_type, err_msg FROM aer_event WHERE id > ? ORDER BY id", (after,))
    finally:
        connection.close()


def _kind(name: str) -> Severity:
    known: dict[str, Severity] = {"correctable": "correctable", "non_fatal": "nonfatal", "fatal": "fatal"}
    return known.get(name, "")


def _errors(status: int, *, correctable: bool) -> frozenset[Error]:
    return frozenset(error for error in ERRORS if error.correctable == correctable and status >> error.bit & 1)


def _named(text: str, *, correctable: bool) -> frozenset[Error]:
    low = text.lower()
    return frozenset(error for error in ERRORS if error.correctable == correctable and WORDS[error.name] in low)
