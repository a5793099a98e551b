"""A tar of texts, written whole or not at all, readable for its owner alone; the same files give the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from pcifma.errors import UsageError

SUMS = "SHA256SUMS"


def write(target: Path, top: str, files: Mapping[str, str], mtime: int) -> None:
    """Write *files* (by name) below the directory *top* into the tar *target*, with their hashes; UsageError if it cannot be."""
    data = packed(top, files, mtime)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(fd)
            unfinished.replace(target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as err:
        raise UsageError(f"{target}: cannot be written: {err.strerror}: give another with -o") from err


def packed(top: str, files: Mapping[str, str], mtime: int) -> bytes:
    """The tar's bytes."""
    bodies = {name: text.encode() for name, text in files.items()}
    bodies[SUMS] = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in sorted(bodies.items())).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, body in sorted(bodies.items()):
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size, info.mtime, info.mode = len(body), mtime, 0o644
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()
