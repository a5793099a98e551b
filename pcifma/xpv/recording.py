"""Recording: a trace kept in a file, and read again.

What the kernel prints (`cat trace`, `cat trace_pipe`, gzipped or not) can be read as it is. Our own recordings are that same text, with a
first line that says so, only the words that mean something (a failed fetch leaves kernel addresses behind: they never reach a file), and
a trailer: a recording without one was cut short.
"""

import gzip
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

from pcifma.errors import FormatError, SourceError, UsageError
from pcifma.xpv.call import Call
from pcifma.xpv.decode import DM_OP, HYPERCALL, MMAP, Decoder
from pcifma.xpv.line import Enter, Exit, Layer, Lost, Record, parse

MAGIC = "# pcifma-xpv 1"
TRAILER = "# end:"
_CREATE = ("domctl", "createdomain")
_LINE_BYTES = 1 << 16
_SPOOL_BYTES = 1 << 24
_GZIP = b"\x1f\x8b"
_OVERWRITTEN = re.compile(r"# entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})\s")


@dataclass(slots=True)
class Recording:
    """The lines of one recording.

    *name* is what messages call it; *incomplete* says, after reading, why it may not be whole ("" if it is).
    """

    name: str
    file: IO[bytes]
    incomplete: str = ""
    foreign: int = field(default=0)

    def records(self) -> Iterator[Record]:
        """Yield each record, from the beginning. Raises FormatError with file and line."""
        own = ended = False
        self.incomplete, self.foreign = "", 0
        for number, line in enumerate(self._lines(), 1):
            own = own or (number == 1 and line.startswith(MAGIC))
            if line.startswith("#"):
                ended = ended or line.startswith(TRAILER)
                yield from _overwritten(line)
                continue
            record = self._parsed(number, line)
            if record is not None:
                yield record
            else:
                self.foreign += bool(line.strip())
            if not line.endswith("\n"):
                self.incomplete = f"{self.name}:{number}: the last line has no end: it may be cut"
        if own and not ended:
            self.incomplete = f"{self.name}: ends without its trailer: the tracer died, or the file was cut"

    def _parsed(self, number: int, line: str) -> Record | None:
        try:
            return parse(line)
        except FormatError as err:
            raise FormatError(f"{self.name}:{number}: {err}") from None

    def _lines(self) -> Iterator[str]:
        self.file.seek(0)
        number = 0
        try:
            while raw := self.file.readline(_LINE_BYTES):
                number += 1
                if len(raw) == _LINE_BYTES and not raw.endswith(b"\n"):
                    raise FormatError(f"{self.name}:{number}: is longer than {_LINE_BYTES} bytes, no line of a trace: give tracefs text")
                yield raw.decode("utf-8", "backslashreplace")
        except (OSError, EOFError, zlib.error) as err:
            raise FormatError(f"{self.name}:{number + 1}: cannot be read on ({err}): the file is damaged; record again") from err

    def survey(self) -> tuple[Layer, bool]:
        """Return whose probes count here, and whether each return has a second one that must be waited for.

        Where a trace has probes in the kernel and in the C library, the kernel's count. Looks no further than the first return in the
        kernel.
        """
        returned: set[int] = set()
        layer: Layer = "library"
        try:
            for record in self.records():
                if isinstance(record, Lost) or record.layer != "kernel":
                    continue
                layer = "kernel"
                if isinstance(record, Exit):
                    if record.again:
                        return layer, True
                    returned.add(record.tid)
                elif record.tid in returned:
                    return layer, False
        except FormatError:
            pass  # the reader that shows the trace says it, after what comes before
        return layer, False


def _overwritten(line: str) -> Iterator[Record]:
    # The header of the trace file says how many events the ring buffer kept of those it was given.
    found = _OVERWRITTEN.match(line)
    if found and int(found[2]) > int(found[1]):
        yield Lost(-1, int(found[2]) - int(found[1]))


@contextmanager
def opened(path: str) -> Iterator[Recording]:
    """Open the recording *path* (`-` for standard input), gzipped or not. Raises SourceError if there is none."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        if path == "-":
            shutil.copyfileobj(sys.stdin.buffer, spool)
            yield _unpacked("<standard input>", spool)
            return
        with _file(path) as file:
            if not file.seekable():
                shutil.copyfileobj(file, spool)
            yield _unpacked(path, file if file.seekable() else spool)


def _file(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}: name a recording, tracefs text or one made by `pcifma trace run -o`") from err


def _unpacked(name: str, file: IO[bytes]) -> Recording:
    file.seek(0)
    packed = file.read(2) == _GZIP
    file.seek(0)
    return Recording(name, cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file)


def created(path: str) -> BinaryIO:
    """Return the file *path*, made anew, for a recording. Raises UsageError if it cannot be written."""
    try:
        return Path(path).open("wb")
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror}: give -o a file that can be written") from err


def header(clock: str, layer: Layer, kernel: str) -> str:
    """Return the first lines of our own recording: the format, the trace clock, whose probes, and the kernel's release."""
    return f"{MAGIC}\n# clock: {clock}\n# probes: {layer}\n# kernel: {kernel}\n"


def trailer(events: int, lost: int) -> str:
    """Return the last line of our own recording."""
    return f"{TRAILER} events={events} lost={lost}\n"


@dataclass(slots=True)
class Writer:
    """Writes records as our own recording to *file*; *events* counts them."""

    file: BinaryIO
    events: int = 0
    _decoder: Decoder = field(default_factory=Decoder)
    _open: dict[int, tuple[Call, ...]] = field(default_factory=dict)

    def write(self, record: Record) -> None:
        """Write *record* with only the words that mean something for its calls."""
        self.events += 1
        if isinstance(record, Lost):
            self._put(f"CPU:{max(0, record.cpu)} [LOST {record.count} EVENTS]\n")
        elif isinstance(record, Enter):
            calls = tuple(self._decoder.calls(record))
            self._open[record.tid] = calls
            if calls:
                self._put(_enter_text(record, calls))
        elif calls := self._open.pop(record.tid, ()):
            self._put(_exit_text(record, calls))

    def _put(self, text: str) -> None:
        self.file.write(text.encode("ascii", "replace"))


def _prefix(record: Enter | Exit, event: str) -> str:
    comm = "".join(char if char.isascii() and char.isprintable() else "?" for char in record.comm)[:16]
    return f"{comm:>16}-{record.tid:<7} [{record.cpu:03d}] {record.time_ns // 10**9}.{record.time_ns % 10**9:09d}: {event}:"


def _list(key: str, words: tuple[int, ...]) -> str:
    return f" {key}={{{','.join(f'{word:#x}' for word in words)}}}" if words else ""


def _enter_text(record: Enter, calls: tuple[Call, ...]) -> str:
    names = ("op", "a0", "a1", "a2", "a3", "a4")
    size = (record.command >> 16 & 0x3FFF) + 7 >> 3  # the ioctl's number has the size of its structure
    text = f"{_prefix(record, 'enter' if record.layer == 'kernel' else 'ioc')} cmd={record.command:#x}"
    text += "".join(f" {name}={word:#x}" for name, word in zip(names[:size], record.words, strict=False))
    if record.command == HYPERCALL:
        return text + _hypercall_text(record, calls) + "\n"
    if record.command == DM_OP and calls[0].site[0] == "dm_op" and calls[0].site[1]:
        return text + _list("d", record.behind0[:1]) + _list("q", record.buffer[:1]) + "\n"
    if record.command == MMAP:
        return text + _list("d", record.behind0[: 3 * len(calls[0].elements)]) + "\n"
    return text + "\n"


def _hypercall_text(record: Enter, calls: tuple[Call, ...]) -> str:
    first = calls[0]
    if record.words[0] != 13:
        held = len(first.struct) // 8
        own = held and first.struct == _packed(record.behind0)
        return _list("d", record.behind0) if own else _list("m", record.behind1 if held else ())
    real = [call for call in calls if call.site[0] != "multicall"]
    nested = tuple(record.nested[i] if call.struct else () for i, call in enumerate(real) if i < len(record.nested))
    keys = ("n", "nb", "nc", "nd")
    return _list("d", record.behind0[: 8 * len(real)]) + "".join(_list(key, words) for key, words in zip(keys, nested, strict=False))


def _packed(words: tuple[int, ...]) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words)


def _exit_text(record: Exit, calls: tuple[Call, ...]) -> str:
    text = f"{_prefix(record, 'exit' if record.layer == 'kernel' else 'iocr')} ret={record.result}"
    # Only results inside multicall entries, and a new domain's id, are ever looked at again.
    places = [call.entry * 8 + 1 for call in calls if call.entries > 1 or call.site[0] == "memory_op" or call.site == _CREATE]
    if record.op is None or not any(place < len(record.behind0) for place in places):
        return text + "\n"
    kept = [word if place in places else 0 for place, word in enumerate(record.behind0)]
    return f"{text} op={record.op}{_list('r', tuple(kept))}\n"


@dataclass(slots=True)
class Copy:
    """Writes *recording*, as it is read, as our own to the file *path*; does nothing if *path* is None.

    A context; refuses to copy onto itself.
    """

    recording: Recording
    path: str | None
    _file: BinaryIO | None = None

    def __enter__(self) -> "Copy":
        """Make the file. Raises UsageError if it cannot be, or is the recording itself."""
        if self.path is not None:
            if os.path.realpath(self.path) == os.path.realpath(self.recording.name):
                raise UsageError(f"{self.path}: is the recording itself: give -o another file")
            self._file = created(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def records(self, decoder: Decoder) -> Iterator[Record]:
        """Yield the recording's records, and write those that *decoder* takes."""
        if self._file is None:
            yield from self.recording.records()
            return
        writer = Writer(self._file)
        self._file.write(header("as recorded", decoder.layer, "as recorded").encode())
        for record in self.recording.records():
            if decoder.takes(record):
                writer.write(record)
            yield record
        self._file.write(trailer(writer.events, decoder.lost).encode())
