"""A SERD engine: fires when more than n events lie within t.

    kept: the events of the last t, at most n counted; each is (boot time in ns, count)
    record(at, count): older than newest - t: ignored; else kept, and what is older than newest - t forgotten;
                       more than n counted: fires, and forgets all

t is inclusive: n + 1 events exactly t apart fire. Order of arrival does not matter within t.
"""

from __future__ import annotations

from bisect import insort

import msgspec


class SerdState(msgspec.Struct):
    """What is checkpointed: *n*, *t_ns*, the kept events (oldest first) and the sum of their counts.

    *late* counts events that came after their window had passed.
    """

    n: int
    t_ns: int
    kept: list[tuple[int, int]] = []
    total: int = 0
    late: int = 0

    def record(self, at_ns: int, count: int = 1) -> bool:
        """Count *count* events at boot time *at_ns*; True if the engine fires, and is empty then."""
        newest = max(at_ns, self.kept[-1][0]) if self.kept else at_ns
        if at_ns < newest - self.t_ns:
            self.late += count
            return False
        insort(self.kept, (at_ns, count))
        self.total += count
        self.trim(newest - self.t_ns)
        if self.total <= self.n:
            return False
        self.reset()
        return True

    def reset(self) -> None:
        """Forget what is kept."""
        self.kept.clear()
        self.total = 0

    def trim(self, oldest_ns: int) -> None:
        """Forget what is older than *oldest_ns*."""
        drop = 0
        while drop < len(self.kept) and self.kept[drop][0] < oldest_ns:
            self.total -= self.kept[drop][1]
            drop += 1
        del self.kept[:drop]

    def shift(self, by_ns: int, now_ns: int) -> None:
        """Move onto another boot's timeline; nothing lies in the future."""
        self.kept = [(min(at_ns + by_ns, now_ns), count) for at_ns, count in self.kept]


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(SerdState)


def encode(state: SerdState) -> bytes:
    """The checkpointed form."""
    return _ENCODER.encode(state)


def decode(body: bytes) -> SerdState:
    """Read the checkpointed form."""
    return _DECODER.decode(body)
