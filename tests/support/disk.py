"""What a disk holds after power loss, worked out from a trace of the system calls that wrote to it.

Only what fdatasync or fsync had promised is there: a write counts once a sync that began after it has ended, a name (of a file
made, renamed or removed) once a sync of its directory has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TRACE = ("strace", "-f", "-y", "-xx", "-s", "100000", "-e", "trace=pwrite64,write,fdatasync,fsync,ftruncate,unlink,rename,openat", "-o")
_CALL = re.compile(r"(\d+) +(\w+)\((?:\w+<([^>]*)>)?(.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (fdatasync|fsync) resumed>")


@dataclass
class File:
    """What is promised of a file, and what was written since: (offset, data), or (size, None) where it was cut."""

    promised: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self, upto: int) -> None:
        """The first *upto* pending writes are promised."""
        for offset, data in self.pending[:upto]:
            self.promised.extend(bytes(max(0, offset - len(self.promised))))
            if data is None:
                del self.promised[offset:]
            else:
                self.promised[offset : offset + len(data)] = data
        del self.pending[:upto]


class Disk:
    """The files in the directory *root*: `names` as running processes see them, `promised` as they survive."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.names: dict[str, File] = {}
        self.promised: dict[str, File] = {}
        self._syncs: dict[str, tuple[str, int, dict[str, File]]] = {}

    def run(self, trace: Iterable[str], mark: str) -> Iterator[bytes]:
        """Go through the lines of *trace*; before each `write` to the file *mark*, yield what it is about to write."""
        for line in trace:
            if (resumed := _RESUMED.match(line)) is not None:
                self._end(resumed[1])
            elif (call := _CALL.match(line)) is not None:
                pid, name, path, rest = call[1], call[2], _text(call[3] or ""), call[4]
                if name == "write" and path == f"{self.root}/{mark}":
                    yield _data(rest)
                elif name in ("unlink", "rename", "openat"):
                    self._rename(name, [_text(found) for found in re.findall(r'"([^"]*)"', rest)], create="O_CREAT" in rest)
                else:
                    self._change(pid, name, path, rest)

    def _rename(self, name: str, paths: list[str], *, create: bool) -> None:
        if not paths or Path(paths[0]).parent != Path(self.root):
            return
        if name == "openat" and create:
            self.names.setdefault(paths[0], File())
        elif name == "unlink":
            self.names.pop(paths[0], None)
        elif name == "rename":
            self.names[paths[1]] = self.names.pop(paths[0])

    def _change(self, pid: str, name: str, path: str, rest: str) -> None:
        file = self.names.get(path)
        if name in ("fdatasync", "fsync"):
            self._syncs[pid] = (path, len(file.pending) if file else 0, dict(self.names))
            if "unfinished" not in rest:
                self._end(pid)
        elif file is not None and name == "pwrite64":
            file.pending.append((_numbers(rest.split('"')[2])[1], _data(rest)))
        elif file is not None and name == "ftruncate":
            file.pending.append((_numbers(rest)[0], None))

    def _end(self, pid: str) -> None:
        path, upto, names = self._syncs.pop(pid)
        if path == self.root:
            self.promised = names
        elif path in names:
            names[path].sync(upto)

    def restore(self, root: Path) -> None:
        """Make the files that are left after power loss now, in the directory *root*."""
        for path, file in self.promised.items():
            (root / Path(path).name).write_bytes(file.promised)


def _text(escaped: str) -> str:
    return _data(f'"{escaped}"').decode()


def _data(rest: str) -> bytes:
    return bytes.fromhex(rest.split('"')[1].replace("\\x", ""))


def _numbers(rest: str) -> list[int]:
    return [int(number) for number in re.findall(r", (\d+)", rest)]
