"""A log as a stream of bytes that can be read twice: once for its identity, once for what it says. Packed logs are unpacked on the way."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import sys
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pcifma.access.kernlog.reader import reports
from pcifma.access.kernlog.report import AnyReport
from pcifma.access.kernlog.unread import bytes_begin, speak_of_errors
from pcifma.access.pipe import open_input
from pcifma.errors import FormatError, SourceError

_FORMS = "give a file of kernel, firmware or tool output (text, or packed by gzip, xz or bzip2), or - for standard input"
_CHUNK = 1 << 20
_IN_MEMORY = 16 << 20
_PACKED = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\x00", lzma.open), (b"BZh", bz2.open))
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True, slots=True)
class Log:
    """*name* is the file's name (`stdin` for `-`), *boot* a version 5 uuid of its bytes, *stream* stands at its start."""

    path: str
    name: str
    boot: str
    stream: BinaryIO

    def reports(self) -> Iterator[AnyReport]:
        """What the log reports. FormatError where packed data is damaged."""
        try:
            yield from reports(self.stream)
        except _DAMAGE as err:
            raise FormatError(f"{self.path}: cannot be unpacked to its end ({err}): unpack it, and decode what came out") from None

    def speaks_of_errors(self) -> tuple[int, ...]:
        """The first lines that speak of errors at all, in whatever form; for a log that has been read to its end."""
        self.stream.seek(0)
        return speak_of_errors(self.stream)

    def bytes_begin(self) -> int | None:
        """The first line that is a row of configuration space: of a capture, which is no log."""
        self.stream.seek(0)
        return bytes_begin(self.stream)


@contextmanager
def open_log(arg: str) -> Iterator[Log]:
    """The log in the file *arg*, `-` for standard input. SourceError if it cannot be opened."""
    name = "stdin" if arg == "-" else Path(arg).name
    with ExitStack() as stack:
        try:
            raw = sys.stdin.buffer if arg == "-" else stack.enter_context(open_input(arg))
            stream = raw if raw.seekable() else stack.enter_context(_spooled(raw))
            boot = _identity(stream)
        except OSError as err:
            raise SourceError(f"{arg}: {err.strerror or err}: {_FORMS}") from None
        yield Log("standard input" if arg == "-" else arg, name, boot, _unpacked(stream))


@contextmanager
def _spooled(raw: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        while chunk := raw.read(_CHUNK):
            spool.write(chunk)
        spool.seek(0)
        yield cast(BinaryIO, spool)


def _identity(stream: BinaryIO) -> str:
    digest = hashlib.sha1(uuid.NAMESPACE_OID.bytes, usedforsecurity=False)
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    stream.seek(0)
    return str(uuid.UUID(bytes=digest.digest()[:16], version=5))


def _unpacked(stream: BinaryIO) -> BinaryIO:
    head = stream.read(6)
    stream.seek(0)
    opener = next((opener for magic, opener in _PACKED if head.startswith(magic)), None)
    return stream if opener is None else cast(BinaryIO, opener(stream, "rb"))
