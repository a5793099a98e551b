"""The message agent: each event of a case becomes one message, in the journal by its native protocol, or in syslog.

Which events were announced is the module's place in the log, so a restart or a reboot announces nothing again. The socket never
blocks; what it does not take waits for a while, then is dropped and counted.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from pcifma.plugin import Ereport, Fabric, ListEvent, PluginError, Services, guests, load_data

from .message import Message, native, of_case, syslog

ARTICLES = Path(__file__).parents[1] / "pcie_diagnosis" / "articles.yaml"
WAITING = 256  # messages that the socket did not take
RETRY_S = 1.0
GATHER_S = 5.0  # Functions fall silent together: one message for all
WRITES_S = 10.0
BLIND = ("ereport.pcifma.unread", "ereport.pcifma.keeper", "ereport.pcifma.lost", "ereport.pcifma.module", "ereport.pcifma.exec")
_WAYS = ("off", "auto", "journal", "syslog")
_ASLEEP = "asleep"  # nobody's fault: it is left asleep on purpose
_SHOWN = 5


def open(services: Services) -> Agent:
    """Start the agent; PluginError for a way that there is not."""
    return Agent(services)


class Agent:
    """The module. Timers: `retry`, `blind` (say who was not read), `writes` (look whether hardware was written to)."""

    def __init__(self, services: Services) -> None:
        properties = services.properties
        self._services = services
        self._to = str(properties["to"])
        if self._to not in _WAYS:
            raise PluginError(f"modules.syslog_msgs.to: {self._to!r}: write {', '.join(_WAYS)}")
        self._paths = {way: str(properties[way]) for way in ("journal", "syslog")}
        self._waiting: deque[Message] = deque()
        self._blind: dict[str, str] = {}
        self._writes = 0
        self._articles: Mapping[str, Mapping[str, str]] = {}
        self._socket: socket.socket | None = None
        if self._to == "off":
            return
        self._articles = load_data(ARTICLES)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        services.subscribe("list.*", *BLIND)
        services.arm("writes", WRITES_S, keep=False)
        status = services.status()
        self._send(Message("started", f"pcifma {status.version} watches {len(services.fabric.functions)} Functions"))

    def recv(self, event: Ereport | ListEvent) -> None:
        """Say what a case has come to; gather what makes us blind."""
        if isinstance(event, Ereport):
            self._note(event)
            return
        first = event.fault_list[0].class_ if event.fault_list else ""
        owned = guests(self._services.host, self._services.fabric)
        self._send(of_case(event, self._services.fabric, owned, self._articles.get(first, {})))

    def _note(self, event: Ereport) -> None:
        payload = event.payload
        reason = str(payload.get("reason") or payload.get("error") or payload.get("outcome") or event.class_.rpartition(".")[2])
        if reason == _ASLEEP:
            return
        if not self._blind:
            self._services.arm("blind", GATHER_S, keep=False)
        self._blind[str(payload.get("module") or payload.get("stream") or payload.get("program") or event.device)] = reason

    def timeout(self, timer: str, data: str) -> None:
        """Do what was put off."""
        if timer == "blind":
            self._say_blind()
        elif timer == "writes":
            self._say_writes()
            self._services.arm("writes", WRITES_S, keep=False)
        elif timer == "retry":
            waiting, self._waiting = self._waiting, deque()
            for message in waiting:
                self._send(message)

    def _say_blind(self) -> None:
        blind, self._blind = self._blind, {}
        shown = ", ".join(f"{who} ({why})" for who, why in list(blind.items())[:_SHOWN])
        more = f" and {len(blind) - _SHOWN} more" if len(blind) > _SHOWN else ""
        self._send(Message("blind", f"Not everything is seen or told: {shown}{more}. pcifma status", 4, (("BDF", next(iter(blind))),)))

    def _say_writes(self) -> None:
        writes = self._services.status().looks.writes
        if writes > self._writes:
            text = f"{writes - self._writes} status registers were written back after they were logged, {writes} since the start"
            self._send(Message("wrote", text, 5))
        self._writes = writes

    def _send(self, message: Message) -> None:
        if self._waiting:
            self._wait(message)  # in order
            return
        try:
            self._deliver(message)
        except BlockingIOError:
            self._wait(message)
        except OSError:
            self._services.count("messages-dropped")
        else:
            self._services.count("messages-sent")

    def _wait(self, message: Message) -> None:
        if len(self._waiting) >= WAITING:
            self._services.count("messages-dropped")
            return
        self._waiting.append(message)
        if len(self._waiting) == 1:
            self._services.arm("retry", RETRY_S, keep=False)

    def _deliver(self, message: Message) -> None:
        assert self._socket is not None
        if self._to in ("auto", "journal"):
            try:
                self._socket.sendto(native(message), self._paths["journal"])
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if self._to == "journal":
                    raise
        self._socket.sendto(syslog(message), self._paths["syslog"])

    def close(self) -> None:
        """Let the socket go."""
        if self._socket is not None:
            self._socket.close()

    def stats(self) -> Mapping[str, int]:
        """How many messages wait for the socket."""
        return {"waiting": len(self._waiting)}

    def topo(self, fabric: Fabric) -> None:
        """The fabric is looked up when a message needs it."""
