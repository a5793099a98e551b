"""How much one source may find: a plugin that invents bits costs bounded memory, and is set aside.

A look is of Functions that are there, and a Function has so many bits: what is far beyond is invented. New bits are counted from
one change of the fabric to the next, so that a host whose cards come and go for years is no flood.
"""

from __future__ import annotations

# A register has 32 bits and a Function some 30 registers of errors; few are ever set together.
BITS, BITS_A_FUNCTION = 16384, 64
ROWS_OF_A_TARGET = 4096


class Quota:
    """Counts by plugin: *new* bits on this fabric, and news in one look. *limit* holds for each."""

    def __init__(self, functions: int) -> None:
        self.limit = BITS + BITS_A_FUNCTION * functions
        self._new: dict[str, int] = {}
        self._news: dict[str, int] = {}

    def begin(self) -> None:
        """A look begins."""
        self._news.clear()

    def excess(self, plugin: str, rows: int, *, new: bool) -> str:
        """Why *plugin*'s next finding is one too many, or empty. *rows* its target has already; *new*: the bit is not among them."""
        self._news[plugin] = self._news.get(plugin, 0) + 1
        self._new[plugin] = self._new.get(plugin, 0) + new
        if new and rows >= ROWS_OF_A_TARGET:
            return f"flood: more than {ROWS_OF_A_TARGET} different bits of one target"
        if max(self._news[plugin], self._new[plugin]) > self.limit:
            return f"flood: more than {self.limit} findings in one look, or different bits on one fabric"
        return ""
