"""`pcifma decode`: a register's value, or the error reports of a log, explained."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import click
import msgspec

from pcifma.access.kernlog.open import Log, open_log
from pcifma.access.kernlog.report import RegisterText
from pcifma.cli import machine_check
from pcifma.cli.found import FOUND, INCOMPLETE, NOTHING
from pcifma.cli.text import clean
from pcifma.errors import UsageError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport, SweepSummary
from pcifma.event.line import encode
from pcifma.event.value import FABRIC_CLASS, UNREAD_CLASS, PayloadValue
from pcifma.plugin.loader import Plugin, builtin
from pcifma.poll.logged import Logged
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

EPILOG = """\b
REGISTER: as setpci writes it (ECAP_AER+4.l, STATUS), by table key (aer.correctable_error_status), or as lspci and Linux
call it (UESta, DevSta, PCI_ERR_COR_STATUS). VALUE is hexadecimal, with or without 0x; values after the first go to the
registers that follow: the four words of a header log are `pcifma decode HeaderLog W0 W1 W2 W3`.
\b
Of a machine check: mci_status (or MC5_STATUS), with mcg_cap, mcg_status, mci_addr, mci_misc, mca_ipid, mca_synd beside it:
`pcifma decode mci_status 0x9c00000000010151 mcg_cap 0x1000c09 --vendor intel`.
\b
FILE: kernel messages of Linux from 2.6.28 on (dmesg, journal, syslog, console, also quoted in mail or packed), GHES and BERT
records, EEH, machine checks, aer_event and CXL traces, rasdaemon tables, vmkernel.log, Xen's and FreeBSD's messages, Windows'
WHEA events, the event logs of Dell's and HPE's management controllers, fmadm and fmdump text, pciconf, lspci -vv.
\b
Exit status: 0 no error bit; 1 an error bit other than residue; 2 wrong usage or unreadable; 3 lines of a log speak of errors in
no form that is known.
"""
_DEVICE_LIMIT = 1 << 16


@dataclass(slots=True)
class Tally:
    """Counts for the trailer and the exit status. Functions are counted up to a limit, so that memory stays bounded."""

    ereports: int = 0
    residue: int = 0
    faults: int = 0
    devices: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    unknown: tuple[int, ...] = ()

    def of(self, events: Iterable[Ereport | ListEvent]) -> Iterator[Ereport | ListEvent]:
        """*events*, counted."""
        for event in events:
            if isinstance(event, ListEvent):
                self.faults += 1
            else:
                self.ereports += event.is_error
                self.residue += event.residue
                self._device(self.devices, event)
                if event.class_ == UNREAD_CLASS:
                    self._device(self.gone, event)
            yield event

    def _device(self, into: set[str], event: Ereport) -> None:
        if len(into) < _DEVICE_LIMIT:
            into.add(event.device)

    def trailer(self) -> SweepSummary:
        """The last line of --json output."""
        unread = {"gone": len(self.gone)} if self.gone else {}
        if self.unknown:
            unread["unknown-form"] = len(self.unknown)
        return SweepSummary(
            functions=len(self.devices),
            read=len(self.devices - self.gone),
            unread=unread,
            ereports=self.ereports,
            residue=self.residue,
            writes=0,
        )

    def status(self) -> int:
        """1 if an error bit other than residue, or a fault, was found; 3 if lines speak of errors and none could be read."""
        return FOUND if self.ereports or self.faults else INCOMPLETE if self.unknown else NOTHING


@click.command("decode", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[REGISTER VALUE]...")
@click.option("--log", metavar="FILE", help="Explain the error reports in FILE (- is standard input).")
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one ereport a line, then the trailer.")
@click.option("--device", metavar="ADDRESS", help="The Function whose register it is.")
@click.option("--type", "port_type", metavar="TYPE", help="Its Device/Port Type: root-port, endpoint, pcie-to-pci-bridge, …")
@click.option("--flit", is_flag=True, help="The header log was logged in Flit Mode.")
@click.option("--vendor", type=click.Choice(["intel", "amd"]), help="Whose processor the machine check is of.")
def command(
    words: tuple[str, ...], *, log: str | None, as_json: bool, device: str | None, port_type: str | None, flit: bool, vendor: str | None
) -> int:
    """Explain a register's value, or the error reports of a log."""
    if (log is None) == (not words):
        raise UsageError("give either REGISTER VALUE or --log FILE: pcifma decode ECAP_AER+4.l 0x00040000")
    if log is None and machine_check.is_bank(words):
        return _bank(words, vendor, as_json=as_json)
    if vendor is not None:
        raise UsageError("--vendor goes with a machine check's registers: pcifma decode mci_status 0x9c00000000010151 --vendor amd")
    if log is None:
        return _registers(words, _address(device), port_type, as_json=as_json, flit=flit)
    if device is not None or port_type is not None or flit:
        raise UsageError("--device, --type and --flit go with a register's value, not with --log")
    return _log(log, as_json=as_json)


def _address(device: str | None) -> Bdf | None:
    try:
        return None if device is None else Bdf.parse(device)
    except ValueError as err:
        raise UsageError(f"--device: {err}") from None


def _sources() -> list[Plugin]:
    return [plugin for plugin in builtin() if plugin.manifest.kind == "source"]


def _log(path: str, *, as_json: bool) -> int:
    tally = Tally()
    with open_log(path) as log:
        events = tally.of(Logged(log.name, log.boot, _sources()).events(log.reports()))
        if as_json:
            _write(events)
        else:
            from pcifma.cli.log_sheet import sheet  # noqa: PLC0415 - words for people are not needed with --json

            for line in sheet(log.name, events):
                click.echo(line)
        if not tally.devices and not tally.faults:
            tally.unknown = _unknown(log)
    if as_json:
        _write([tally.trailer()])
    return tally.status()


def _unknown(log: Log) -> tuple[int, ...]:
    numbers = log.speaks_of_errors()
    if numbers:
        which = f"line {numbers[0]} speaks" if len(numbers) == 1 else f"lines {', '.join(map(str, numbers))} speak"
        said = f"{which} of an error, in no form that is known (docs/decode.md): look at them yourself"
    elif (begin := log.bytes_begin()) is not None:
        numbers, said = (begin,), f"bytes of configuration space from line {begin} on: pcifma sweep {clean(log.path)} reads them"
    else:
        return ()
    click.echo(f"pcifma: {clean(log.path)}: {said}", err=True)
    return numbers


def _registers(tokens: tuple[str, ...], device: Bdf | None, port_type: str | None, *, as_json: bool, flit: bool) -> int:
    from pcifma.cli.word import layout, words  # noqa: PLC0415 - a log needs no register names

    found = words(tokens)
    given = dict(found)
    if (kind := layout(found, port_type)) is not None:
        found.setdefault(Location("CAP_EXP", 2, 2), kind << 4)
    if flit:
        found.setdefault(Location("ECAP_AER", 0x18, 4), 1 << 18)
    report = RegisterText(line=0, tool="lspci", bdf=device, words={str(location): word for location, word in found.items()})
    tally = Tally()
    events = list(tally.of(Logged("value", "value", _sources(), source="value", every=True).events([report])))
    if as_json:
        _write([*(_with_fields(event, given, kind, flit=flit) for event in events), tally.trailer()])
    else:
        from pcifma.cli.word_sheet import sheet  # noqa: PLC0415 - words for people are not needed with --json

        for line in sheet(given, [event for event in events if isinstance(event, Ereport)], kind, flit=flit):
            click.echo(line)
    return tally.status()


def _bank(tokens: tuple[str, ...], vendor: str | None, *, as_json: bool) -> int:
    bank = machine_check.parse(tokens, vendor)
    tally = Tally()
    events = list(tally.of(Logged("value", "value", _sources(), source="value").events([bank.report])))
    if as_json:
        fields: dict[str, PayloadValue] = {"fields": [text for _, text in bank.fields()]}
        _write([*(msgspec.structs.replace(e, payload=e.payload | fields) for e in events if isinstance(e, Ereport)), tally.trailer()])
    else:
        for line in machine_check.sheet(bank, [event for event in events if isinstance(event, Ereport)]):
            click.echo(line)
    return tally.status()


def _with_fields(event: Ereport | ListEvent, given: dict[Location, int], kind: int | None, *, flit: bool) -> Ereport | ListEvent:
    # The snapshot says in words what the given registers hold; error bits have ereports of their own beside it.
    from pcifma.cli.word import fields  # noqa: PLC0415 - a log needs no register names

    if event.class_ != FABRIC_CLASS or not isinstance(event, Ereport):
        return event
    return msgspec.structs.replace(event, payload=event.payload | {"fields": list(fields(given, kind, flit=flit))})


def _write(events: Iterable[Ereport | ListEvent | SweepSummary]) -> None:
    for event in events:
        sys.stdout.buffer.write(encode(event) + b"\n")
    sys.stdout.buffer.flush()
