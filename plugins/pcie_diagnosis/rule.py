"""The rules: what faults there are, what each produces, and who is to blame. Data, checked as a whole before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import msgspec

from pcifma.plugin import DevType

At = Literal["self", "device", "partner", "child", "above", "root", "below", "anywhere"]
Names = Literal["", "requester", "completer", "target", "source"]
Level = Literal["", "correctable", "nonfatal", "fatal"]
SeverityWord = Literal["Critical", "Major", "Minor"]
UrgencyWord = Literal["now", "working-hours", "never-mind"]
ROLES = (*(kind.name.lower() for kind in DevType), "pci", "pci_bridge", "any")
# What a diagnosis knows of an ereport beyond its class and header (evidence.py), for a symptom's `tag`.
TAGS = ("", "from-host", "from-device", "oversize", "completion", "foreign", "at-port", "by-message", "rp-pio", "off", "empty")


def matches(class_: str, globs: list[str]) -> bool:
    """True for a class that one of *globs* takes."""
    return any(globbed(class_, glob) for glob in globs)


@lru_cache(maxsize=16384)
def globbed(class_: str, glob: str) -> bool:
    """True for a class that *glob* takes."""
    return fnmatchcase(class_, glob)


class Symptom(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """An ereport class (a glob) that a fault shows with probability *p*, *at* a place seen from the part at fault.

    *names*: its log must name the part. *severity*, *tag*: only such ereports. *must*: where it is not seen, it is not this fault.
    """

    class_: str
    at: At
    p: float
    names: Names = ""
    severity: Level = ""
    tag: str = ""
    must: bool = False

    def matches(self, class_: str) -> bool:
        """True for an ereport of this class."""
        return globbed(class_, self.class_)


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fires on event n + 1 within t_s seconds. *below*: `watch` opens a case that pages nobody, `silent` none."""

    n: int
    t_s: float
    below: Literal["watch", "silent"] = "silent"


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """One fault. *roles*: those it can sit on. *prior*: how often, relative to the others (illumos's FIT); *priors*: of single roles.

    *idle*: what the prior is multiplied by on a Function that nobody asks anything (no driver is bound to it, or it sleeps).

    *shared*: it is a fault of the link or slot, which all Functions of a device have in common. *group*: what a site switches off
    together.
    """

    id: str
    class_: str
    roles: list[str]
    prior: float
    severity: SeverityWord
    urgency: UrgencyWord
    symptoms: list[Symptom]
    serd: Threshold | None = None
    shared: bool = False
    group: str = ""
    priors: dict[str, float] = {}
    idle: float = 1.0


class LinkSuspect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """Who is blamed for a marginal direction of a link, with which weight, and with which where *when* is so."""

    class_: str
    part: Literal["link", "transmitter", "receiver"]
    weight: int
    when: Literal["", "lanes", "spread", "both"] = ""


class Flit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Links that carry flits: *classes* are counted there and nothing else, against *error_rate* bad flits of *bits* each."""

    classes: list[str]
    error_rate: float
    bits: int


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How corrected errors of a link are judged: see rate.py."""

    receiver: list[str]
    transmitter: list[str]
    lane: list[str]
    flit: Flit
    bit_error_rate: float
    factor: float
    least: int
    windows_s: list[float]
    suspects: list[LinkSuspect]
    severity: SeverityWord
    urgency: UrgencyWord


class Removal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*explains*: what is no fault within *within_s* seconds of a Function's removal; *cause*: not if the removal came of this.

    *guest*: how often the same must happen at a guest's own Function before it is a fault, since guests reset them at will.
    """

    explains: list[str]
    cause: list[str]
    within_s: float
    guest: Threshold


class Kind(NamedTuple):
    """An ereport class, sorted: a corrected error of a link; no fault by itself; a shadow on PCI Express; an echo of what others say."""

    link: bool
    explained: bool
    shadow: bool
    echo: bool


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The whole file. *codes*: dictionary, number, class set."""

    version: str
    explained: list[str]
    express_shadows: list[str]
    echoes: list[str]
    removal: Removal
    link: Link
    faults: list[Fault]
    codes: dict[str, dict[int, list[str]]]

    def explains_away(self, class_: str, *, express: bool = True) -> bool:
        """True for a class that is no fault by itself, at a Function that is PCI Express (or is not)."""
        kind = self.kind(class_)
        return kind.explained or (express and kind.shadow)

    def is_echo(self, class_: str) -> bool:
        """True for a class that repeats what others say better: judged only where they say nothing."""
        return self.kind(class_).echo

    def is_link(self, class_: str) -> bool:
        """True for a corrected error of a link."""
        return self.kind(class_).link

    @cached_property
    def kind(self) -> Callable[[str], Kind]:
        """What *class_* is to these rules; each is looked up once."""
        return lru_cache(maxsize=1024)(self._kind)

    def _kind(self, class_: str) -> Kind:
        link = self.link
        is_link = class_ in (*link.receiver, *link.transmitter, *link.lane, *link.flit.classes)
        explained, shadow, echo = (matches(class_, globs) for globs in (self.explained, self.express_shadows, self.echoes))
        return Kind(is_link, explained, shadow, echo)

    def code_of(self, classes: frozenset[str]) -> tuple[str, int] | None:
        """Dictionary and number of a class set; None where it has none."""
        for dictionary, entries in self.codes.items():
            for number, members in entries.items():
                if frozenset(members) == classes:
                    return dictionary, number
        return None

    def classes(self) -> frozenset[str]:
        """Every fault class that these rules can blame somebody for."""
        return frozenset({fault.class_ for fault in self.faults} | {row.class_ for row in self.link.suspects})
