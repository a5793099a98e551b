"""Folding: in a storm, several ereports of one origin become one, whose `count` is their sum.

An origin is one bit of one target on one fabric, found by one plugin in one way, so folding never joins two Functions, bits or
fabrics. Only what no module has taken yet is folded: an event, once handed out, does not change.
"""

from __future__ import annotations

from pcifma.fmd.log.row import Arrival

# Below this many ereports that nobody has taken, each is kept for itself; a look at a large host with every bit set stays below.
FOLD_AT = 4096


def merge(into: Arrival, other: Arrival) -> None:
    """Add *other* (of the same origin) to *into*; the sum of counts and the bounds in time are exact."""
    into.first_ns = min(first(into), first(other))
    into.last_ns = max(last(into), last(other))
    into.count += other.count


def first(row: Arrival) -> int:
    """Wall time, in ns, of the first error in *row*."""
    return row.wall_ns if row.first_ns is None else row.first_ns


def last(row: Arrival) -> int:
    """Wall time, in ns, of the last error in *row*."""
    return row.wall_ns if row.last_ns is None else row.last_ns
