"""Banks that several processors share: the same error, read by each of them, is told by the first alone.

Which banks are shared, no register says. The same words in the same bank, address or MISC among them, are one error for a whole socket;
without either they are so for the threads of one core only, since two cores may well have had the same simple error.
"""

from __future__ import annotations

from collections.abc import Mapping

Line = dict[str, str]
_Key = tuple[object, ...]


class Shared:
    """Remembers who told of which error. *places*: socket and core of each processor; one that is not there shares nothing."""

    def __init__(self, places: Mapping[int, tuple[int, int]]) -> None:
        self._places = places
        self._teller: dict[_Key, int] = {}
        self._shown: dict[int, set[_Key]] = {}

    def own(self, cpu: int, lines: list[Line]) -> list[Line]:
        """Those of *lines*, which *cpu* shows now, that nobody else tells of."""
        if cpu not in self._places:
            return lines
        keys = [self._key(cpu, line) for line in lines]
        for gone in self._shown.get(cpu, set()) - set(keys):
            if self._teller.get(gone) == cpu:
                del self._teller[gone]
        self._shown[cpu] = set(keys)
        return [line for key, line in zip(keys, lines, strict=True) if self._teller.setdefault(key, cpu) == cpu]

    def _key(self, cpu: int, line: Line) -> _Key:
        socket, core = self._places[cpu]
        place: _Key = (socket,) if "addr" in line or "misc" in line else (socket, core)
        if "bank" not in line:
            place = ("cpu", cpu)
        return (*place, *(line.get(name) for name in ("bank", "status", "addr", "misc")))
