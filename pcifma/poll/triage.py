"""Triage: the few registers whose change means trouble, read for all Functions at once.

One entry is one read of one Function. Where Functions are files, a look is one C-level map of pread over all of them, compared as a
list with the look before; nothing else happens on a quiet machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

from pcifma.access.seam import ConfigSpace, Machine
from pcifma.errors import ReadError
from pcifma.plugin.watch import Watch
from pcifma.poll.target import Watched
from pcifma.regs.table import Location

# Makes a function that reads (space, offset, length) of many Functions at once, again and again; None for what could not be read.
# Given by a daemon that has deadlines.
BatchReader = Callable[[Sequence[tuple[ConfigSpace, int, int]]], Callable[[], list[bytes | None]]]

_SPAN_LIMIT = 64  # bytes; saturated AER is 20


class Entry(NamedTuple):
    """One read of the target with index *owner*: *length* bytes at *offset*; only a change within *mask* (little-endian) counts.
    *parts* says which locations lie in it, and where.
    """

    owner: int
    config: ConfigSpace
    offset: int
    length: int
    mask: int
    parts: tuple[tuple[Location, int], ...]


class Triage:
    """Entries of one tier. *changed* names the owners whose masked bytes differ from what was last seen, or could not be read."""

    def __init__(self, entries: Sequence[Entry], targets: Sequence[Watched], reader: BatchReader | None = None) -> None:
        self._entries = list(entries)
        self._reader = reader([(e.config, e.offset, e.length) for e in self._entries]) if reader is not None else None
        self._by_owner: dict[int, list[int]] = {}
        for index, entry in enumerate(self._entries):
            self._by_owner.setdefault(entry.owner, []).append(index)
        self._last: list[bytes | None] = [None] * len(self._entries)
        for owner in self._by_owner:
            self.note(owner, targets[owner])
        self._files = _descriptors(self._entries) if reader is None else None

    def __len__(self) -> int:
        return len(self._entries)

    def note(self, owner: int, target: Watched) -> None:
        """A snapshot of *owner* was taken: from now on a difference from its words is a change."""
        for index in self._by_owner.get(owner, ()):
            self._last[index] = _seen(self._entries[index], target)

    def forget(self, owner: int) -> None:
        """*owner* could not be looked at whole: whatever it answers next is a change, also what was seen just before."""
        for index in self._by_owner.get(owner, ()):
            self._last[index] = None

    def changed(self) -> list[int]:
        """Read every entry; the owners (each once, in order) with a difference."""
        now = self._read()
        before, self._last = self._last, now
        if now == before:
            return []
        found = [e.owner for e, new, old in zip(self._entries, now, before, strict=True) if new != old and _differs(e, new, old)]
        return list(dict.fromkeys(found))

    def _read(self) -> list[bytes | None]:
        if self._reader is not None:
            return self._reader()
        if self._files is not None:
            descriptors, lengths, offsets = self._files
            try:
                return list(map(os.pread, descriptors, lengths, offsets))
            except OSError:
                pass  # one of them failed: each by itself says which
        return [_read_one(entry) for entry in self._entries]


def entries(machine: Machine, targets: Sequence[Watched], select: Callable[[Watched, Watch], bool], skipped: set[int]) -> list[Entry]:
    """One entry for each run of selected registers of a target; declared registers between two of them are read along."""
    found: list[Entry] = []
    for owner, target in enumerate(targets):
        if owner not in skipped and target.subject.function is not None:
            found += _entries_of(machine, owner, target, [w for _, w in target.watches if select(target, w)])
    return found


def _entries_of(machine: Machine, owner: int, target: Watched, watches: Iterable[Watch]) -> list[Entry]:
    function = target.subject.function
    config = machine.configs.get(function.bdf) if function is not None else None
    if function is None or config is None:
        return []
    masks: dict[tuple[int, Location], int] = {}
    for watch in watches:
        base = function.offset_of(watch.location.capability, watch.location.number) if watch.location is not None else None
        if watch.location is not None and base is not None:
            key = (base + watch.location.offset, watch.location)
            masks[key] = masks.get(key, 0) | watch.mask
    declared = _declared_bytes(target)
    found: list[Entry] = []
    for (offset, location), mask in sorted(masks.items(), key=lambda item: item[0][0]):
        one = Entry(owner, config, offset, location.width, mask & (1 << 8 * location.width) - 1, ((location, 0),))
        joined = _joined(found[-1], one, declared) if found else None
        found[-1:] = [joined] if joined is not None else [*found[-1:], one]
    return found


def _declared_bytes(target: Watched) -> set[int]:
    return {byte for span in target.plan.spans if span.other is None for byte in range(span.offset, span.offset + span.length)}


def _joined(first: Entry, second: Entry, declared: set[int]) -> Entry | None:
    length = second.offset + second.length - first.offset
    gap = range(first.offset + first.length, second.offset)
    if length > _SPAN_LIMIT or not all(byte in declared for byte in gap):
        return None
    start = second.offset - first.offset
    parts = first.parts + tuple((location, start + at) for location, at in second.parts)
    return Entry(first.owner, first.config, first.offset, length, first.mask | second.mask << 8 * start, parts)


def _seen(entry: Entry, target: Watched) -> bytes | None:
    if target.before is None:
        return None
    data = bytearray(entry.length)
    for location, start in entry.parts:
        word = target.before.word(location)
        if word is None:
            return None
        data[start : start + location.width] = word.to_bytes(location.width, "little")
    return bytes(data)


def _differs(entry: Entry, new: bytes | None, old: bytes | None) -> bool:
    if new is None or old is None or len(new) != entry.length:
        return True
    return bool((int.from_bytes(new, "little") ^ int.from_bytes(old, "little")) & entry.mask)


def _read_one(entry: Entry) -> bytes | None:
    try:
        return entry.config.read(entry.offset, entry.length)
    except ReadError:
        return None


def _descriptors(entries: Sequence[Entry]) -> tuple[list[int], list[int] | repeat[int], list[int]] | None:
    # Only where every Function is a file that stays open: then the read needs no Python at all.
    descriptors: list[int] = []
    for entry in entries:
        fileno: Callable[[], int | None] = getattr(entry.config, "fileno", _no_file)
        descriptor = fileno()
        if descriptor is None:
            return None
        descriptors.append(descriptor)
    return (descriptors, [e.length for e in entries], [e.offset for e in entries]) if entries else None


def _no_file() -> None:
    return None
