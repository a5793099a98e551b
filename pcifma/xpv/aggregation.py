"""Aggregation: what a trace adds up to: counts, latencies, memory given to each domain, and the domains' lives.

Each aggregation is fed moment by moment, and prints itself as text (as dtrace prints aggregations) or as JSON objects.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pcifma.xpv.call import Call, Return
from pcifma.xpv.firing import Firing
from pcifma.xpv.output import printable

_BAR = 40
Json = dict[str, object]


class Aggregation(Protocol):
    """What every aggregation does. Firings are those the operator enabled; returns are those of all calls that are not hidden."""

    def fired(self, firing: Firing) -> None:
        """Count a probe that fired."""

    def returned(self, done: Return) -> None:
        """Count a call that ended, whatever is enabled."""

    def text(self) -> Iterator[str]:
        """Yield the lines to print."""

    def json(self) -> Iterator[Json]:
        """Yield the objects to print."""


@dataclass(slots=True)
class Counts:
    """How often each probe fired, and for which process; rarest first, as dtrace sorts."""

    by_probe: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def fired(self, firing: Firing) -> None:
        """Count *firing* under its process, function and name."""
        self.by_probe[printable(firing.call.comm), firing.probe.function, firing.probe.name] += 1

    def returned(self, done: Return) -> None:
        """Nothing: counts are of probes."""

    def text(self) -> Iterator[str]:
        """Yield one line a process and probe."""
        yield ""
        for (comm, function, name), count in sorted(self.by_probe.items(), key=lambda item: (item[1], item[0])):
            yield f"  {comm:<16} {function:<34} {name:<32} {count:>10}"

    def json(self) -> Iterator[Json]:
        """Yield `xpv.count` objects."""
        for (comm, function, name), count in sorted(self.by_probe.items(), key=lambda item: (item[1], item[0])):
            yield {"class": "xpv.count", "version": 1, "comm": comm, "function": function, "name": name, "count": count}


@dataclass(slots=True)
class Quantity:
    """A power-of-two histogram of whole numbers, none negative: bucket 2^k holds 2^k to 2^(k+1)-1, bucket 0 holds 0."""

    buckets: Counter[int] = field(default_factory=Counter)
    total: int = 0
    least: int | None = None
    most: int = 0

    def add(self, value: int) -> None:
        """Count *value*."""
        self.buckets[1 << value.bit_length() - 1 if value else 0] += 1
        self.total += value
        self.least = value if self.least is None else min(self.least, value)
        self.most = max(self.most, value)

    def text(self) -> Iterator[str]:
        """Yield the lines of dtrace's quantize(): one empty bucket on each side, bars of 40."""
        count = self.buckets.total()
        yield f"{'value':>16} {'------------- Distribution -------------':>41} count"
        low, high = min(self.buckets), max(self.buckets)
        value = low >> 1
        while value <= (high << 1 or 1):
            held = self.buckets[value]
            yield f"{value:>16} |{'@' * int(held * _BAR / count + 0.5):<{_BAR}} {held}"
            value = value << 1 or 1

    def json(self) -> Json:
        """Return the numbers: count, sum, min, max, and the buckets by their lower bound."""
        held = [{"from": low, "count": self.buckets[low]} for low in sorted(self.buckets) if self.buckets[low]]
        return {"count": self.buckets.total(), "sum": self.total, "min": self.least, "max": self.most, "buckets": held}


@dataclass(slots=True)
class Latencies:
    """How long the calls of each enabled end probe took, in nanoseconds."""

    by_probe: dict[tuple[str, str], Quantity] = field(default_factory=dict)

    def fired(self, firing: Firing) -> None:
        """Count the latency of an end probe's call."""
        if firing.returned is not None:
            key = (firing.probe.function, firing.probe.name.removesuffix("-end"))
            self.by_probe.setdefault(key, Quantity()).add(firing.returned.latency_ns)

    def returned(self, done: Return) -> None:
        """Nothing: latencies are of probes."""

    def text(self) -> Iterator[str]:
        """Yield a histogram a probe, the shortest sum first."""
        for (function, name), quantity in sorted(self.by_probe.items(), key=lambda item: (item[1].total, item[0])):
            yield f"\n  {function}:{name} (ns)"
            yield from quantity.text()

    def json(self) -> Iterator[Json]:
        """Yield `xpv.latency` objects."""
        for (function, name), quantity in sorted(self.by_probe.items(), key=lambda item: (item[1].total, item[0])):
            yield {"class": "xpv.latency", "version": 1, "function": function, "name": name, "unit": "ns"} | quantity.json()


def extents_done(done: Return) -> int:
    """Return how many pages a reservation call moved: what the hypervisor says it did, or what was asked where that is not known and
    not failed.
    """
    asked, order = done.call.number(8, 8) or 0, done.call.number(16, 4) or 0
    count = asked if done.result is None else max(0, min(done.result, asked))
    return count << min(order, 64)


@dataclass(slots=True)
class Holding:
    """Pages of one domain: given, taken back, claimed ahead, mapped by tools; and its limit in kilobytes."""

    populated: int = 0
    increased: int = 0
    decreased: int = 0
    claimed: int = 0
    calls: int = 0
    estimated: bool = False
    max_kb: int | None = None

    @property
    def given(self) -> int:
        """Pages given less pages taken back."""
        return self.populated + self.increased - self.decreased


_RESERVATIONS = {"populate_physmap": "populated", "increase_reservation": "increased", "decrease_reservation": "decreased"}
_PAGE_KB = 4


@dataclass(slots=True)
class Memory:
    """Memory that the tools gave to each domain.

    A kernel that cannot show a multicall's results leaves what was asked: marked `estimated`.
    """

    by_domain: dict[int, Holding] = field(default_factory=dict)

    def fired(self, firing: Firing) -> None:
        """Nothing: memory is counted from all calls."""

    def returned(self, done: Return) -> None:
        """Add what *done* gave or took."""
        family, operation = done.call.site
        domain = done.call.domain
        if domain is None or done.failed or operation is None:
            return
        if family == "memory_op" and operation in _RESERVATIONS:
            held = self.by_domain.setdefault(domain, Holding())
            held.calls += 1
            held.estimated = held.estimated or done.result is None
            name = _RESERVATIONS[operation]
            setattr(held, name, getattr(held, name) + extents_done(done))
        elif family == "memory_op" and operation == "claim_pages":
            self.by_domain.setdefault(domain, Holding()).claimed = done.call.number(8, 8) or 0
        elif (family, operation) == ("domctl", "max_mem"):
            self.by_domain.setdefault(domain, Holding()).max_kb = done.call.number(16, 8)

    def text(self) -> Iterator[str]:
        """Yield one line a domain."""
        heads = f"{'GIVEN(pages)':>13} {'GIVEN(KiB)':>12} {'POPULATED':>10} {'INCREASED':>10} {'DECREASED':>10} {'CLAIMED':>8}"
        yield f"\n{'DOMAIN':>6} {heads} {'LIMIT(KiB)':>11}"
        for domain, held in sorted(self.by_domain.items()):
            limit = "-" if held.max_kb is None else str(held.max_kb)
            row = f"{domain:>6} {held.given:>13} {held.given * _PAGE_KB:>12} {held.populated:>10} {held.increased:>10} {held.decreased:>10}"
            yield f"{row} {held.claimed:>8} {limit:>11}{' (as asked: results not visible)' if held.estimated else ''}"

    def json(self) -> Iterator[Json]:
        """Yield `xpv.memory` objects."""
        for domain, held in sorted(self.by_domain.items()):
            yield {
                "class": "xpv.memory",
                "version": 1,
                "domain": domain,
                "pages": held.given,
                "populated": held.populated,
                "increased": held.increased,
                "decreased": held.decreased,
                "claimed": held.claimed,
                "max_kb": held.max_kb,
                "estimated": held.estimated,
            }


_LIFE = {
    "createdomain": "created",
    "pausedomain": "paused",
    "unpausedomain": "unpaused",
    "resumedomain": "resumed",
    "soft_reset": "reset",
    "destroydomain": "destroyed",
}


@dataclass(slots=True)
class Lives:
    """What happened to each domain, in order: created, paused, unpaused, destroyed."""

    events: list[tuple[Return, str, int | None]] = field(default_factory=list)
    _unnamed: dict[int, int] = field(default_factory=dict)

    def fired(self, firing: Firing) -> None:
        """Nothing: lives are told from all calls."""

    def returned(self, done: Return) -> None:
        """Keep *done* if it changes a domain's life.

        An id that a return cannot show is learnt from the next call of that thread for a domain.
        """
        family, operation = done.call.site
        if family != "domctl" or operation is None:
            return
        self._learn(done.call)
        if operation in _LIFE:
            domain = done.created if operation == "createdomain" else done.call.domain
            if domain is None and not done.failed:
                self._unnamed[done.call.tid] = len(self.events)
            self.events.append((done, _LIFE[operation], domain))

    def _learn(self, call: Call) -> None:
        at = self._unnamed.pop(call.tid, None)
        if at is not None and call.domain is not None and call.domain < 0x7FF0:
            done, what, _ = self.events[at]
            self.events[at] = (done, what, call.domain)

    def text(self) -> Iterator[str]:
        """Yield one line an event, in order of time."""
        yield f"\n{'TIME(s)':>14} {'DOMAIN':>6} {'EVENT':<10} BY"
        for done, what, domain in self.events:
            failed = " (failed)" if done.failed else ""
            by = f"{printable(done.call.comm)}[{done.call.tid}]"
            yield f"{done.end_ns / 1e9:>14.6f} {'?' if domain is None else domain:>6} {what:<10} {by}{failed}"

    def json(self) -> Iterator[Json]:
        """Yield `xpv.domain` objects."""
        for done, what, domain in self.events:
            yield {
                "class": "xpv.domain",
                "version": 1,
                "domain": domain,
                "event": what,
                "monotonic_us": done.end_ns // 1000,
                "comm": printable(done.call.comm),
                "tid": done.call.tid,
                "failed": done.failed,
            }
