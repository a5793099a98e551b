"""Elf: where in a shared library's file a function begins, which is what a uprobe wants.

Only what that needs of the ELF format is read (System V ABI, 64-bit, little endian): the dynamic symbols, and the load segment they fall
into.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from pcifma.errors import FormatError, SourceError

_SHT_DYNSYM, _PT_LOAD = 11, 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")


def function_offset(path: str, name: str) -> int:
    """Return the offset in the file *path* of the exported function *name*.

    Raises SourceError if the file cannot be read, FormatError if it is no 64-bit library or does not export the function.
    """
    try:
        image = Path(path).read_bytes()
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}: name the C library of the traced programs") from err
    if image[:6] != b"\x7fELF\x02\x01":
        raise FormatError(f"{path}: is no 64-bit little-endian ELF file: name the C library of the traced programs")
    try:
        for address in _addresses(image, name.encode()):
            for kind, _, offset, start, _, size, *_ in _table(image, _SEGMENT, *_segments(image)):
                if kind == _PT_LOAD and start <= address < start + size:
                    return int(offset + address - start)
    except (struct.error, IndexError, OverflowError) as err:
        raise FormatError(f"{path}: is damaged ({err}): name the C library of the traced programs") from err
    raise FormatError(f"{path}: exports no function {name}: name the C library of the traced programs")


def _segments(image: bytes) -> tuple[int, int, int]:
    fields = _HEADER.unpack_from(image)
    return fields[5], fields[9], fields[10]


def _table(image: bytes, row: struct.Struct, offset: int, size: int, count: int) -> Iterator[tuple[int, ...]]:
    for index in range(count):
        yield row.unpack_from(image, offset + index * size)


def _addresses(image: bytes, name: bytes) -> Iterator[int]:
    fields = _HEADER.unpack_from(image)
    sections = list(_table(image, _SECTION, fields[6], fields[11], fields[12]))
    for section in sections:
        if section[1] != _SHT_DYNSYM:
            continue
        strings = sections[section[6]][4]
        for symbol, _, _, defined, value, _ in _table(image, _SYMBOL, section[4], _SYMBOL.size, section[5] // _SYMBOL.size):
            start = strings + symbol
            if defined and image[start : start + len(name) + 1] == name + b"\0":
                yield value
