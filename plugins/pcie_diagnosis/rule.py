"""The rules: what faults there are, what each produces, and who is to blame. Data, checked as a whole before anything starts."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from pcifma.plugin import DevType, PluginError

At = Literal["self", "partner", "above", "root", "below"]
Names = Literal["", "requester", "completer", "target", "source"]
ROLES = (*(kind.name.lower() for kind in DevType), "pci", "any")


def matches(class_: str, globs: list[str]) -> bool:
    """True for a class that one of *globs* takes."""
    return any(_globbed(class_, glob) for glob in globs)


@lru_cache(maxsize=16384)
def _globbed(class_: str, glob: str) -> bool:
    return fnmatchcase(class_, glob)


class Symptom(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """An ereport class (a glob) that a fault shows with probability *p*, *at* a place seen from the part at fault."""

    class_: str
    at: At
    p: float
    names: Names = ""

    def matches(self, class_: str) -> bool:
        """True for an ereport of this class."""
        return _globbed(class_, self.class_)


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


class Removal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*explains*: what is no fault within *within_s* seconds of a Function's removal; *cause*: not if the removal came of this."""

    explains: list[str]
    cause: list[str]
    within_s: float


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. *codes*: dictionary, number, class set."""

    version: str
    explained: list[str]
    removal: Removal
    link: Link
    faults: list[Fault]
    codes: dict[str, dict[int, list[str]]]

    def explains_away(self, class_: str) -> bool:
        """True for a class that is no fault by itself."""
        return matches(class_, self.explained)

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


def merged(data: Any, more: Any, site: Path) -> Any:
    """The built-in rules *data* with a site's *more*: faults added, or in place of those with the same id. PluginError."""
    if not isinstance(more, dict) or not set(more) <= {"version", "faults", "explained", "removal", "link", "codes"}:
        raise PluginError(f"{site}: $: a site's rules may have version, faults, explained, removal, link and codes")
    added = more.get("faults", [])
    if not isinstance(added, list) or not all(isinstance(fault, dict) and "id" in fault for fault in added):
        raise PluginError(f"{site}: $.faults: a list of faults, each with an id")
    own = {fault["id"]: fault for fault in added}
    kept = [own.pop(fault["id"], fault) for fault in data["faults"]]
    whole = {**data, "faults": [*kept, *own.values()], "explained": [*data["explained"], *more.get("explained", [])]}
    for key in ("removal", "link", "codes"):
        whole[key] = {**data[key], **more.get(key, {})}
    whole["version"] = f"{data['version']}+{more.get('version', 'site')}"
    return whole
