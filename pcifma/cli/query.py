"""Which events of the log are wanted: fmdump's filters. Several of one kind mean any of them, of different kinds all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from pcifma.errors import UsageError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fmd.engine.case import load
from pcifma.fmd.log.reader import Logged, Reader

Which = Literal["fault", "error", "info", "own", "all"]
_OWN = "ereport.pcifma."


@dataclass(frozen=True, slots=True)
class Named:
    """A member of an event by its *path* (`payload.bit`, or `bit` for short), and the regular expression that its value must have."""

    path: tuple[str, ...]
    value: re.Pattern[str] | None

    @classmethod
    def parse(cls, text: str) -> Named:
        """`name[.name]*[=value]`; UsageError."""
        path, equals, value = text.partition("=")
        names = tuple(path.split("."))
        if not all(names):
            raise UsageError(f"-n {text!r}: write name[.name]*[=value], as payload.bit=18")
        try:
            return cls(names, re.compile(value) if equals else None)
        except re.error as err:
            raise UsageError(f"-n {text!r}: the value is no regular expression: {err}") from None

    def fits(self, event: dict[str, Any]) -> bool:
        """True if *event* has such a member."""
        payload = event.get("payload")
        return any(self._matches(value) for where in (event, payload) for value in _members(where, self.path))

    def _matches(self, value: object) -> bool:
        if self.value is None:
            return True
        forms = {_text(value)} | ({hex(value)} if isinstance(value, int) and not isinstance(value, bool) else set())
        return any(self.value.search(form) for form in forms)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _members(value: object, path: tuple[str, ...]) -> Iterator[object]:
    if not path:
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _members(each, path)
    elif isinstance(value, dict) and path[0] in value:
        yield from _members(value[path[0]], path[1:])


@dataclass(frozen=True)
class Query:
    """*which* log; class globs, times (bounds included), uuids (or their beginnings), members; *injected*: synthetic events too.

    *cases* are the uuids of ereports that the cases among *uuids* stand on.
    """

    which: Which = "fault"
    classes: tuple[str, ...] = ()
    since: str = ""
    until: str = "~"
    uuids: tuple[str, ...] = ()
    names: tuple[Named, ...] = ()
    injected: bool = True
    cases: frozenset[str] = frozenset()

    def keeps(self, logged: Logged) -> bool:
        """True if the event is wanted."""
        event = logged.event
        return (
            self._of_log(event)
            and self.since <= event.time <= self.until
            and (self.injected or event.injected is not True)
            and _any(fnmatchcase(event.class_, glob) for glob in self.classes)
            and self._of_uuid(logged)
            and (not self.names or self._of_name(event))
        )

    def _of_log(self, event: Ereport | ListEvent) -> bool:
        if self.which == "all":
            return True
        if isinstance(event, ListEvent):
            return self.which == "fault"
        return {"error": True, "info": event.severity == "info", "own": event.class_.startswith(_OWN)}.get(self.which, False)

    def _of_uuid(self, logged: Logged) -> bool:
        own = (logged.event.uuid, logged.uuid)
        return not self.uuids or own[1] in self.cases or any(uuid.startswith(text) for text in self.uuids for uuid in own)

    def _of_name(self, event: Ereport | ListEvent) -> bool:
        whole: dict[str, Any] = msgspec.to_builtins(event)
        return any(name.fits(whole) for name in self.names)

    def with_evidence(self, log: Reader) -> Query:
        """The same, knowing which ereports the cases stand on now."""
        if not self.uuids or self.which == "fault":
            return self
        rows = [row for row in log.cases() if any(row.uuid.startswith(text) for text in self.uuids)]
        found = {uuid for row in rows for uuid in log.evidence(load(row).id)}
        found |= {uuid for row in rows for event in log.lists(row.uuid) for uuid in event.ereports}
        return replace(self, cases=frozenset(found))


def _any(tests: Iterable[bool]) -> bool:
    # No test at all is no objection.
    found = list(tests)
    return not found or any(found)
