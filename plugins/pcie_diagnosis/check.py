"""Reading the rules, and all that can be wrong with them: shape, unknown names, what is never reached, what contradicts."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from pcifma.plugin import CAPABILITIES, PluginError, load_data

from .evidence import LINK_ERRORS
from .phrase import converted
from .rule import ROLES, TAGS, Fault, Link, Rules, Symptom, Threshold
from .site import Merged, merged

# Classes that no register table makes: other plugins' own, and the core's.
_OTHERS = (
    "io.pci.fabric", "io.pci.unknown", "io.pciex.unknown", "io.pciex.recovery", "io.pciex.rc.irq-lost", "io.pciex.deaf",
    "io.pciex.pl.speed", "io.pciex.pl.width", "io.pciex.pl.flit-cnt", "io.pciex.pl.flit-inv", "io.pciex.pl.fber",
    "io.pciex.eeh.frozen", "io.pciex.eeh.fenced", "io.pciex.eeh.dead", "io.pciex.eeh.failed", "io.pciex.eeh.informative",
)
# Beyond these, no number is meant.
_LONGEST_S, _LONGEST_WINDOW_S, _HIGHEST = 366 * 86400.0, 86400.0, 1e9
_DICTIONARY = re.compile("[A-Z]{2,8}")
SHOWN = 20  # mistakes of one file; what comes after is often their doing
_OURS = ("ereport.io.pci.", "ereport.io.pciex.", "ereport.io.pcix.", "ereport.io.cxl.", "ereport.io.ht.")
# Which roles have something at a place. A role that is not named here may have it.
_NO_PARTNER = frozenset({"root_port", "rciep", "rcec"})
_NO_BELOW = frozenset({"endpoint", "legacy_endpoint", "rciep", "rcec", "pci"})
_NOTHING = {"partner": _NO_PARTNER, "above": _NO_PARTNER, "root": _NO_PARTNER, "below": _NO_BELOW, "child": _NO_BELOW}


def load(path: Path, site: Path | None = None) -> Rules:
    """The built-in rules, with a site's faults added or put in place of those with the same id. PluginError names every mistake."""
    if site is None:
        return _built_in(path, path.stat().st_mtime_ns)
    return _checked(merged(load_data(path), load_data(site), site), site)


@functools.lru_cache(maxsize=1)
def _built_in(path: Path, changed_ns: int) -> Rules:
    del changed_ns
    data = load_data(path)
    faults = data.get("faults") if isinstance(data, dict) else None
    return _checked(Merged(data, _numbered(len(faults) if isinstance(faults, list) else 0)), path)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"$.faults[{n}]" for n in range(count))


def _checked(whole: Merged, path: Path) -> Rules:
    mistakes = list(_shape(whole.data, whole.places))
    if not mistakes:
        rules = msgspec.convert(whole.data, Rules, strict=False)
        mistakes = list(check(rules, whole.places))
    if mistakes:
        more = f"; and {len(mistakes) - SHOWN} more" if len(mistakes) > SHOWN else ""
        raise PluginError("; ".join(f"{path}: {mistake}" for mistake in mistakes[:SHOWN]) + more)
    return rules


# msgspec stops at the first mistake; part by part it finds one in each.
def _shape(data: Any, places: Sequence[str]) -> Iterator[str]:
    if not isinstance(data, dict) or not isinstance(data.get("faults"), list):
        yield "$: an object with version, explained, removal, link, faults and codes"
        return
    for place, fault in zip(places, data["faults"], strict=True):
        yield from converted(fault, Fault, place)
    codes = data.get("codes")
    for name, entries in codes.items() if isinstance(codes, dict) else ():
        for number, members in entries.items() if isinstance(entries, dict) else ():
            if not (isinstance(members, list) and all(isinstance(member, str) for member in members)):
                yield f"$.codes.{name}.{number}: a list of fault classes, as text"
    yield from converted({**data, "faults": []}, Rules, "$")


def check(rules: Rules, places: Sequence[str] = ()) -> Iterator[str]:
    """Every mistake, as `$.path: what`: doubled ids, unknown names, impossible numbers, what can never be reached.

    *places*: where each fault stands.
    """
    places = places or _numbered(len(rules.faults))
    seen: set[str] = set()
    for where, fault in zip(places, rules.faults, strict=True):
        if fault.id in seen:
            yield f"{where}.id: {fault.id!r} stands twice"
        seen.add(fault.id)
        yield from _check_fault(fault, where)
        for m, symptom in enumerate(fault.symptoms):
            yield from _check_symptom(rules, fault, symptom, f"{where}.symptoms[{m}]")
    yield from _check_twins(rules, places)
    if sum(not fault.symptoms for fault in rules.faults) != 1:
        yield "$.faults: exactly one without symptoms must be there, for what nothing else explains"
    yield from _check_globs(rules)
    yield from _check_threshold(rules.removal.guest, "$.removal.guest")
    if not 0 < rules.removal.within_s <= _LONGEST_S:
        yield f"$.removal.within_s: {rules.removal.within_s} is no time: above 0, at most {_LONGEST_S:.0f} (a year)"
    yield from _check_link(rules)
    yield from _check_codes(rules)


def _check_globs(rules: Rules) -> Iterator[str]:
    lists = {"explained": rules.explained, "express_shadows": rules.express_shadows, "echoes": rules.echoes}
    lists |= {"removal.explains": rules.removal.explains, "removal.cause": rules.removal.cause}
    for name, globs in lists.items():
        for glob in globs:
            if not glob.startswith("ereport."):
                yield f"$.{name}: {glob!r} is no ereport class: it begins with ereport."
            elif not _is_made(glob):
                yield f"$.{name}: no ereport is called {glob}: docs/events.md has all"


def _check_threshold(serd: Threshold, where: str) -> Iterator[str]:
    if serd.n < 0 or not 0 < serd.t_s <= _LONGEST_S:
        yield f"{where}: n is 0 or more, t_s above 0 and at most {_LONGEST_S:.0f} (a year)"


def _check_fault(fault: Fault, where: str) -> Iterator[str]:
    if not fault.class_.startswith(("fault.", "defect.")) or len(fault.class_) > 100:
        yield f"{where}.class: {fault.class_!r} is no fault class: fault.… or defect.…, at most 100 characters"
    yield from (f"{where}.roles: no role is called {role!r}: there are {', '.join(ROLES)}" for role in fault.roles if role not in ROLES)
    if not fault.roles:
        yield f"{where}.roles: empty, so the fault is never found"
    if not 0 <= fault.prior <= _HIGHEST or (fault.prior > 0) != bool(fault.symptoms):
        yield f"{where}.prior: a fault with symptoms has a prior above 0 (at most {_HIGHEST:.0f}), one without has 0"
    yield from (f"{where}.priors: {role!r} is none of its roles" for role in sorted(set(fault.priors) - set(fault.roles)))
    if not all(0 < prior <= _HIGHEST for prior in fault.priors.values()) or not 0 < fault.idle <= 1:
        yield f"{where}: priors are above 0 (at most {_HIGHEST:.0f}), idle is above 0 and at most 1"
    if fault.serd is not None:
        yield from _check_threshold(fault.serd, f"{where}.serd")


def _check_symptom(rules: Rules, fault: Fault, symptom: Symptom, where: str) -> Iterator[str]:
    if not 0 < symptom.p < 1:
        yield f"{where}.p: {symptom.p} must lie between 0 and 1"
    if not symptom.class_.startswith("ereport."):
        yield f"{where}.class: {symptom.class_!r} is no ereport class: it begins with ereport."
    elif not _is_made(symptom.class_):
        yield f"{where}.class: no ereport is called {symptom.class_}: docs/events.md has all"
    if rules.explains_away(symptom.class_, express=False) or rules.is_link(symptom.class_):
        yield f"{where}.class: {symptom.class_} never gets here: it is in $.explained or $.link"
    if symptom.tag not in TAGS:
        yield f"{where}.tag: no tag is called {symptom.tag!r}: there are {', '.join(TAGS[1:])}"
    if symptom.at == "anywhere" and not symptom.names:
        yield f"{where}.at: anywhere needs names, or it is everywhere"
    without = _NOTHING.get(symptom.at, frozenset())
    if fault.roles and set(fault.roles) <= without:
        yield f"{where}.at: there is nothing at {symptom.at!r} of {', '.join(fault.roles)}"


def _is_made(glob: str) -> bool:
    return not glob.startswith(_OURS) or glob == LINK_ERRORS or any(fnmatchcase(f"ereport.{name}", glob) for name in _known())


@functools.cache
def _known() -> set[str]:
    return {f.ereport for c in CAPABILITIES.values() for r in c.registers for f in r.fields if f.ereport} | set(_OTHERS)


def _check_twins(rules: Rules, places: Sequence[str]) -> Iterator[str]:
    # Two faults that show the very same on the same role cannot be told apart: one of them is dead text.
    for n, fault in enumerate(rules.faults):
        for other in rules.faults[:n]:
            same = fault.symptoms and sorted(map(repr, fault.symptoms)) == sorted(map(repr, other.symptoms))
            if same and set(fault.roles) & set(other.roles):
                yield f"{places[n]}: shows the same as {other.id!r} on the same roles: they can never be told apart"


def _check_link(rules: Rules) -> Iterator[str]:
    link = rules.link
    if not 0 < link.bit_error_rate < 1 or not 1 <= link.factor <= _HIGHEST or link.least < 1:
        yield f"$.link: bit_error_rate lies between 0 and 1, factor is 1 to {_HIGHEST:.0f}, least is 1 or more"
    if not link.windows_s or not all(0 < window_s <= _LONGEST_WINDOW_S for window_s in link.windows_s):
        yield f"$.link.windows_s: at least one window, each above 0 and at most {_LONGEST_WINDOW_S:.0f}: errors are counted for a day"
    if not any(not row.when for row in link.suspects) or any(row.weight < 1 for row in link.suspects):
        yield "$.link.suspects: at least one without when, each of weight 1 or more"
    yield from _check_counted(link)
    yield from (f"$.link: {name} is both receiver and transmitter" for name in sorted(set(link.receiver) & set(link.transmitter)))


def _check_counted(link: Link) -> Iterator[str]:
    if not 0 < link.flit.error_rate < 1 or link.flit.bits < 1:
        yield "$.link.flit: error_rate lies between 0 and 1, bits is 1 or more"
    for name in (*link.receiver, *link.transmitter, *link.lane, *link.flit.classes):
        if name.removeprefix("ereport.") not in _known():
            yield f"$.link: no ereport is called {name}: docs/events.md has all"


def _check_codes(rules: Rules) -> Iterator[str]:
    classes = rules.classes()
    seen: dict[frozenset[str], str] = {}
    for dictionary, entries in rules.codes.items():
        for number, members in entries.items():
            where = f"$.codes.{dictionary}.{number}"
            if not _DICTIONARY.fullmatch(dictionary) or not 0 <= number < 1 << 21:
                yield f"{where}: a dictionary has 2 to 8 capital letters, a number is 0 to {(1 << 21) - 1}"
            if len(set(members)) != len(members) or not members:
                yield f"{where}: a set of fault classes, none of them twice"
            if frozenset(members) in seen:
                yield f"{where}: the same set as {seen[frozenset(members)]}"
            seen.setdefault(frozenset(members), where)
    for name in sorted(classes):
        if frozenset({name}) not in seen:
            yield f"$.codes: {name} has no code when it stands alone: give it a number, as PCIFMA: {{1000: [{name}]}}"
