"""The rules: what convicts which part. Data, checked as a whole before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from pcifma.plugin import PluginError, load_data

Per = Literal["page", "module", "channel", "cache", "core", "interconnect"]


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fires on event n + 1 within t_s seconds."""

    n: int
    t_s: float


class Further(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """A further suspect, with its share of 100."""

    class_: str
    share: int


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to convict a part; rules.yaml explains each member."""

    id: str
    leaves: list[str]
    per: Per
    fault: str
    severity: Literal["Critical", "Major", "Minor"]
    urgency: Literal["now", "working-hours", "never-mind"]
    corrected: Threshold | None = None
    uncorrected: Threshold | None = None
    uncorrected_fault: str = ""
    yellow: bool = False
    share: int = 100
    suspects: list[Further] = []

    def fits(self, leaf: str) -> bool:
        """True for an ereport whose class ends so."""
        return any(fnmatchcase(leaf, glob) for glob in self.leaves)


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. *codes*: dictionary, number and class set, as globs."""

    version: str
    rules: list[Rule]
    codes: dict[str, dict[int, list[str]]]

    def code_of(self, classes: set[str]) -> tuple[str, int] | None:
        """Dictionary and number of a class set; None where it has none."""
        for dictionary, entries in self.codes.items():
            for number, globs in entries.items():
                if len(globs) == len(classes) and all(any(fnmatchcase(c, glob) for glob in globs) for c in classes):
                    return dictionary, number
        return None


def load(path: Path) -> Rules:
    """The rules in the file at *path*; PluginError names every mistake."""
    try:
        rules = msgspec.convert(load_data(path), Rules, strict=False)
    except msgspec.ValidationError as err:
        raise PluginError(f"{path}: {err}") from err
    if mistakes := list(check(rules)):
        raise PluginError("; ".join(f"{path}: {mistake}" for mistake in mistakes))
    return rules


def check(rules: Rules) -> Iterator[str]:
    """Every mistake, as `$.path: what`."""
    seen: set[str] = set()
    for n, rule in enumerate(rules.rules):
        where = f"$.rules[{n}]"
        if rule.id in seen:
            yield f"{where}.id: {rule.id!r} stands twice"
        seen.add(rule.id)
        if rule.corrected is None and rule.uncorrected is None:
            yield f"{where}: neither corrected nor uncorrected: it never convicts"
        for name in ("corrected", "uncorrected"):
            threshold: Threshold | None = getattr(rule, name)
            if threshold is not None and (threshold.n < 0 or threshold.t_s <= 0):
                yield f"{where}.{name}: n is 0 or more, t_s above 0"
        if rule.share + sum(further.share for further in rule.suspects) != 100:
            yield f"{where}: the shares add up to 100"
        for class_ in (rule.fault, *([rule.uncorrected_fault] if rule.uncorrected_fault else []), *(f.class_ for f in rule.suspects)):
            if not class_.startswith("fault."):
                yield f"{where}: {class_!r} is no fault class"
        yield from (f"{where}: {' + '.join(sorted(named))} has no code" for named in _sets(rule) if rules.code_of(named) is None)


def _sets(rule: Rule) -> Iterator[set[str]]:
    # The class sets that a rule can publish; a leaf that is a glob stands for caches of some level.
    units = {leaf if leaf.replace("_", "").isalnum() else "l1cache" for leaf in rule.leaves}
    for main in sorted({rule.fault, rule.uncorrected_fault or rule.fault}):
        for unit in sorted(units):
            yield {name.format(vendor="intel", unit=unit) for name in (main, *(further.class_ for further in rule.suspects))}
