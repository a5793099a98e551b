"""How many series a metric may have, and under which address a Function's are counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pcifma.plugin import Bdf, Fabric

OTHER = "other"
_ROOM = 32  # of a metric's series for bdf="other" with its other labels, one of these for all that is beyond

Labels = tuple[str, ...]


def folded(fabric: Fabric, device: str) -> str:
    """The address that *device* counts under: a Virtual Function's are its Physical Function's."""
    try:
        function = fabric.get(Bdf.parse(device))
    except ValueError:
        return device
    return device if function is None or function.physfn is None else str(function.physfn)


class Bounded:
    """Numbers by labels, the address first: never more than *limit* keys, and nothing that was added is lost or moves."""

    def __init__(self, limit: int) -> None:
        self._own = max(1, limit - _ROOM)
        self._values: dict[Labels, float] = {}
        self._others = 0

    def add(self, labels: Labels, n: float = 1) -> None:
        """Add *n* to the number under *labels*, or under `other` where there is no more room."""
        key = self._key(labels)
        self._values[key] = self._values.get(key, 0) + n

    def _key(self, labels: Labels) -> Labels:
        if labels in self._values:
            return labels
        if len(self._values) - self._others < self._own:
            return labels
        key = (OTHER, *labels[1:])
        if key not in self._values:
            if self._others >= _ROOM - 1:
                return (OTHER,) * len(labels)
            self._others += 1
        return key

    def items(self) -> Iterator[tuple[Labels, float]]:
        """Labels and numbers, zeros left out."""
        return ((labels, value) for labels, value in self._values.items() if value)


def added(limit: int, numbers: Iterable[tuple[Labels, float]]) -> Bounded:
    """*numbers* added up by labels, the largest keeping an address of their own; the same for the same numbers."""
    sums: dict[Labels, float] = {}
    for labels, value in numbers:
        sums[labels] = sums.get(labels, 0) + value
    return _filled(limit, sums)


def largest(limit: int, numbers: Iterable[tuple[Labels, float]]) -> Iterator[tuple[Labels, float]]:
    """One number, the largest, for each labels: of what cannot be added up. Beyond *limit* the largest of the rest is `other`."""
    most: dict[Labels, float] = {}
    for labels, value in numbers:
        most[labels] = max(value, most.get(labels, value))
    ordered = sorted(most.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) > limit:
        labels, value = ordered[limit - 1]
        ordered[limit - 1 :] = [((OTHER,) * len(labels), value)]
    return iter(ordered)


def _filled(limit: int, sums: Mapping[Labels, float]) -> Bounded:
    found = Bounded(limit)
    for labels, value in sorted(sums.items(), key=lambda item: (-item[1], item[0])):
        found.add(labels, value)
    return found
