"""Lines of a log, rid of what stands before the message: mail quotes, syslog and journal headers, time stamps, console prefixes.

A long line is read in pieces and two messages that two CPUs wrote into one line are told apart, so memory stays bounded and no
message hides behind another. A line that a mail program wrapped is put together again. Line numbers are the file's.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import repeat
from typing import BinaryIO

from pcifma.access.kernlog.envelope import Opened, opened

# No kernel writes a message longer than 1 KiB; what is longer is no message, but may still hold some.
PIECE_CHARS = 4096
_JOIN_CHARS = 600
_JOINS = 3
_REPEATS, _ALL_REPEATS = 1000, 100_000  # of one line, and of all in one log, however often it says that they came

BDF = r"(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]"


@dataclass(frozen=True, slots=True)
class Line:
    """A message: *number* of its (first) line from 1, *text* without prefixes, the kernel's stamp in ns, wall time in ns.

    *wall_ns* is set only where the stamp has a year and a zone. *stamped*: some prefix of a log stood before it.
    """

    number: int
    text: str
    boot_ns: int | None = None
    wall_ns: int | None = None
    stamped: bool = False


_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_EMBEDDED = re.compile(r"(?=\[ {0,12}\d{1,12}\.\d{6}\])")

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_FACILITY = r"(?:kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local[0-7])"
_LEVEL = r"(?:emerg|alert|crit|err|warn|notice|info|debug)"

_STAMP = re.compile(
    r"\[ {0,12}(?P<seconds>\d{1,12})\.(?P<part>\d{3,9})(?: {1,8}[TC]\d{1,9}| <[ \d.]{1,20}>)?\]\s?(?:\[ {0,12}[TC]\d{1,9}\] ?)?"
)
_ISO = re.compile(
    rf"(?:{_DAY} )?(?P<day>\d{{4}}-\d\d-\d\d)[T ](?P<time>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{{1,9}}))?"
    r"(?: ?(?P<zone>Z|[+-]\d\d:?\d\d)| [A-Z]{3,5}(?= ))?(?= |$)[ :]{0,2}"
)
_KMSG = re.compile(r"(?:\d{1,3}),\d{1,20},(?P<us>\d{1,20}),[-c+][^;]{0,80};")
_CTIME = re.compile(
    rf"\[?(?:{_DAY} )?{_MONTH} {{1,2}}\d{{1,2}} (?:\d{{4}} )?\d\d:\d\d:\d\d(?:\.\d{{1,9}})?"
    r"(?: \d{4}(?=[\] ]))?\]? ?"
)
_HOST = re.compile(r"(?:[\w.:()-]{1,64} {1,2}){0,3}(?:kernel|vmkernel|vmkwarning|rasdaemon|mcelog|klogd|vmunix)(?:\[\d{1,9}\])?: ?")
# RFC 5424: version, time, then host, program, its process and message id, and structured data.
_VERSION = re.compile(r"1 (?=\d{4}-\d\d-\d\dT)")
_STRUCTURED = re.compile(r"[\w.:-]{1,255} kernel - \S{1,32} (?:-|\[[^\]]{0,300}\]) ?")
# `dmesg -H`: the date once a minute, between them the time since the last line.
_DELTA = re.compile(rf"\[(?:{_MONTH}\d{{1,2}} \d\d:\d\d| {{1,4}}\+\d{{1,4}}\.\d{{6}}|<[ \d.]{{1,20}}>)\] ?")
_FILE = re.compile(r"[\w./+-]{0,200}(?:log|messages|dmesg)[\w.+-]{0,64}:(?:\d{1,9}:)?")  # of grep over several files
_PLAIN = (
    _CTIME,
    _DELTA,
    _HOST,
    _VERSION,
    _STRUCTURED,
    _FILE,
    re.compile(r"<\d{1,3}>"),
    re.compile(rf"{_FACILITY} {{0,4}}:{_LEVEL} {{0,4}}: ?"),
    re.compile(r"\[ {0,12}[TC]\d{1,9}\] ?"),
    re.compile(r"cpu\d{1,5}:\d{1,12}\) ?"),
    re.compile(r"MESSAGE="),
    re.compile(r"\(XEN\)(?: |$)"),
)
_QUOTE = re.compile(r"(?:>(?=[ >\[]|$) ?){1,20}")


def lines(source: BinaryIO, wanted: Callable[[str], bool] = bool) -> Iterator[Line]:
    """Messages of *source*, in order, wrapped ones put together. Bytes that are no UTF-8 become replacement characters.

    Physical lines that are not *wanted* are passed over.
    """
    return _joined(piece for number, text in _unfolded(_physical(source), wanted) for piece in _pieces(number, text))


def strip(number: int, text: str) -> Line:
    """One message of line *number* without its prefixes."""
    if text.startswith(">"):
        text = _QUOTE.sub("", text, count=1)
    boot: int | None = None
    wall: int | None = None
    stamped = False
    while True:
        # Spaces before a prefix are none of the message's own indentation.
        bare = text.lstrip(" ") if stamped or text[:1] == " " else text
        if match := _STAMP.match(bare):
            boot = int(match["seconds"]) * 10**9 + int(match["part"].ljust(9, "0"))
        elif match := _ISO.match(bare):
            wall = _wall(match)
        elif match := _KMSG.match(bare):
            boot = int(match["us"]) * 1000
        elif (match := _other(bare)) is None:
            return Line(number, text, boot, wall, stamped)
        text, stamped = bare[match.end() :], True


def _other(text: str) -> re.Match[str] | None:
    return next((match for pattern in _PLAIN if (match := pattern.match(text))), None)


def _physical(source: BinaryIO) -> Iterator[tuple[int, str]]:
    stream = io.TextIOWrapper(source, encoding=_encoding(source), errors="replace", newline="\n")
    number, fresh = 0, True
    while text := stream.readline(PIECE_CHARS):
        number += fresh
        fresh = text.endswith("\n")
        yield number, text
    stream.detach()


# How syslog says that a line came again: klogd's about the line before, rsyslog's with the line in it.
_FOLDED = re.compile(
    r"(?:last message repeated (?P<before>\d{1,9}) times|message repeated (?P<times>\d{1,9}) times: \[ ?(?P<what>.*)\])\s*$"
)


def _unfolded(physical: Iterable[tuple[int, str]], wanted: Callable[[str], bool]) -> Iterator[tuple[int, str]]:
    # A small log that claims many repeats must not take long.
    last, left = "", _ALL_REPEATS
    for number, text in physical:
        match = _FOLDED.search(text) if "repeated" in text else None
        if match is None:
            last = text
            if wanted(text):
                yield number, text
            continue
        again = last if match["what"] is None else f"{text[: match.start()]}{match['what']}\n"
        times = min(int(match["before"] or match["times"]), _REPEATS, left)
        left -= times
        if wanted(again):
            yield from repeat((number, again), times)


def _encoding(source: BinaryIO) -> str:
    # Terminal programs on Windows save their scroll-back as UTF-16.
    if not source.seekable():
        return "utf-8"
    head = source.read(2)
    source.seek(-len(head), io.SEEK_CUR)
    return "utf-16" if head in (b"\xff\xfe", b"\xfe\xff") else "utf-8"


def _pieces(number: int, text: str) -> Iterator[Line]:
    for part in text.rstrip("\r\n").split("\r"):
        envelope = opened(part)
        for message in envelope.messages:
            for line in _stamped(number, _CONTROL.sub("", message)):
                yield line if envelope.wall_ns is None and envelope.boot_ns is None else _timed(line, envelope)


def _timed(line: Line, envelope: Opened) -> Line:
    boot = envelope.boot_ns if line.boot_ns is None else line.boot_ns
    return replace(line, boot_ns=boot, wall_ns=envelope.wall_ns if line.wall_ns is None else line.wall_ns)


def _stamped(number: int, text: str) -> Iterator[Line]:
    wall: int | None = None  # of a header that stands before the message's own stamp
    for piece in _EMBEDDED.split(text) if "[" in text[1:] else (text,):
        line = strip(number, piece.rstrip())
        if line.text.strip():
            yield replace(line, wall_ns=wall) if wall is not None and line.wall_ns is None else line
        wall = line.wall_ns if not line.text.strip() else None


def wall_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of the date, time and zone that *text* begins with; None if one of them is missing."""
    match = _ISO.match(text)
    return _wall(match) if match else None


def _wall(match: re.Match[str]) -> int | None:
    if match["zone"] is None:
        return None
    zone = "+00:00" if match["zone"] == "Z" else match["zone"]
    try:
        moment = datetime.strptime(f"{match['day']} {match['time']} {zone}", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return None  # digits of the right shape that are no date
    seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return seconds * 10**9 + int((match["part"] or "").ljust(9, "0"))


# A message that cannot end where its line ends; and what begins a message of its own, whatever stands before it.
_INCOMPLETE = re.compile(
    r"(?<!aer_event: )[0-9a-f]\.[0-7]: .{0,8}(?:PCI-?[eE]|CXL) Bus Error(?!.*ID\)?)"
    r"|device \[[0-9a-f]{4}:[0-9a-f]{4}\](?!.*/[0-9a-f]{8})"
    r"|TLP Header[^:]{0,8}:(?:\s{1,4}(?:0x)?[0-9a-f]{8}){0,3}$"
    r"|error (?:message )?received(?: from|:)?$"
    r"|AER: (?:Multiple )?(?:Un)?[Cc]orrect\w{2,4}(?: \((?:Non-)?Fatal\))?(?: error(?: message)?)?$"
    r"|containment event(?!.*status:0x[0-9a-f]{4})"
    r"|(?:\[Hardware Error\]|aer_event|AER|DPC|EEH): .*[,:=(]$"
)
_STARTS = re.compile(
    rf"\S{{0,64}} ?{BDF}(?!$)|\{{\d+\}}|\[Hardware Error\]|EEH: |PHB\d|[A-Za-z0-9]{{3,12}}: {{2,}}[0-9a-f]{{8}}"
    r"|\+---|Error Severity|PCIE Bus Error|\w+ ID\s*:|VendorID|TL[BP] Header:|[A-Z][A-Za-z _-]{2,40}\t"
    r"|\s|e?cap |PCI-e errors|Fault class|TIME |nvlist|--|[{}<#]"
)


def _joined(pieces: Iterable[Line]) -> Iterator[Line]:
    held: Line | None = None
    joins, last = 0, 0
    for piece in pieces:
        if held is not None and joins < _JOINS and piece.number == last + 1 and _continues(held, piece):
            held = replace(held, text=_together(held.text, piece.text))
            joins += 1
        else:
            if held is not None:
                yield held
            held, joins = piece, 0
        last = piece.number
    if held is not None:
        yield held


def _continues(held: Line, piece: Line) -> bool:
    if piece.stamped or len(held.text) + len(piece.text) > _JOIN_CHARS:
        return False
    return held.text.endswith("=") or (_INCOMPLETE.search(held.text) is not None and _STARTS.match(piece.text) is None)


# Mail in quoted-printable ends a line that goes on with an equals sign; after these words it is the message's own.
_OWN_EQUALS = re.compile(r"(?:status/mask|severity|type|id|layer|agent)=$")


def _together(held: str, piece: str) -> str:
    if not held.endswith("="):
        return f"{held} {piece.strip()}"
    return held + piece.strip() if _OWN_EQUALS.search(held) else held[:-1] + piece.rstrip()
