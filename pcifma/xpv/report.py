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
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Style:
    """How to show it: JSON lines, arguments, flow indent, failed calls only, and *sums* (names of AGGREGATIONS) or nothing (*quiet*) in
    place of the stream.
    """

    json: bool = False
    arguments: bool = False
    flow: bool = False
    errors: bool = False
    sums: tuple[str, ...] = ()
    quiet: bool = False


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
    _warned: bool = False
    _pending: list[str] = field(default_factory=list)
    _flow: Flow = field(default_factory=Flow)
    _sums: list[Aggregation] = field(default_factory=list)

    @property
    def streams(self) -> bool:
        """Whether anything is shown before the end."""
        return not self.style.sums and not self.style.quiet

    def begin(self) -> None:
        """Print the header."""
        self._sums = [AGGREGATIONS[name]() for name in self.style.sums]
        if not self.style.json and not self._sums and not self.style.quiet:
            self._put(FLOW_HEADER.rstrip() if self.style.flow else STREAM_HEADER)

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

    def _put(self, line: str) -> None:
        self._pending.append(line)
        if len(self._pending) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Print what is held back: lines are printed many at a time."""
        if self._pending:
            lines, self._pending = self._pending, []
            self.print_line("\n".join(lines))

    def _lost(self, lost: Lost) -> None:
        if not self._warned:  # once, at the first; the total comes at the end
            where = f" on CPU {lost.cpu}" if lost.cpu >= 0 else ""
            self.warn(f"events lost{where}: the kernel's buffer was full; give it more with --buffer")
            self._warned = True
        if self.style.json:
            self._put(dump({"class": "xpv.lost", "version": 1, "cpu": lost.cpu if lost.cpu >= 0 else None, "count": lost.count}))

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
        if self._sums or self.style.quiet:
            return
        if self.style.json:
            self._put(dump(firing_json(firing)))
        elif self.style.flow:
            self._put(self._flow.row(firing, arguments=self.style.arguments or self.style.errors))
        else:
            self._put(stream_row(firing, arguments=self.style.arguments or self.style.errors))

    def finish(self, decoder: Decoder, **more: object) -> None:
        """Print the sums, and with JSON the trailer; *more* is added to it."""
        decoder.close()
        for total in self._sums:
            for line in (dump(row) for row in total.json()) if self.style.json else total.text():
                self._put(line)
        if self.style.json:
            self._put(dump(self._trailer(decoder) | more))
        self.flush()
        if self._warned:
            self.warn(f"{decoder.lost or 'an unknown number of'} events lost in all: what is shown is not everything")
        if self.filter.hidden and not self.style.json:
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
