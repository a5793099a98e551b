"""What every grammar of a log offers, and the drafts it keeps: reports under way, by the Function (or record) that they speak of.

Drafts are few: at most MOST at a time, and none that IDLE lines went by without a word of. So memory is bounded, whatever the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

from pcifma.access.kernlog.line import BDF, Line
from pcifma.access.kernlog.report import AnyReport
from pcifma.regs.bdf import Bdf

# A report's lines come within a few lines of each other, also where five Functions report at once into one console.
IDLE = 256
MOST = 512

WORD = r"(?:0x)?[0-9a-fA-F]{8}"


class Grammar(Protocol):
    """Reads lines in order and gives out reports as they become whole."""

    def feed(self, line: Line) -> Iterator[AnyReport]:
        """Reports that are whole now that *line* is read."""

    def close(self) -> Iterator[AnyReport]:
        """Reports still under way, as far as the log goes."""

    def oldest(self) -> int | None:
        """The first line of the oldest report under way."""


class LineByLine:
    """A grammar's half where each line is a whole report, or none: nothing is ever under way."""

    def close(self) -> Iterator[AnyReport]:
        return iter(())

    def oldest(self) -> int | None:
        return None


K = TypeVar("K")
R = TypeVar("R")


@dataclass(slots=True)
class _Draft(Generic[R]):
    report: R
    first: int
    last: int


class Drafts(Generic[K, R]):
    """Reports under way, in the order in which they began."""

    def __init__(self) -> None:
        self._open: dict[K, _Draft[R]] = {}

    def begin(self, key: K, report: R, line: int) -> R | None:
        """Start *report* under *key*; gives back what it ends."""
        ended = self.end(key)
        self._open[key] = _Draft(report, line, line)
        return ended

    def get(self, key: K) -> R | None:
        """The report under way for *key*."""
        draft = self._open.get(key)
        return draft.report if draft else None

    def update(self, key: K, report: R, line: int) -> None:
        """What *line* has added to the report of *key*."""
        draft = self._open[key]
        draft.report, draft.last = report, line

    def end(self, key: K) -> R | None:
        """Take out the report of *key*."""
        draft = self._open.pop(key, None)
        return draft.report if draft else None

    def stale(self, line: int) -> Iterator[R]:
        """Take out what is whole by now: nothing more came for IDLE lines, or too many are under way."""
        while self._open:
            key, draft = next(iter(self._open.items()))
            if len(self._open) <= MOST and line - draft.last <= IDLE:
                return
            yield draft.report
            del self._open[key]

    def all(self) -> Iterator[R]:
        """Take out everything."""
        yield from (draft.report for draft in self._open.values())
        self._open.clear()

    def oldest(self) -> int | None:
        """The first line of the oldest report."""
        return next((draft.first for draft in self._open.values()), None)


class Drafting(Generic[K, R]):
    """A grammar with drafts: it says how it reads a line, and what becomes of a draft to which no more comes."""

    def __init__(self) -> None:
        self._drafts: Drafts[K, R] = Drafts()

    def read(self, line: Line) -> Iterator[AnyReport]:
        """What *line* begins, adds to or ends."""
        raise NotImplementedError

    def whole(self, draft: R) -> AnyReport | None:
        """The report that *draft* is; None where it is none."""
        raise NotImplementedError

    def feed(self, line: Line) -> Iterator[AnyReport]:
        """As Grammar says."""
        yield from self._ended(self._drafts.stale(line.number))
        yield from self.read(line)

    def close(self) -> Iterator[AnyReport]:
        """As Grammar says."""
        return self._ended(self._drafts.all())

    def oldest(self) -> int | None:
        """As Grammar says."""
        return self._drafts.oldest()

    def _begin(self, key: K, draft: R, line: Line) -> Iterator[AnyReport]:
        ended = self._drafts.begin(key, draft, line.number)
        return self._ended(() if ended is None else (ended,))

    def _ended(self, drafts: Iterable[R]) -> Iterator[AnyReport]:
        for draft in drafts:
            if (report := self.whole(draft)) is not None:
                yield report


# The address first: a search that begins with the driver's name would try it at every character.
_HEAD = re.compile(rf"(?<![0-9a-fA-F:]){BDF}(?::pcie[0-9a-f]{{2,3}})?: {{1,4}}(?:(?P<tag>AER|DPC|EDR): {{0,4}})?\s{{0,8}}")
_DRIVER = re.compile(r"[\w.-]{1,64}$")


@dataclass(frozen=True, slots=True)
class Head:
    """A driver's message about its Function: *driver* (None where it was cut off), *bdf*, the service's *tag*, the *rest*."""

    driver: str | None
    bdf: Bdf
    tag: str | None
    rest: str


@lru_cache(maxsize=2)
def head(text: str) -> Head | None:
    """The message about a Function in *text*, None if it is none."""
    match = _HEAD.search(text)
    if match is None:
        return None
    before = text[: match.start()]
    driver = _DRIVER.search(before[-65:-1]) if before.endswith(" ") else None
    address = match[0].partition(": ")[0].partition(":pcie")[0]
    return Head(driver[0] if driver else None, Bdf.parse(address), match["tag"], text[match.end() :])


def words(text: str) -> tuple[int, ...]:
    """The 32-bit words in *text*, written with or without 0x."""
    return tuple(int(w, 16) for w in re.findall(WORD, text))


TLP_HEADER = re.compile(rf"TLP Header(?P<flit> ?\(Flit\))?:(?P<words>(?:\s{{1,4}}{WORD}){{1,14}})")


def header_words(match: re.Match[str]) -> tuple[int, ...]:
    """The dwords of a TLP_HEADER match; none where the line was cut within the first four."""
    found = words(match["words"])
    return found if len(found) >= 4 else ()
