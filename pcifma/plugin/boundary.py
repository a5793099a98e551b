"""The boundary: what a plugin hands to the core, looked at here before anything is done with it.

A built-in plugin's objects and those decoded from a plugin's process pass alike. PluginError says what is wrong; raised inside the
Guard around the call, it sets that plugin aside. What passed is of the API's own types, within their ranges, and bounded in number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, TypeVar, get_args

from pcifma.errors import PluginError
from pcifma.event.value import FABRIC_CLASS, PayloadValue, Severity
from pcifma.plugin.watch import Evidence, Finding, Read, Target, TargetKind, Tier, Watch, When
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

if TYPE_CHECKING:
    from pcifma.event.ereport import Ereport

FINDING_LIMIT = 4096  # of one call: every bit of every register of one Function is less
WATCH_LIMIT = 200_000
OTHER_LIMIT = 4096  # targets that are no Functions: processors, guests
STATISTIC_LIMIT = 1024
NUMBER_LIMIT = (1 << 53) - 1  # contract 1.1: what a JSON number holds exactly
_BIT_LIMIT = 1 << 31  # a condition that is no register's bit has a number of its plugin's choice
_MASK_LIMIT = 1 << 32
_HOLD_LIMIT_S = 10 * 365 * 86400.0
_NAME_BYTES = 256
_TEXT_BYTES = 4096
_PAYLOAD_LIMIT, _LIST_LIMIT, _PAYLOAD_BYTES = 128, 256, 32 << 10
_UUID_LENGTH = 36

_SEVERITIES, _KINDS, _TIERS, _WHENS = (frozenset(get_args(kind)) for kind in (Severity, TargetKind, Tier, When))

T = TypeVar("T")


def watches(given: Iterable[object]) -> list[Watch]:
    """What watches() gave; PluginError if there are more than WATCH_LIMIT or one is not as the API says."""
    found = _bounded(given, WATCH_LIMIT, "watches")
    known: set[int] = set()  # plugins share one tuple of reads among many watches; *found* keeps them alive
    checked = [_watch(one, known) for one in found]
    if len({one.target for one in checked if one.target.kind != "function"}) > OTHER_LIMIT:
        raise PluginError(f"flood: more than {OTHER_LIMIT} targets that are no Functions")
    return checked


def findings(given: Iterable[object]) -> list[Finding]:
    """What normalise() gave; PluginError if there are more than FINDING_LIMIT or one is not as the API says."""
    return [finding(one) for one in _bounded(given, FINDING_LIMIT, "findings")]


def finding(given: object) -> Finding:
    """*given*, if it is a Finding that can be made an ereport of; PluginError otherwise."""
    if type(given) is not Finding:
        raise PluginError(f"a finding is wanted, not {_shown(given)}")
    _class(given.class_)
    _evidence(given.evidence)
    if not _is_one_of(given.severity, _SEVERITIES):
        raise PluginError(f"{given.class_}: severity {_shown(given.severity)}: write one of {', '.join(sorted(_SEVERITIES))}")
    if type(given.residue) is not bool:
        raise PluginError(f"{given.class_}: residue {_shown(given.residue)} is no truth value")
    number(given.count, 1, NUMBER_LIMIT, f"{given.class_}: count")
    payload = _payload(given.class_, given.payload)
    return given if payload is given.payload else given._replace(payload=payload)


def event(given: object) -> Ereport:
    """*given*, if it is an ereport that can have come from the log; PluginError otherwise."""
    from pcifma.event.ereport import Ereport  # noqa: PLC0415 - sources hand over none

    if not isinstance(given, Ereport):
        raise PluginError(f"an ereport is wanted, not {_shown(given)}")
    uuid = text(given.uuid, _UUID_LENGTH, "an ereport's uuid")
    if len(uuid) != _UUID_LENGTH or uuid.strip("0123456789abcdef-"):  # what is left begins with another character
        raise PluginError(f"an ereport's uuid {_shown(uuid)} is none")
    number(given.seq, 0, NUMBER_LIMIT, "an ereport's seq")
    number(given.count, 1, NUMBER_LIMIT, "an ereport's count")
    return given


def statistics(given: object) -> dict[str, int]:
    """What stats() gave: names and whole numbers of 64 bits; PluginError otherwise."""
    if not isinstance(given, Mapping):
        raise PluginError(f"stats() gave {_shown(given)}: a mapping of names to whole numbers is wanted")
    pairs = _bounded(given.items(), STATISTIC_LIMIT, "statistics")
    return {text(name, _NAME_BYTES, "a statistic"): number(n, -(1 << 63), (1 << 63) - 1, "a statistic") for name, n in pairs}


def number(given: object, low: int, high: int, what: str) -> int:
    """*given*, if it is a whole number from *low* to *high*; PluginError, about *what*, otherwise."""
    if type(given) is not int or not low <= given <= high:
        raise PluginError(f"{what} {_shown(given)} is out of range: a whole number from {low} to {high}")
    return given


def seconds(given: object, what: str) -> float:
    """*given*, if it is a finite time from 0 to ten years, in seconds; PluginError, about *what*, otherwise."""
    if type(given) not in (int, float) or not 0 <= given <= _HOLD_LIMIT_S:  # type: ignore[operator]
        raise PluginError(f"{what} {_shown(given)} is out of range: seconds, from 0 to ten years")
    return float(given)  # type: ignore[arg-type]


def text(given: object, limit: int, what: str) -> str:
    """*given*, if it is text of at most *limit* bytes that a log can hold; PluginError, about *what*, otherwise."""
    if type(given) is str and len(given) <= limit and "\0" not in given:
        try:
            if given.isascii() or len(given.encode()) <= limit:
                return given
        except UnicodeEncodeError:
            pass
    raise PluginError(f"{what} {_shown(given)}: text of at most {limit} bytes is wanted")


def _bounded(given: Iterable[T], limit: int, what: str) -> list[T]:
    found = list(islice(given, limit + 1))
    if len(found) > limit:
        raise PluginError(f"flood: more than {limit} {what} in one call")
    return found


# A hostile object's own repr is not called: it may hang, raise, or be of any length.
def _shown(given: object) -> str:
    if type(given) is int:
        return str(given) if given.bit_length() <= 64 else f"of {given.bit_length()} bits"
    if type(given) in (bool, float, type(None)):
        return str(given)
    return ascii(given[:60]) if type(given) is str else f"({type(given).__name__})"


def _is_one_of(given: object, known: frozenset[str]) -> bool:
    return type(given) is str and given in known


@lru_cache(maxsize=1024)
def _is_class(name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 1 and all(part.isascii() and part.replace("-", "").replace("_", "").isalnum() for part in parts)


def _class(name: object) -> None:
    class_ = text(name, _NAME_BYTES, "class")
    if not class_.startswith("ereport.") or not _is_class(class_):
        raise PluginError(f"class {_shown(class_)}: write ereport. and names joined by dots")
    if class_ == FABRIC_CLASS:
        raise PluginError(f"class {FABRIC_CLASS} is the core's own")


def _evidence(given: object) -> None:
    if type(given) is not Evidence:
        raise PluginError(f"evidence is wanted, not {_shown(given)}")
    _target(given.target)
    if type(given.location) is str:
        text(given.location, _TEXT_BYTES, "evidence: location")
        number(given.bit, 0, _BIT_LIMIT, f"evidence {_shown(given.location)}: bit")
    else:
        location = _location(given.location)
        number(given.bit, 0, 8 * location.width - 1, f"evidence {location}: bit")


def _payload(class_: str, given: object) -> Mapping[str, PayloadValue]:
    if not isinstance(given, Mapping):
        raise PluginError(f"{class_}: payload {_shown(given)} is no mapping")
    items = list(islice(given.items(), _PAYLOAD_LIMIT + 1))
    if len(items) > _PAYLOAD_LIMIT:
        raise PluginError(f"{class_}: a payload of more than {_PAYLOAD_LIMIT} members")
    size = 0
    for name, value in items:
        size += len(text(name, _NAME_BYTES, f"{class_}: a payload's name"))
        size += _member(value, f"{class_}: payload {name}")
    if size > _PAYLOAD_BYTES:
        raise PluginError(f"{class_}: a payload of more than {_PAYLOAD_BYTES >> 10} KiB")
    return given if type(given) is dict else dict(items)


# What *value* takes, in bytes, roughly.
def _member(value: object, what: str) -> int:
    kind = type(value)
    if kind is int:
        number(value, -NUMBER_LIMIT, NUMBER_LIMIT, what)
        return 8
    if kind is str:
        return len(text(value, _TEXT_BYTES, what))
    if value is None or kind is bool:
        return 1
    if type(value) is list and len(value) <= _LIST_LIMIT and all(type(item) in (int, str) for item in value):
        return sum(_member(item, what) for item in value)
    raise PluginError(f"{what} {_shown(value)}: a whole number, text, truth value, null, or a short list of numbers and texts is wanted")


@lru_cache(maxsize=8192)
def _is_location(location: Location) -> bool:
    try:
        return Location.parse(str(location)) == location
    except (ValueError, TypeError, KeyError):
        return False


def _location(given: object) -> Location:
    if type(given) is not Location or not all(map(_is_plain, given)) or not _is_location(given):
        raise PluginError(f"a location is wanted, as Location.parse makes one, not {_shown(given)}")
    return given


def _is_plain(value: object) -> bool:
    return type(value) in (int, str)


@lru_cache(maxsize=8192)
def _is_target(target: Target) -> bool:
    if target.kind not in _KINDS:
        return False
    if target.kind != "function":
        return len(target.name) <= _NAME_BYTES and target.name.isascii() and target.name.isprintable() and target.name != ""
    try:
        return str(Bdf.parse(target.name)) == target.name
    except ValueError:
        return False


def _target(given: object) -> None:
    if type(given) is not Target or not all(type(part) is str for part in given) or not _is_target(given):
        raise PluginError(f"a target is wanted: a Function's address, a CPU, a domain or the host, not {_shown(given)}")


def _watch(given: object, known: set[int]) -> Watch:
    if type(given) is not Watch:
        raise PluginError(f"a watch is wanted, not {_shown(given)}")
    _target(given.target)
    for location in (given.location, given.behind):
        if location is not None:
            _location(location)
    number(given.mask, 0, _MASK_LIMIT - 1, f"watch of {given.target}: mask")
    if not _is_one_of(given.when, _WHENS) or not _is_one_of(given.tier, _TIERS):
        raise PluginError(f"watch of {given.target}: when {_shown(given.when)}, tier {_shown(given.tier)}: no such words")
    seconds(given.hold, f"watch of {given.target}: hold")
    for held, check in ((given.reads, _read), (given.facts, _fact)):
        if type(held) is not tuple:
            raise PluginError(f"watch of {given.target}: reads and facts are tuples, not {_shown(held)}")
        if id(held) not in known:
            for one in held:
                check(one)
            known.add(id(held))
    return given


def _read(given: object) -> None:
    if type(given) is not Read or type(given.again) is not bool:
        raise PluginError(f"a read is wanted, not {_shown(given)}")
    _location(given.location)
    if given.target is not None:
        _target(given.target)


def _fact(given: object) -> None:
    text(given, _TEXT_BYTES, "a fact's path")


