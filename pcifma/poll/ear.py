"""Listening: kernel records become words of a snapshot and take the same road as a look.

One error seen two ways is one ereport. The kernel says what it found, and then clears it; a look may come before, between or after:

    record, then a look that sees the bit   one ereport, sources poll and the stream
    record, and the bit is clear already    one ereport, from the stream alone
    a look that sees the bit, then record   the record adds nothing, if it comes within the time that a handler may take: long while
                                            the bit stands, or once the kernel has counted it, as it counts before it tells
    record of a severity, without a bit     the kernel could not read the Function: what its registers still show when it answers
                                            again, or else one ereport of that severity
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pcifma.access.seam import HYPERCALL, MCE_RECORD, Host, Record
from pcifma.plugin.watch import Evidence, Finding, Snapshot, Target
from pcifma.poll.latched import Standing
from pcifma.poll.subject import Moment
from pcifma.regs.aer import AER
from pcifma.regs.bdf import Bdf
from pcifma.regs.exp import EXP
from pcifma.regs.table import Location

if TYPE_CHECKING:
    from pcifma.event.ereport import Ereport
    from pcifma.plugin.loader import Plugin

AER_EVENT, UEVENT = "aer_event", "uevent"
# Between the interrupt and the kernel's word of it lies a handler thread that a busy machine may hold up, and that itself waits up to
# a minute for what the reset of a fatal error has cut off; meanwhile it serves nobody else behind its Root Port.
HOLD_LOOKS = 10
SERVICE_NS = 2_000_000_000
RECOVERY_NS = 60_000_000_000
ECHO_NS = 5_000_000_000  # between two records of one burst lies the recovery from the first
COUNTER = "counter"
# A storm must not take the daemon's memory, nor look like a plugin's flood: what is beyond is counted as lost.
RECORDS_A_LOOK = 4096

_UE, _UE_SEVERITY = AER.location(AER["uncorrectable_error_status"]), AER.location(AER["uncorrectable_error_severity"])
_CE = AER.location(AER["correctable_error_status"])
_CONTROL = AER.location(AER["advanced_error_capabilities_and_control"])
_HEADER_LOG = tuple(AER.location(AER[f"header_log_{i}"]) for i in range(4))
DEVICE_STATUS = EXP.location(EXP["device_status"])
_NONFATAL, _FATAL, _CORRECTED = 0, 1, 2  # include/linux/aer.h, the tracepoint's severity
_MESSAGE = {_NONFATAL: 1, _FATAL: 2}  # its bit in Device Status (PCIe Base Spec 7.5.3.5)
_POINTER = 0x1F
KEPT_REGISTER = str(_UE)
KEPT = {field.lo: f"ereport.{field.ereport}" for field in AER["uncorrectable_error_status"].fields if field.ereport}
"""The classes of Uncorrectable Error Status, by bit."""

Words = Mapping[tuple[Target, Location], int]
Whose = Bdf | Target | None
"""Whom a record speaks of: a Function, another target, or the stream itself."""
_NO_WORDS: Mapping[Location, int] = {}


class Heard(NamedTuple):
    """One record: whom it speaks of, and what it says as register words."""

    record: Record
    whose: Whose
    words: Mapping[Location, int] = _NO_WORDS
    looks: int = 0  # that it was held back for

    def says(self, location: Location | str, bit: int) -> bool:
        """True if the record has *bit* of *location* set."""
        return isinstance(location, Location) and bool(self.words.get(location, 0) >> bit & 1)


def heard(record: Record) -> Heard | None:
    """What *record* says; None where it is none of ours, or does not follow its form."""
    if "lost" in record.fields:
        return Heard(record, None)
    try:
        return Heard(record, *_SAID[record.stream](record.fields))
    except (KeyError, ValueError):
        return None


def _of_uevent(fields: Mapping[str, str]) -> tuple[Whose]:
    return (Bdf.parse(fields["PCI_SLOT_NAME"] if "ERROR_EVENT" in fields else ""),)


def _of_hypercall(fields: Mapping[str, str]) -> tuple[Whose]:
    return (Target("domain", str(int(fields["domain"]))) if "domain" in fields else None,)


def _aer_words(fields: Mapping[str, str]) -> dict[Location, int]:
    status, severity = int(fields["status"], 0), int(fields["severity"], 0)
    if severity == _CORRECTED:
        return {_CE: status}
    if not status and severity in _MESSAGE:
        # Behind a link that may be down the kernel does not read at all ("Inaccessible"): it knows who sent which message.
        return {DEVICE_STATUS: 1 << _MESSAGE[severity]}
    words = {_UE: status, _UE_SEVERITY: status if severity == _FATAL else 0}
    header = [int(word, 0) for word in fields.get("tlp_header", "").split(",") if word]
    if int(fields.get("tlp_header_valid", "0"), 0) and len(header) >= len(_HEADER_LOG):
        words |= dict(zip(_HEADER_LOG, header, strict=False))
        words[_CONTROL] = (status & -status).bit_length() - 1 & _POINTER
    return words


# By stream: whom a record speaks of, and what it says as register words. KeyError or ValueError where it is none of ours.
_SAID: Mapping[str, Callable[[Mapping[str, str]], tuple[Whose] | tuple[Whose, Mapping[Location, int]]]] = {
    AER_EVENT: lambda fields: (Bdf.parse(fields["dev_name"]), _aer_words(fields)),
    MCE_RECORD: lambda fields: (Target("cpu", str(int(fields["cpu"], 0))),),
    HYPERCALL: _of_hypercall,
    UEVENT: _of_uevent,
}


def snapshots(now: Snapshot, told: Sequence[Heard]) -> list[Snapshot]:
    """*now* with what the kernel says laid over the registers, then one for each record that is about no register, or of a severity
    that other errors, which still stand, would seem to explain.
    """
    if not told:
        return [now]
    apart = [one for one in told if not one.words or _is_hidden(now, one)]
    plain = [
        now._replace(words={(now.target, at): word for at, word in one.words.items()}, facts={}, held_s={}, record=one.record)
        for one in apart
    ]
    return [now._replace(words=overlaid(now.target, now.words, [one for one in told if one not in apart])), *plain]


def _is_hidden(now: Snapshot, one: Heard) -> bool:
    return DEVICE_STATUS in one.words and bool(_of_severity(now, one))


def _of_severity(now: Snapshot, one: Heard) -> int:
    # The bits in the register of the severity that a record without a bit speaks of.
    kept, fatal = now.word(_UE) or 0, now.word(_UE_SEVERITY) or 0
    return kept & (fatal if one.words[DEVICE_STATUS] == 1 << _MESSAGE[_FATAL] else ~fatal)


def overlaid(target: Target, words: Words, told: Sequence[Heard]) -> dict[tuple[Target, Location], int]:
    """*words* as read, with what the records say set as well. What the device itself still says about severity, mask and
    header stands.
    """
    found = dict(words)
    for one in told:
        for location, word in one.words.items():
            key = (target, location)
            if location in (_UE, _CE, DEVICE_STATUS):
                found[key] = found.get(key, 0) | word
            elif location == _UE_SEVERITY:
                found.setdefault(key, word)
            elif not words.get((target, _UE), 0):
                found[key] = word | (found.get(key, 0) & ~_POINTER if location == _CONTROL else 0)
    return found


def is_kept(location: Location | str) -> bool:
    """True for the register whose bits Linux clears only where a recovery has succeeded."""
    return location == _UE


def kept_classes(standing: Iterable[Standing]) -> set[str]:
    """The classes of those bits of that register that are among *standing*."""
    return {KEPT[row.bit] for row in standing if row.register == KEPT_REGISTER and row.bit in KEPT}


def sayers(snapshot: Snapshot, evidence: Evidence, told: Sequence[Heard]) -> list[Heard]:
    """The records that say what *evidence* of *snapshot* stands on."""
    if snapshot.record is not None:
        return [one for one in told if one.record is snapshot.record]
    return [one for one in told if one.says(evidence.location, evidence.bit)]


def shows(now: Snapshot, evidence: Evidence) -> bool:
    """True if the Function's own register has the bit set."""
    if isinstance(evidence.location, str):
        return False
    return bool((now.word(evidence.location, evidence.target) or 0) >> evidence.bit & 1)


class News(NamedTuple):
    """A finding to be published: by *plugin*, seen in these *sources*; *heard* are the records that say it, *read* whether the
    register shows it too.
    """

    finding: Finding
    plugin: str
    sources: tuple[str, ...] = ("poll",)
    heard: tuple[Heard, ...] = ()
    read: bool = True


class Expected(NamedTuple):
    """What a look found at *since_ns*, and whose records, *left* of them, are yet to come; *counted*: the kernel has it in hand."""

    since_ns: int
    finding: Finding
    left: int
    counted: bool

    def comes(self, at_ns: int, *, stands: bool) -> bool:
        """True if a record of *at_ns* can be of it; *stands*: its bit was still set at the last look."""
        return at_ns - self.since_ns <= (RECOVERY_NS if stands or self.counted else SERVICE_NS)


def streams_of(plugins: Iterable[Plugin]) -> tuple[str, ...]:
    """The streams that *plugins* ask for, each once."""
    return tuple(dict.fromkeys(stream for plugin in plugins for stream in plugin.manifest.streams))


class Ear:
    """Drains *streams* of *host*; remembers for a while what looks found that a record is yet to come for."""

    def __init__(self, host: Host, streams: Iterable[str]) -> None:
        self._host = host
        self._streams = tuple(dict.fromkeys(streams))
        self._expected: dict[tuple[str, str], Expected] = {}
        self._waiting: dict[Whose, list[Heard]] = {}
        self._served: dict[str, tuple[int, int]] = {}
        self._several: dict[tuple[str, int], tuple[int, int]] = {}
        self._drained_ns = 0

    @property
    def listens(self) -> bool:
        """True if there is any stream."""
        return bool(self._streams)

    def listen(self, now_ns: int) -> dict[Whose, list[Heard]]:
        """The records since the last call, by whom they speak of, in their order."""
        found, self._waiting = self._waiting, {}
        for stream in self._streams:
            records = self._host.stream(stream)
            for record in islice(records, RECORDS_A_LOOK):
                one = heard(record)
                if one is not None:
                    found.setdefault(one.whose, []).append(one)
            if beyond := sum(1 for _ in records):
                lost = Record(stream, {"lost": str(beyond), "reason": f"more than {RECORDS_A_LOOK} came in one look"}, now_ns)
                found.setdefault(None, []).append(Heard(lost, None))
        # By the time before this call: what it has drained may be from then.
        self._expected = {key: one for key, one in self._expected.items() if self._drained_ns - one.since_ns <= RECOVERY_NS}
        self._drained_ns = now_ns
        return found

    def hold(self, told: Iterable[Heard]) -> list[Heard]:
        """What of *told* is to be said now of a Function that cannot be read. A record without a bit comes again with `listen`, for
        HOLD_LOOKS looks: AER's bits outlive a link reset (7.8.4, sticky), and say more.
        """
        now = []
        for one in told:
            if DEVICE_STATUS in one.words and one.looks < HOLD_LOOKS:
                self._waiting.setdefault(one.whose, []).append(one._replace(looks=one.looks + 1))
            else:
                now.append(one)
        return now

    def give_back(self, told: Mapping[Whose, Sequence[Heard]]) -> None:
        """Nobody has been asked about *told* yet: it comes again with `listen`."""
        for whose, records in told.items():
            self._waiting.setdefault(whose, []).extend(records)

    def renewed(self, identity: str, now: Snapshot, told: Sequence[Heard], standing: Iterable[Standing]) -> list[Heard]:
        """*told* without what they repeat: a record has every bit that is set, also those that nobody has cleared since they were
        told. Where all of a record stood before this look, the error has come again; in one look, or shortly after a record of the
        same, it is the same burst, whose messages are served one after the other. One without a bit speaks of what is new in the
        register.
        """
        awaited = {bit for bit, class_ in KEPT.items() if (identity, class_) in self._expected}
        seen = sum(1 << row.bit for row in standing if row.register == KEPT_REGISTER and row.bit not in awaited)
        found: list[Heard] = []
        burst = False
        for one in told:
            if DEVICE_STATUS in one.words:
                bits = _of_severity(now, one) & ~seen
                bits = bits & sum(1 << bit for bit in awaited) or bits
                if bits or not self._is_of_several(identity, one):
                    found.append(one._replace(words={_UE: bits}) if bits else one)
                self._share(identity, one, bits)
                seen |= bits
                continue
            word = one.words.get(_UE, 0)
            fresh = word & ~seen
            echo = self._is_echo(identity, one)
            burst |= bool(fresh) or echo
            seen |= word
            found.append(one._replace(words={**one.words, _UE: fresh}) if fresh != word and burst else one)
        return found

    def _share(self, identity: str, one: Heard, bits: int) -> None:
        # One record that speaks of several bits: each of them sent a message, and will have a record of its own.
        if bits & bits - 1:
            self._several[identity, one.words[DEVICE_STATUS]] = bits.bit_count() - 1, one.record.boot_ns

    def _is_of_several(self, identity: str, one: Heard) -> bool:
        key = (identity, one.words[DEVICE_STATUS])
        left, since_ns = self._several.get(key, (0, 0))
        if not left or one.record.boot_ns - since_ns > RECOVERY_NS:
            return False
        self._several[key] = left - 1, since_ns
        return True

    def _is_echo(self, identity: str, one: Heard) -> bool:
        word, at_ns = one.words.get(_UE, 0), one.record.boot_ns
        before, since_ns = self._served.get(identity, (0, 0))
        if word:
            self._served[identity] = word, at_ns
        return bool(word) and not word & ~before and at_ns - since_ns <= ECHO_NS

    def news(self, identity: str, finding: Finding, plugin: str, saying: list[Heard], *, read: bool, stands: bool) -> News | None:
        """What is new about *finding*; None if nothing. *saying* are the records that say it, *read*: the register shows the bit,
        *stands*: it did at the last look.
        """
        while saying and self._is_expected(identity, finding, saying[0].record.boot_ns, stands=stands):
            del saying[0]
        new_in_register = read and (finding.count > 1 or not stands)
        if not saying:
            return News(finding, plugin) if new_in_register else None
        sources = (*(("poll",) if new_in_register else ()), *dict.fromkeys(one.record.stream for one in saying))
        return News(finding._replace(count=max(finding.count, len(saying))), plugin, sources, tuple(saying), read)

    def expect(self, identity: str, news: News, now_ns: int) -> None:
        """A look has found *news*: the records that have not come for it yet will."""
        counted = COUNTER in news.sources
        left = news.finding.count - len(news.heard) if counted else int(not news.heard)
        if self._streams and left > 0 and (counted or news.finding.evidence.location in (_UE, _CE)):
            self._expected[identity, news.finding.class_] = Expected(now_ns, news.finding, left, counted)

    def _is_expected(self, identity: str, finding: Finding, at_ns: int, *, stands: bool) -> bool:
        # True, as often as a look found it before its record came; a record of a severity speaks of any error of it.
        key = (identity, finding.class_)
        if finding.evidence.location == DEVICE_STATUS:
            ours = (known for known, one in self._expected.items() if (known[0], one.finding.severity) == (identity, finding.severity))
            key = next(ours, key)
        one = self._expected.get(key)
        if one is None or not one.comes(at_ns, stands=stands):
            return False
        if one.left > 1:
            self._expected[key] = one._replace(left=one.left - 1)
        else:
            del self._expected[key]
        return True


def timed(event: Ereport, news: News, when: Moment) -> Ereport:
    """*event* with the time of its record; of several, the last, with `first` and `last`. Never later than the look at *when*."""
    import msgspec  # noqa: PLC0415 - where nothing was heard there is nothing to make

    from pcifma.event.identity import utc  # noqa: PLC0415

    times = sorted(min(when.wall_ns, when.wall_ns - when.boot_ns + one.record.boot_ns) for one in news.heard)
    bounds = {"first": utc(times[0]), "last": utc(times[-1])} if news.finding.count > 1 else {}
    before = event.not_before if event.not_before is not None and event.not_before <= utc(times[0]) else None
    return msgspec.structs.replace(event, time=utc(times[-1]), not_before=before, **bounds)
