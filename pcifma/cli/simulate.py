"""`pcifma simulate`: random machines, random faults, and how often the diagnosis is right."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from pcifma.plugin.loader import builtin
from pcifma.sim.degrade import WAYS
from pcifma.sim.fault import KINDS
from pcifma.sim.score import Row, Tally, Trial, calibration, trial

_COUNTED = ("top", "ambiguous", "undetermined", "listed", "ours", "baseline", "further")


@click.command("simulate")
@click.option("--trials", "-n", type=click.IntRange(min=1), default=100, show_default=True, help="Machines of each kind of fault.")
@click.option("--seed", type=int, default=1, show_default=True, help="The first seed; trial i draws from seed + i.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only this kind of fault (repeatable).")
@click.option("--degrade", "way", type=click.Choice(tuple(WAYS)), help="Degrade the evidence in this way …")
@click.option("--level", type=click.FloatRange(0, 1), default=0.3, show_default=True, help="… at this level.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one a kind, then the calibration.")
def command(*, trials: int, seed: int, kinds: tuple[str, ...], way: str | None, level: float, as_json: bool) -> int:
    """Random machines, random faults, scored diagnoses: top suspect right, culprit in the list, the baseline, calibration."""
    plugin = builtin(["pcie_diagnosis"])[0]
    rows = {kind: Row() for kind in kinds or KINDS}
    done: list[Trial] = []
    for kind, row in rows.items():
        for number in range(trials):
            done.append(trial(plugin, kind, seed + number, way, level))
            row.add(done[-1])
    for line in _json(rows, done) if as_json else _table(rows, done):
        click.echo(line)
    return 0


def _table(rows: dict[str, Row], done: list[Trial]) -> Iterator[str]:
    heads = f"{'ours':>6} {'baseline':>9} {'further':>8} {'silent':>7}"
    yield f"{'fault':<20} {'identifiable: top right':<30} {'ambiguous: in list of 3':<30} {'undetermined: in list of 3':<30} {heads}"
    for kind, row in rows.items():
        shares = f"{100 * row.ours.share:5.1f}% {100 * row.baseline.share:8.1f}% {100 * row.further.share:7.1f}% {row.silent:7d}"
        yield f"{kind:<20} {_share(row.top):<30} {_share(row.ambiguous):<30} {_share(row.undetermined):<30} {shares}"
    yield ""
    yield f"{'certainty':<12} {'stated':>7}  was right"
    for (low, high), tally, stated in calibration(done):
        if tally.n:
            yield f"{low:3d} to {min(high, 100):3d}%  {stated:6.1f}%  {_share(tally)}"


def _share(tally: Tally) -> str:
    if not tally.n:
        return "-"
    low, high = tally.interval()
    return f"{100 * tally.share:5.1f}% [{100 * low:.1f}, {100 * high:.1f}] n={tally.n}"


def _json(rows: dict[str, Row], done: list[Trial]) -> Iterator[str]:
    for kind, row in rows.items():
        counted = {name: _counted(getattr(row, name)) for name in _COUNTED}
        yield json.dumps({"kind": kind, **counted, "silent": row.silent})
    for whose, first in (("first", True), ("all", False)):
        for (low, high), tally, stated in calibration(done, first=first):
            span = [low, min(high, 100)]
            yield json.dumps({"certainty": span, "suspects": whose, "stated": round(stated, 1), "right": _counted(tally)})


def _counted(tally: Tally) -> dict[str, object]:
    return {"k": tally.k, "n": tally.n, "interval": [round(edge, 4) for edge in tally.interval()]}
