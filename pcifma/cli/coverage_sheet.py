"""Coverage as a person reads it: who is heard in one line, each silent Function with its reasons, and what would help most."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence

from msgspec import UNSET

from pcifma.cli.name import names
from pcifma.cli.severity import coloured
from pcifma.cli.text import clean, plural
from pcifma.fabric.function import Function
from pcifma.platform.survey import Line, Survey

_MARKS = {True: "+", False: "-", None: "?"}
_WHO_WIDTH, _LEAST_WIDTH = 58, 24
_MARGIN, _VERDICT_WIDTH = 9, 38  # `  cor -  nonf -  fatal -  listen+poll`
_SHOWN_ADDRESSES = 4


def sheet(found: Survey, name: str, *, everything: bool) -> Iterator[str]:
    """The lines of the report; *everything* lists what is heard too, and repeats nothing by reference."""
    yield from _heading(found, name)
    shown = [line for line in found.lines if everything or not line.heard]
    named = names([line.function for line in shown])
    said: dict[str, frozenset[str]] = {}
    for lines in _folded(shown, everything=everything):
        first = lines[0]
        yield _row(found, lines, named)
        above = first.function.parent
        yield from _why(found, first, {} if everything or above is None else {str(above): said.get(str(above), frozenset())})
        said[first.coverage.device] = frozenset(first.coverage.why)
    yield from _help(found)
    yield from _machine_checks(found)
    if found.situation.platform.invisible:
        yield f"Never visible here: {'; '.join(found.situation.platform.invisible)}"


def _heading(found: Survey, name: str) -> Iterator[str]:
    counts = found.summary()
    rest = [f"deaf: {counts.deaf}", f"unknown: {counts.unknown}", *([f"waived: {counts.waived}"] if counts.waived else [])]
    yield f"{clean(name)}  {found.situation.platform.text}   heard: {counts.heard} of {counts.functions}   {'   '.join(rest)}"
    for owner, reasons in sorted({(v.owner, v.reasons) for v in found.situation.owners.values()}):
        yield f"owner of AER: {'nobody' if owner == 'none' else owner} ({clean('; '.join(reasons))})"


def _machine_checks(found: Survey) -> Iterator[str]:
    checks = found.summary().machine_checks
    if checks is UNSET:
        return
    marks = f"corrected {_MARKS[checks.corrected]}  uncorrected {_MARKS[checks.uncorrected]}"
    word = "INVISIBLE" if (checks.corrected, checks.uncorrected) == (False, False) else f"by {checks.by}"
    yield f"Errors of processors and memory: {marks}  {word}"
    yield from (f"{' ' * _MARGIN}{clean(why)}" for why in checks.why)
    yield from (f"{' ' * _MARGIN}would help: {clean(what)}" for what in checks.help)


def _folded(lines: Sequence[Line], *, everything: bool) -> Iterator[list[Line]]:
    # VFs of one PF with the same verdict are one row, and so are the Functions that could never report.
    groups: dict[object, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.function.bdf if everything else _likeness(line), []).append(line)
    yield from groups.values()


def _likeness(line: Line) -> object:
    kinds = tuple(r.kind for r in line.why)
    if line.function.physfn is not None:
        return (line.function.physfn, line.coverage.heard, line.coverage.guest, kinds)
    waived = line.coverage.waived
    return (kinds, waived) if kinds == ("conventional",) and line.coverage.served_by is None else line.function.bdf


def _row(found: Survey, lines: list[Line], named: dict[tuple[int, int], str]) -> str:
    first = lines[0]
    coverage = first.coverage
    who = _who(first.function, named) if len(lines) == 1 else _group(lines)
    depth = len(found.situation.fabric.path(first.function)) - 1
    verdicts = (coverage.heard.correctable, coverage.heard.nonfatal, coverage.heard.fatal)
    marks = "  ".join(f"{label} {_MARKS[v]}" for label, v in zip(("cor", "nonf", "fatal"), verdicts, strict=True))
    word, colour = _verdict(first)
    width = _who_width()
    text = f"{'  ' * depth}{who}"[:width]
    return coloured(f"{word:<{_MARGIN}}", colour) + f"{text:<{width}}  {marks}  {'+'.join(coverage.plan) or 'skip'}"


def _who_width() -> int:
    # On a terminal the verdicts stay in the same line as the name that they are of.
    if not sys.stdout.isatty():
        return _WHO_WIDTH
    return max(_LEAST_WIDTH, min(_WHO_WIDTH, shutil.get_terminal_size().columns - _MARGIN - _VERDICT_WIDTH))


def _who(function: Function, named: dict[tuple[int, int], str]) -> str:
    where = f"  {clean(function.slot.label)}" if function.slot is not None else ""
    return f"{function.bdf}{where}  {clean(named[function.vendor, function.device])}"


def _group(lines: list[Line]) -> str:
    function = lines[0].function
    if function.physfn is not None:
        return f"{plural(lines, 'VF')} of {function.physfn}"
    addresses = [str(line.function.bdf) for line in lines]
    more = "" if len(lines) <= _SHOWN_ADDRESSES else ", …"
    return f"{plural(lines, 'Function')}: {', '.join(addresses[:2])}{more if len(lines) > 2 else ''}"


def _verdict(line: Line) -> tuple[str, str | None]:
    if line.heard:
        return "heard", None
    if line.coverage.waived is not UNSET:
        return "waived", None
    return ("deaf", "red") if line.deaf else ("unknown", "yellow")


def _why(found: Survey, line: Line, above: dict[str, frozenset[str]]) -> Iterator[str]:
    coverage = line.coverage
    indent = " " * (_MARGIN + 2) + "  " * (len(found.situation.fabric.path(line.function)) - 1)
    if coverage.guest:
        yield f"{indent}in guest {clean(coverage.guest)}"
    known = frozenset().union(*above.values())
    text = (why.removeprefix(f"{coverage.device}: ") for why in coverage.why if why not in known)
    yield from (f"{indent}{clean(why)}" for why in text)
    if known & set(coverage.why):
        yield f"{indent}and what silences {next(iter(above))}"
    if coverage.waived is not UNSET:
        yield f"{indent}waived {clean(coverage.waived)}"


def _help(found: Survey) -> Iterator[str]:
    advice = found.advice
    if not advice.steps and not advice.beyond:
        return
    yield "What would help most, one after the other:"
    for number, step in enumerate(advice.steps, 1):
        for index, remedy in enumerate(step.remedies):
            head = f"{number:3}  " if index == 0 else "     and "
            last = index == len(step.remedies) - 1
            gain = f"   opens {plural(step.opens, 'Function')}" if last else ""
            yield f"{head}{clean(remedy.text)}{gain}"
        risks = dict.fromkeys(r.risk for r in step.remedies if r.risk)
        if risks:
            yield f"     ({'; '.join(risks)})"
    if advice.beyond:
        yield f"  -  nothing: {plural(advice.beyond, 'Function')} cannot report: polling only"
