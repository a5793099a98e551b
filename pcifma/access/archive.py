"""Tars of a fixture, read into memory: nothing is ever written to disk, and no name or link can lead out of the archive.

The reader is our own because tarfile of Python 3.11 to 3.13 can be made to loop (CVE-2025-8194) and to take quadratic time
(CVE-2024-6232), and a SOURCE comes from strangers. It takes what tar, busybox and bsdtar write: ustar, GNU and pax names
(POSIX.1-2024, pax; GNU tar manual, "Basic Tar Format").
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from pcifma.errors import FormatError

SIZE_LIMIT = 128 << 20  # unpacked; a host with 4,600 Functions of 4,096 bytes has 70 MiB
MEMBER_LIMIT = 200_000
NAME_LIMIT = 4096  # PATH_MAX
_BLOCK = 512
_FILE, _HARD, _SYMBOLIC, _DIRECTORY, _PAX, _PAX_ALL, _LONG_NAME, _LONG_LINK = "0", "1", "2", "5", "x", "g", "L", "K"
REMEDY = "make it again with `tar -cf` or pcifma-collect"


@dataclass(slots=True)
class Archive:
    """Regular files and symbolic links by their path, `/` between the parts and none in front."""

    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    kind: str
    target: str
    data: memoryview


def is_archive(data: bytes) -> bool:
    """Whether *data* is a tar (as its first header says)."""
    return data[257:262] == b"ustar"


def unpack(data: bytes, file: str) -> bytes:
    """*data*, unpacked where it is packed by gzip, xz or bzip2. *file* stands in messages. FormatError."""
    known = next((row for row in _PACKED if data.startswith(row[0])), None)
    if known is None:
        return data
    _, name, unpacked = known
    try:
        plain, whole = unpacked(data)
    except ValueError as err:
        raise FormatError(f"{file}: not a whole {name} file: {err}: copy it again") from None
    if len(plain) > SIZE_LIMIT:
        raise FormatError(f"{file}: unpacks to more than {SIZE_LIMIT >> 20} MiB: give the tar of one fixture")
    if not whole:
        raise FormatError(f"{file}: the {name} file is cut short: copy it again")
    return plain


def _gunzip(data: bytes) -> tuple[bytes, bool]:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        return unpacker.decompress(data, SIZE_LIMIT + 1), unpacker.eof
    except zlib.error as err:
        raise ValueError(str(err)) from None


def _unxz(data: bytes) -> tuple[bytes, bool]:
    import lzma  # noqa: PLC0415 - few files are packed so, and the library is large

    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=SIZE_LIMIT)
    try:
        return unpacker.decompress(data, SIZE_LIMIT + 1), unpacker.eof
    except (lzma.LZMAError, EOFError) as err:
        raise ValueError(str(err)) from None


def _bunzip2(data: bytes) -> tuple[bytes, bool]:
    import bz2  # noqa: PLC0415 - see above

    unpacker = bz2.BZ2Decompressor()
    try:
        return unpacker.decompress(data, SIZE_LIMIT + 1), unpacker.eof
    except (OSError, EOFError) as err:
        raise ValueError(str(err)) from None


# What a file begins with, what it is then, and what unpacks it: the bytes, and whether they are all there.
_PACKED = ((b"\x1f\x8b", "gzip", _gunzip), (b"\xfd7zXZ\x00", "xz", _unxz), (b"BZh", "bzip2", _bunzip2))


def read_archive(data: bytes, file: str) -> Archive:
    """All files and links of a tar. *file* stands in messages. FormatError."""
    found = Archive()
    for number, member in enumerate(_members(memoryview(data), file)):
        if number >= MEMBER_LIMIT:
            raise FormatError(f"{file}: more than {MEMBER_LIMIT} files in it: give the tar of one fixture")
        name = _clean(member.name, file)
        if member.kind == _FILE and name:
            found.files[name] = bytes(member.data)
        elif member.kind == _SYMBOLIC and name:
            found.links[name] = member.target
        elif member.kind == _HARD and name:
            _link_hard(found, name, _clean(member.target, file), file)
    return found


def _link_hard(found: Archive, name: str, target: str, file: str) -> None:
    if target not in found.files:
        raise FormatError(f"{file}: {name!r} is a hard link to {target!r}, which is not in the archive before it: {REMEDY}")
    found.files[name] = found.files[target]


def _members(data: memoryview, file: str) -> Iterator[_Member]:
    # Long names come as members of their own that speak of the next one.
    at, extra = 0, dict[str, str]()
    while at + _BLOCK <= len(data) and any(header := bytes(data[at : at + _BLOCK])):
        _check_sum(header, file, at)
        size = _number(header[124:136], file, at)
        if "size" in extra and extra["size"].isdecimal() and len(extra["size"]) < 16:
            size = int(extra["size"])
        kind = header[156:157].decode("latin-1").replace("\0", _FILE).replace("7", _FILE)
        body = data[at + _BLOCK : at + _BLOCK + size]
        if len(body) < size:
            raise FormatError(f"{file}: cut short: the member at byte {at} has {len(body)} of its {size} bytes: copy it again")
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
        if kind in (_LONG_NAME, _LONG_LINK):
            extra["path" if kind == _LONG_NAME else "linkpath"] = _text(bytes(body[: NAME_LIMIT + 1]))
        elif kind == _PAX:
            extra.update(_pax(bytes(body), file))
        elif kind != _PAX_ALL:
            yield _Member(extra.get("path", _name(header)), kind, extra.get("linkpath", _text(header[157:257])), body)
            extra = {}


def _name(header: bytes) -> str:
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{_text(header[:100])}" if prefix else _text(header[:100])


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")


def _number(raw: bytes, file: str, at: int) -> int:
    if raw[0] & 0x80:  # GNU: base 256
        value = int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:], "big")
    else:
        digits = raw.strip(b" \0") or b"0"
        value = int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else -1
    if not 0 <= value <= SIZE_LIMIT:
        raise FormatError(f"{file}: the size of the member at byte {at} is no such number: {REMEDY}")
    return value


def _check_sum(header: bytes, file: str, at: int) -> None:
    said = header[148:156].strip(b" \0")
    real = sum(header[:148]) + 8 * 0x20 + sum(header[156:])
    if not said.isdigit() or set(said) & set(b"89") or int(said, 8) != real:
        raise FormatError(f"{file}: the tar is damaged at byte {at}: {REMEDY}")


def _pax(body: bytes, file: str) -> dict[str, str]:
    # Records `length key=value\n`, the length counting all of the record.
    found: dict[str, str] = {}
    at = 0
    while at < len(body):
        digits = body[at : at + 20].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = body[at + len(digits) + 1 : at + length - 1]
        if length <= len(digits) + 1 or at + length > len(body):
            raise FormatError(f"{file}: a pax header is damaged: {REMEDY}")
        key, _, value = record.partition(b"=")
        if key in (b"path", b"linkpath", b"size"):
            found[key.decode()] = value[: NAME_LIMIT + 1].decode("utf-8", "replace")
        at += length
    return found


def _clean(name: str, file: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or len(name) > NAME_LIMIT or "\0" in name:
        raise FormatError(f"{file}: {name[:80]!r} leads out of the archive: {REMEDY}")
    return "/".join(parts)
