"""Register dumps in the format of `lspci -xxxx`, read by ten lines of our own so that no test leans on the capture reader."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus of real dumps is not at {CORPUS}")

_HEAD = re.compile(r"((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\s")
_ROW = re.compile(r"([0-9a-f]{2,3}): ((?:[0-9a-f]{2} ?){1,16})\s*$")


@dataclass(frozen=True, slots=True)
class Dumped:
    """One Function of a dump: address as written, with the segment, and its bytes."""

    bdf: str
    data: bytes

    def read(self, offset: int, length: int) -> bytes:
        """Bytes at *offset*; asking past the end is a mistake of the code under test."""
        assert offset + length <= len(self.data), f"read of {length} bytes at {offset:#x} past the end"
        return self.data[offset : offset + length]


def read_dump(path: Path) -> list[Dumped]:
    """Every Function of the dump at *path*, in order."""
    functions: list[Dumped] = []
    name, data = "", bytearray()
    for line in [*path.read_text(encoding="utf-8", errors="replace").splitlines(), "00:00.0 end"]:
        if head := _HEAD.match(line):
            if data:
                functions.append(Dumped(name if name.count(":") == 2 else f"0000:{name}", bytes(data)))
            name, data = head[1], bytearray()
        elif (row := _ROW.match(line)) and int(row[1], 16) == len(data):
            data += bytes.fromhex(row[2])
    return functions
