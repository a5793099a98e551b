"""Where a plugin's process asks for services: each question becomes one call of pcifma.plugin's Services, Case, Serd or Host.

What the services refuse is told to the plugin; a question that cannot be understood has ended the process before it gets here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pcifma.access.seam import Host
from pcifma.errors import PcifmaError, PluginError
from pcifma.event.ereport import Ereport
from pcifma.event.line import decode
from pcifma.fmd.child import message
from pcifma.plugin.module import Case, Serd, Services

# The one argument `ask` is the message of the row's type.
_SERVICES: dict[type[message.Message], Callable[[Services, Any], object]] = {
    message.Count: lambda services, ask: services.count(ask.statistic, ask.n),
    message.Arm: lambda services, ask: services.arm(ask.timer, ask.delay_s, ask.data, keep=ask.keep),
    message.Disarm: lambda services, ask: services.disarm(ask.timer),
    message.Get: lambda services, ask: services.get(ask.buffer),
    message.Put: lambda services, ask: services.put(ask.buffer, ask.data),
    message.Post: lambda services, ask: services.post(ask.finding),
    message.Subscribe: lambda services, ask: services.subscribe(*ask.globs),
    message.GetStatus: lambda services, ask: services.status(),
    message.GetCoverage: lambda services, ask: list(services.coverage()),
    message.SerdRecord: lambda services, ask: _serd(services.serd(ask.name, ask.n, ask.t_s), ask.event),
}
_CASE: dict[type[message.Message], Callable[[Case, Any], object]] = {
    message.CaseState: lambda case, ask: case.state,
    message.CloseCase: lambda case, ask: case.close(),
    message.AddEreport: lambda case, ask: case.add_ereport(_ereport(ask.event)),
    message.AddSuspect: lambda case, ask: case.add_suspect(ask.suspect),
    message.Solve: lambda case, ask: case.solve(ask.code, severity=ask.severity, urgency=ask.urgency, rest=ask.rest),
    message.Revise: lambda case, ask: case.revise(
        ask.suspects, code=ask.code, severity=ask.severity, urgency=ask.urgency, rest=ask.rest
    ),
}
_HOST: dict[str, Callable[[Host, str], object]] = {
    "read": lambda host, path: host.read(path),
    "entries": lambda host, path: list(host.entries(path)),
    "link": lambda host, path: host.link(path),
    "why": lambda host, path: host.why(path),
}


class Desk:
    """Answers the questions of one plugin. A source has a *host* and no *services*."""

    def __init__(self, host: Host | None = None, services: Services | None = None) -> None:
        self._host, self._services = host, services
        self._cases: dict[str, Case] = {}

    def answer(self, ask: message.Message) -> message.Reply | message.Refusal:
        """What the services say."""
        try:
            return message.Reply(self._do(ask))
        except (PcifmaError, ValueError, KeyError) as err:
            return message.Refusal(f"{type(err).__name__}: {err}")

    def _do(self, ask: message.Message) -> object:
        if isinstance(ask, message.HostAsk):
            host = self._host or (self._services.host if self._services is not None else None)
            if host is None or ask.what not in _HOST:
                raise PluginError("the host's facts are there for watches() and for modules only")
            return _HOST[ask.what](host, ask.path)
        if self._services is None:
            raise PluginError("a source has no services")
        if type(ask) in _SERVICES:
            return _SERVICES[type(ask)](self._services, ask)
        return self._ask_case(self._services, ask)

    def _ask_case(self, services: Services, ask: Any) -> object:
        if isinstance(ask, message.OpenCase):
            return self._known(services.open_case(ask.key))
        if isinstance(ask, message.Cases):
            return [[self._known(case), case.key] for case in services.cases()]
        if ask.uuid not in self._cases:
            for case in services.cases():
                self._known(case)
        return _CASE[type(ask)](self._cases[ask.uuid], ask)

    def _known(self, case: Case) -> str:
        self._cases[case.uuid] = case
        return case.uuid


NO_DESK = Desk()


def _serd(engine: Serd, event: bytes) -> bool:
    if event:
        return engine.record(_ereport(event))
    engine.reset()
    return False


def _ereport(line: bytes) -> Ereport:
    event = decode(line, "ereport")
    if not isinstance(event, Ereport):
        raise PluginError(f"{type(event).__name__} is no ereport")
    return event
