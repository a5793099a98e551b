"""Files that users name as SOURCE: read whole, within bounds; and the boot id that stands for their bytes."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

from pcifma.access.capture import REMEDY
from pcifma.access.pipe import open_input
from pcifma.errors import FormatError, SourceError

FORMS = "give nothing, -, a sysfs root, a file of `lspci -xxxx` text, a fixture directory, or a tar of one"
FILE_LIMIT = 64 << 20  # 4,600 Functions with 4,096 bytes each


def boot_of(data: bytes) -> str:
    """The boot id of a recording: a version 5 uuid of its bytes."""
    return str(uuid.UUID(bytes=hashlib.sha1(uuid.NAMESPACE_OID.bytes + data).digest()[:16], version=5))


def read_file(path: Path) -> bytes:
    try:
        with open_input(str(path)) as file:
            return limited(file.read(FILE_LIMIT + 1), str(path))
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}: {FORMS}") from None


def limited(data: bytes, name: str) -> bytes:
    if len(data) > FILE_LIMIT:
        raise FormatError(f"{name}:1: larger than {FILE_LIMIT >> 20} MiB: {REMEDY}, of one machine")
    return data
