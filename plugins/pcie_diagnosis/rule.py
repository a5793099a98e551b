"""The rules: what faults there are, what each produces, and who is to blame. Data, checked as a whole before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import msgspec

from pcifma.plugin import DevType, PluginError, load_data

At = Literal["self", "partner", "above", "root", "below"]
Names = Literal["", "requester", "completer", "target", "source"]
ROLES = (*(kind.name.lower() for kind in DevType), "pci", "any")


class Symptom(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """An ereport class (a glob) that a fault shows with probability *p*, *at* a place seen from the part at fault."""

    class_: str
    at: At
    p: float
    names: Names = ""

    def matches(self, class_: str) -> bool:
        """True for an ereport of this class."""
        return fnmatchcase(class_, self.class_)


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fires on event n + 1 within t_s seconds."""

    n: int
    t_s: float


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """One fault. *roles*: those it can sit on. *prior*: how often, relative to the others (illumos's FIT)."""

    id: str
    class_: str
    roles: list[str]
    prior: float
    severity: Literal["Critical", "Major", "Minor"]
    urgency: Literal["now", "working-hours", "never-mind"]
    symptoms: list[Symptom]
    serd: Threshold | None = None


class LinkSuspect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """Who is blamed for a marginal direction of a link, with which weight."""

    class_: str
    part: Literal["link", "transmitter", "receiver"]
    weight: int


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How corrected errors of a link are judged: see rate.py."""

    receiver: list[str]
    transmitter: list[str]
    bit_error_rate: float
    factor: float
    least: int
    windows_s: list[float]
    suspects: list[LinkSuspect]
    severity: Literal["Critical", "Major", "Minor"]
    urgency: Literal["now", "working-hours", "never-mind"]


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. *codes*: dictionary, number, class set."""

    version: str
    explained: list[str]
    link: Link
    faults: list[Fault]
    codes: dict[str, dict[int, list[str]]]

    def explains_away(self, class_: str) -> bool:
        """True for a class that is no fault by itself."""
        return any(fnmatchcase(class_, glob) for glob in self.explained)

    def is_link(self, class_: str) -> bool:
        """True for a corrected error of a link."""
        return class_ in self.link.receiver or class_ in self.link.transmitter

    def code_of(self, classes: frozenset[str]) -> tuple[str, int] | None:
        """Dictionary and number of a class set; None where it has none."""
        for dictionary, entries in self.codes.items():
            for number, members in entries.items():
                if frozenset(members) == classes:
                    return dictionary, number
        return None


def load(path: Path, site: Path | None = None) -> Rules:
    """The built-in rules, with a site's faults added or put in place of those with the same id. PluginError names every mistake."""
    data = load_data(path)
    if site is not None:
        data = _merged(data, load_data(site), site)
    try:
        rules = msgspec.convert(data, Rules, strict=False)
    except msgspec.ValidationError as err:
        raise PluginError(f"{site or path}: {err}") from err
    mistakes = list(check(rules))
    if mistakes:
        raise PluginError("; ".join(f"{site or path}: {mistake}" for mistake in mistakes))
    return rules


def _merged(data: Any, more: Any, site: Path) -> Any:
    if not isinstance(more, dict) or not set(more) <= {"version", "faults", "explained", "link", "codes"}:
        raise PluginError(f"{site}: $: a site's rules may have version, faults, explained, link and codes")
    added = more.get("faults", [])
    if not isinstance(added, list) or not all(isinstance(fault, dict) and "id" in fault for fault in added):
        raise PluginError(f"{site}: $.faults: a list of faults, each with an id")
    own = {fault["id"]: fault for fault in added}
    kept = [own.pop(fault["id"], fault) for fault in data["faults"]]
    merged = {**data, "faults": [*kept, *own.values()], "explained": [*data["explained"], *more.get("explained", [])]}
    merged["link"] = {**data["link"], **more.get("link", {})}
    merged["codes"] = {**data["codes"], **more.get("codes", {})}
    merged["version"] = f"{data['version']}+{more.get('version', 'site')}"
    return merged


def check(rules: Rules) -> Iterator[str]:
    """Every mistake, as `$.path: what`: doubled ids, unknown roles, impossible numbers, what can never be reached."""
    seen: set[str] = set()
    for n, fault in enumerate(rules.faults):
        where = f"$.faults[{n}]"
        if fault.id in seen:
            yield f"{where}.id: {fault.id!r} stands twice"
        seen.add(fault.id)
        if not fault.class_.startswith(("fault.", "defect.")) or len(fault.class_) > 100:
            yield f"{where}.class: {fault.class_!r} is no fault class: fault.… or defect.…, at most 100 characters"
        yield from (f"{where}.roles: no role is called {role!r}: there are {', '.join(ROLES)}" for role in fault.roles if role not in ROLES)
        if fault.prior < 0 or (fault.prior > 0) != bool(fault.symptoms):
            yield f"{where}.prior: a fault with symptoms has a prior above 0, one without has 0"
        yield from _check_symptoms(rules, fault, where)
    if not any(not fault.symptoms for fault in rules.faults):
        yield "$.faults: one without symptoms must be there, for what nothing else explains"
    if not 0 < rules.link.bit_error_rate < 1 or rules.link.factor < 1 or rules.link.least < 1:
        yield "$.link: bit_error_rate lies between 0 and 1, factor and least are 1 or more"


def _check_symptoms(rules: Rules, fault: Fault, where: str) -> Iterator[str]:
    for m, symptom in enumerate(fault.symptoms):
        if not 0 < symptom.p < 1:
            yield f"{where}.symptoms[{m}].p: {symptom.p} must lie between 0 and 1"
        if not symptom.class_.startswith("ereport."):
            yield f"{where}.symptoms[{m}].class: {symptom.class_!r} is no ereport class"
        if rules.explains_away(symptom.class_) or rules.is_link(symptom.class_):
            yield f"{where}.symptoms[{m}].class: {symptom.class_} never gets here: it is in $.explained or $.link"
