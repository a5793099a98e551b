"""Report: what the operator sees of a trace, live or replayed: a stream of probes, or what they add up to, and a trailer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pcifma.xpv.aggregation import Aggregation, Counts, Latencies, Lives, Memory
from pcifma.xpv.call import Return
from pcifma.xpv.decode import Decoder, Moment
from pcifma.xpv.firing import Filter, Firing
from pcifma.xpv.line import Lost
from pcifma.xpv.output import FLOW_HEADER, STREAM_HEADER, Flow, dump, firing_json, stream_row

AGGREGATIONS: dict[str, Callable[[], Aggregation]] = {"count": Counts, "latency": Latencies, "memory": Memory, "domains": Lives}
Print = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Style:
    """How to show it: JSON lines, arguments, flow indent, failed calls only, and *sums* (names of AGGREGATIONS) in place of the stream."""

    json: bool = False
    arguments: bool = False
    flow: bool = False
    errors: bool = False
    sums: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """Shows moments with *print_line* (standard output) and *warn* (standard error), as *style* says, those that *filter* passes."""

    style: Style
    filter: Filter
    print_line: Print
    warn: Print
    fired: int = 0
    calls: int = 0
    failed: int = 0
    _flow: Flow = field(default_factory=Flow)
    _sums: list[Aggregation] = field(default_factory=list)

    def begin(self) -> None:
        """Print the header."""
        self._sums = [AGGREGATIONS[name]() for name in self.style.sums]
        if not self.style.json and not self._sums:
            self.print_line(FLOW_HEADER.rstrip() if self.style.flow else STREAM_HEADER)

    def feed(self, moments: Iterable[Moment]) -> None:
        """Show *moments*, or add them up."""
        for moment in moments:
            if isinstance(moment, Lost):
                self._lost(moment)
                continue
            if isinstance(moment, Return) and self.filter.shows(moment.call):
                self._returned(moment)
            for firing in self.filter.fire(moment):
                self._fired(firing)

    def _lost(self, lost: Lost) -> None:
        where = f" on CPU {lost.cpu}" if lost.cpu >= 0 else ""
        self.warn(f"{lost.count or 'an unknown number of'} events lost{where}: the buffer was full; give more with --buffer")
        if self.style.json:
            self.print_line(dump({"class": "xpv.lost", "version": 1, "cpu": lost.cpu if lost.cpu >= 0 else None, "count": lost.count}))

    def _returned(self, done: Return) -> None:
        self.calls += 1
        self.failed += bool(done.failed)
        for total in self._sums:
            total.returned(done)

    def _fired(self, firing: Firing) -> None:
        if self.style.errors and not (firing.returned and firing.returned.failed):
            return
        self.fired += 1
        for total in self._sums:
            total.fired(firing)
        if self._sums:
            return
        if self.style.json:
            self.print_line(dump(firing_json(firing)))
        elif self.style.flow:
            self.print_line(self._flow.row(firing, arguments=self.style.arguments or self.style.errors))
        else:
            self.print_line(stream_row(firing, arguments=self.style.arguments or self.style.errors))

    def finish(self, decoder: Decoder, **more: object) -> None:
        """Print the sums, and with JSON the trailer; *more* is added to it."""
        decoder.close()
        for total in self._sums:
            for line in (dump(row) for row in total.json()) if self.style.json else total.text():
                self.print_line(line)
        if self.style.json:
            self.print_line(dump(self._trailer(decoder) | more))
        elif self.filter.hidden:
            self.warn(f"{self.filter.hidden} calls of background daemons hidden: --all shows them")

    def _trailer(self, decoder: Decoder) -> dict[str, object]:
        return {
            "class": "trace.summary",
            "version": 1,
            "events": self.fired,
            "calls": self.calls,
            "failed": self.failed,
            "hidden": self.filter.hidden,
            "lost": decoder.lost,
            "unfinished": decoder.unfinished,
            "orphans": decoder.orphans,
        }
