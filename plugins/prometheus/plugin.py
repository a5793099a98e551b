"""The Prometheus exporter: the daemon's counts and cases as metrics, in a file that is replaced whole, or over HTTP on this host.

Numbers are taken on the daemon's loop, at an interval; whoever scrapes gets those of the last time. So a daemon that is stuck goes on
answering with a last look that grows old: that is what the alert on it is for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from pcifma.plugin import Ereport, Fabric, ListEvent, PluginError, Services, guests

from .series import Bounded, folded

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from prometheus_client.core import Metric

NO_ERRORS = ("ereport.io.pci.fabric", "ereport.pcifma.")  # the registers behind the errors; what pcifma says of itself
TICK = "tick"
FIRST_S = 1.0


def open(services: Services) -> Exporter:
    """Start the exporter; PluginError for an address that is not this host's own, or without the library."""
    return Exporter(services)


class Exporter:
    """The module, and the collector that prometheus_client asks: *latest* is what it answers with."""

    def __init__(self, services: Services) -> None:
        properties = services.properties
        self._services = services
        self._interval_s = max(1.0, float(str(properties["interval"])))
        self._limit = max(64, int(str(properties["series"])))
        self._textfile = str(properties["textfile"])
        self._ereports = Bounded(self._limit)
        self._server: tuple[WSGIServer, Thread] | None = None
        self.latest: list[Metric] = []
        listen = str(properties["listen"])
        if not listen and not self._textfile:
            return
        self._registry = _registry(self)
        if listen:
            self._server = _serve(listen, self._registry)
        services.subscribe("ereport.*")
        services.arm(TICK, FIRST_S, keep=False)

    def collect(self) -> Iterable[Metric]:
        """The metrics as they were last taken."""
        return self.latest

    def recv(self, event: Ereport | ListEvent) -> None:
        """Count an ereport."""
        if isinstance(event, Ereport) and not event.class_.startswith(NO_ERRORS) and event.injected is not True:
            bdf = folded(self._services.fabric, event.device)
            self._ereports.add((bdf, event.class_.removeprefix("ereport."), event.severity), event.count)

    def timeout(self, timer: str, data: str) -> None:
        """Take the numbers, and write the file."""
        from .metric import Facts, families  # noqa: PLC0415 - loads prometheus_client, which is there if we get here

        services = self._services
        services.arm(TICK, self._interval_s, keep=False)
        owned = guests(services.host, services.fabric)
        facts = Facts(services.status(), services.fabric, tuple(services.coverage()), owned, self._ereports, self._limit)
        self.latest = list(families(facts))
        if self._textfile:
            self._write()

    def _write(self) -> None:
        from prometheus_client import generate_latest  # noqa: PLC0415 - see above

        path = Path(self._textfile)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")  # no *.prom: the collector must not read half of it
        try:
            fresh.write_bytes(generate_latest(self._registry))
            fresh.chmod(0o644)  # the collector is another user; the library's own writer leaves what the umask gives
            fresh.replace(path)
        except OSError:
            self._services.count("textfile-errors")

    def close(self) -> None:
        """Answer no more; the file goes, so that nobody takes it for new."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
        if self._textfile:
            with contextlib.suppress(OSError):
                Path(self._textfile).unlink(missing_ok=True)

    def stats(self) -> Mapping[str, int]:
        """How many series there are."""
        return {"series": sum(len(metric.samples) for metric in self.latest)}

    def topo(self, fabric: Fabric) -> None:
        """The fabric is looked up at each interval."""


def _registry(exporter: Exporter) -> Any:
    try:
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an optional dependency
    except ImportError as err:
        raise PluginError("modules.prometheus: the package prometheus-client is missing: pip install 'pcifma[prometheus]'") from err
    registry = CollectorRegistry()
    registry.register(exporter)
    return registry


def _serve(listen: str, registry: Any) -> tuple[WSGIServer, Thread]:
    import ipaddress  # noqa: PLC0415 - with what an exporter that is off need not load

    from prometheus_client import start_http_server  # noqa: PLC0415 - see above

    host, _, port = listen.rpartition(":")
    try:
        own = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        own = False
    if not own or not port.isdecimal():
        raise PluginError(f"modules.prometheus.listen: {listen!r}: write a loopback address and a port, as 127.0.0.1:9775")
    try:
        return start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, OverflowError) as err:
        raise PluginError(f"modules.prometheus.listen: {listen}: {err}: take another port") from err
