"""What response agents have in common: when to act, when not to, and how it is undone.

    list.suspect ── off? injected? several suspects? not its class? ──> nothing, and counted
        └── one suspect, within the hour's limit ── dry run ──> ereport.pcifma.retire, outcome `dry-run`
                  └── act ──> the keeper judges again ──> done: list.isolated   refused: said, and nothing else
    list.repaired (also replaced, acquitted) ──> what this agent took is given back

An agent acts once a case. What it took is in a checkpointed buffer, so that a restart, or an upgrade of its rules, forgets nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from pcifma.event.case import ListEvent, Suspect
from pcifma.event.ereport import Ereport
from pcifma.event.value import PayloadValue
from pcifma.fabric.fabric import Fabric
from pcifma.plugin.module import Kind, Response, Services
from pcifma.plugin.watch import HOST, Evidence, Finding

RETIRE_CLASS = "ereport.pcifma.retire"
_HOUR_NS = 3_600_000_000_000
_TAKEN, _TIMES = "taken", "times"
_ASK, _UNDO = "ask:", "undo:"


class Taken(msgspec.Struct, frozen=True):
    """A part that is out of service for a case."""

    kind: Kind
    name: str


_TAKEN_PARTS = msgspec.json.Decoder(dict[str, Taken])
_TIMES_NS = msgspec.json.Decoder(list[int])

Choose = Callable[[Suspect], Response | None]
"""The part that a suspect names, or None where it names none that this agent takes."""


class Agent:
    """A response agent. *choose* says which part a suspect is. Properties: `enabled`, `dry_run`, `per_hour`."""

    def __init__(self, services: Services, choose: Choose) -> None:
        self._services, self._choose = services, choose
        properties = services.properties
        self._on, self._dry = properties.get("enabled") is True, properties.get("dry_run") is not False
        self._per_hour = int(str(properties.get("per_hour", 1)))

    def recv(self, event: Ereport | ListEvent) -> None:
        """Take one case event."""
        if isinstance(event, Ereport):
            return
        if event.class_ == "list.suspect":
            self._suspect(event)
        elif event.class_ in ("list.repaired", "list.resolved"):
            self._repaired(event.uuid)

    def timeout(self, timer: str, data: str) -> None:
        """The keeper has answered."""
        done, _, what = data.partition(" ")
        if timer.startswith(_ASK):
            self._answered(timer.removeprefix(_ASK), done == "done", what)
        elif timer.startswith(_UNDO):
            self._say(timer.removeprefix(_UNDO), "given back" if done == "done" else "not given back", what)

    def close(self) -> None:
        """What is out of service stays so: a daemon that ends repairs nothing."""

    def stats(self) -> Mapping[str, int]:
        """Parts that are out of service now."""
        return {"out-of-service": len(self._taken())}

    def topo(self, fabric: Fabric) -> None:
        """Nothing."""

    def _suspect(self, event: ListEvent) -> None:
        found = [suspect for suspect in event.fault_list if self._choose(suspect) is not None]
        if not found or event.uuid in self._taken():
            return
        response = self._choose(found[0])
        assert response is not None
        why = self._refusal(event)
        if why:
            self._services.count(why)
            return
        if not self._may_now():
            self._say(event.uuid, "limited", f"{response.kind} {response.name}: {self._per_hour} within an hour is the limit")
        elif self._dry:
            self._say(event.uuid, "dry-run", f"would take {response.kind} {response.name} out of service")
        else:
            self._put_taken({**self._taken(), event.uuid: Taken(response.kind, response.name)})
            self._services.respond(f"{_ASK}{event.uuid}", response)

    def _refusal(self, event: ListEvent) -> str:
        if not self._on:
            return "off"
        if event.injected is True:
            return "injected"
        return "several-suspects" if len(event.fault_list) != 1 else ""

    def _may_now(self) -> bool:
        now_ns = self._services.now_ns()
        times = [at for at in _TIMES_NS.decode(self._services.get(_TIMES) or b"[]") if 0 <= now_ns - at < _HOUR_NS]
        if len(times) >= self._per_hour:
            return False
        self._services.put(_TIMES, msgspec.json.encode([*times, now_ns]))
        return True

    def _answered(self, uuid: str, done: bool, what: str) -> None:
        if done:
            self._say(uuid, "retired", what)
            self._services.isolate(uuid)
            return
        self._put_taken({case: part for case, part in self._taken().items() if case != uuid})
        self._say(uuid, "refused", what)

    def _repaired(self, uuid: str) -> None:
        taken = self._taken()
        part = taken.pop(uuid, None)
        if part is not None:
            self._put_taken(taken)
            self._services.respond(f"{_UNDO}{uuid}", Response(part.kind, part.name, restore=True))

    def _say(self, uuid: str, outcome: str, what: str) -> None:
        self._services.count(outcome)
        payload: dict[str, PayloadValue] = {"case": uuid, "outcome": outcome, "what": what[:200]}
        self._services.post(Finding(RETIRE_CLASS, Evidence(HOST, f"case:{uuid}", 0), "info", payload))

    def _taken(self) -> dict[str, Taken]:
        return _TAKEN_PARTS.decode(self._services.get(_TAKEN) or b"{}")

    def _put_taken(self, taken: Mapping[str, Taken]) -> None:
        self._services.put(_TAKEN, msgspec.json.encode(dict(taken)))
