"""A recording through the poller: look when a look is due, follow the fabric, survive the restarts that the recording asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pcifma.access.fixture import Fixture
from pcifma.fabric.build import build
from pcifma.plugin.loader import Plugin
from pcifma.poll.ear import streams_of
from pcifma.poll.ereport import Maker
from pcifma.poll.latched import Baseline, LatchedSet, Standing
from pcifma.poll.look import Look
from pcifma.poll.poller import Poller


def play(fixture: Fixture, plugins: Sequence[Plugin]) -> Iterator[Look]:
    """Each look of the recording, to its end and on to the next slow look, so that nothing it latched is left unseen."""
    stored = _Stored()
    poller = stored.start(fixture, plugins)
    restarts = list(fixture.restarts_ns)
    while True:
        yield stored.keep(poller.look(), poller)
        if fixture.clock.boot_ns() >= fixture.end_ns and poller.slow_due_ns > fixture.clock.boot_ns() > 0:
            return
        fixture.clock.wait_until(_next(poller, restarts))
        if restarts and fixture.clock.boot_ns() >= restarts[0]:
            del restarts[0]
            poller = stored.start(fixture, plugins)
        elif fixture.configs.keys() != poller.fabric.functions.keys() - fixture.unread.keys():
            poller.update(build(fixture))


def _next(poller: Poller, restarts: Sequence[int]) -> int:
    return min(poller.due_ns, *restarts[:1]) if restarts else poller.due_ns


class _Stored:
    # What a daemon's log would hold: enough to start a poller where the last one was killed.

    def __init__(self) -> None:
        self._standing: dict[tuple[str, str, int], Standing] = {}
        self._baselines: tuple[Baseline, ...] = ()
        self._snapshot = self._seq = 1
        self._tick = 0

    def start(self, fixture: Fixture, plugins: Sequence[Plugin]) -> Poller:
        fabric = build(fixture)
        latched = LatchedSet(fixture.boot, self._standing.values(), self._baselines)
        maker = Maker(fixture.name, fixture.boot, fabric, snapshot=self._snapshot, seq=self._seq)
        return Poller(fixture, fabric, plugins, latched=latched, maker=maker, tick=self._tick, streams=streams_of(plugins))

    def keep(self, look: Look, poller: Poller) -> Look:
        self._standing |= {(row.target, row.register, row.bit): row for row in look.latched}
        self._baselines = poller.latched.baselines()
        self._snapshot, self._seq, self._tick = poller.maker.snapshot, poller.maker.seq, poller.tick
        return look
