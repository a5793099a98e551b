"""SIGHUP: the configuration read again, as a whole. One mistake, and what was in force stays in force.

What has changed takes effect without a restart, setting by setting; the few that only a restart can change are named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pcifma.errors import ConfigError, PcifmaError
from pcifma.fmd import config as configuration
from pcifma.fmd.config import Config
from pcifma.fmd.daemon import Daemon, limits_of
from pcifma.fmd.exclude import Excluding
from pcifma.fmd.roster import find, misconfigured
from pcifma.fmd.setting import SETTINGS
from pcifma.fmd.socket import Server

LATER = frozenset({"user", "group", "child.user", "retire", "xpv.listen"})  # what only a restart changes
_ROSTER = ("plugins", "child")


class Reload:
    """Called on the loop's thread, for each SIGHUP."""

    def __init__(self, daemon: Daemon, server: Server, exclude: Excluding | None) -> None:
        self._daemon, self._server, self._exclude = daemon, server, exclude
        self._kept_for_clearing = daemon.setup.keeper is None or daemon.setup.config.flag("clear")

    def __call__(self) -> None:
        """Read, check, apply; what came of it is said, and kept as `ereport.pcifma.config`."""
        daemon = self._daemon
        daemon.notify.reloading()
        try:
            told = "; ".join(self._apply(self._read())) or "nothing has changed"
        except ConfigError as err:
            mistakes = str(err).splitlines()
            for mistake in mistakes:
                daemon.say(mistake)
            daemon.say("the configuration is refused: what was in force stays in force")
            daemon.post("config", {"outcome": "refused", "mistakes": len(mistakes), "first": mistakes[0]})
        else:
            daemon.say(f"configuration read again: {told}")
            daemon.post("config", {"outcome": "accepted", "changes": told})
        daemon.notify.ready(daemon.status_line())

    def _read(self) -> Config:
        setup = self._daemon.setup
        config = configuration.read(setup.paths, setup.file)
        configuration.fail(misconfigured(config, setup.paths, find(config, setup.paths, trusted=setup.trusted)))
        return config

    def _apply(self, new: Config) -> list[str]:
        daemon, old = self._daemon, self._daemon.setup.config
        # Clearing can be stopped at any time; it begins only with a keeper that was started for it.
        changed = [name for name in SETTINGS if old.value(name) != new.value(name)]
        later = [name for name in changed if name in LATER or (name == "clear" and not self._kept_for_clearing)]
        new = replace(new, values={**new.values, **{name: old.value(name) for name in later}})
        daemon.setup = replace(daemon.setup, config=new)
        now = [name for name in changed if name not in later]
        for name in now:
            if name.partition(".")[0] not in _ROSTER:
                self._take(name, new)
        told = [*now, *(f"{name} takes effect after a restart" for name in later)]
        try:
            return [*told, *daemon.roster.reconfigure(new)]
        except PcifmaError as err:  # storage failed in the middle: the next SIGHUP does the rest
            return [*told, str(err)]

    def _take(self, name: str, new: Config) -> None:
        daemon, running = self._daemon, self._daemon.running
        steps: dict[str, Callable[[], None]] = {
            "poll.exclude": self._exclude_anew,
            "poll.deadline": self._set_deadline,
            "socket.clients": self._set_clients,
            "probation": self._set_probation,
        }
        if name in steps:
            steps[name]()
        elif running is not None and name.startswith("log."):
            running.log.resize(limits_of(new))
        elif running is not None:  # intervals, and clear; while storage is waited for, they are taken when it comes
            running.lookout.duty = daemon.duty()
            running.lookout.keep_pace()

    def _exclude_anew(self) -> None:
        if self._exclude is not None:
            self._exclude.name(self._daemon.setup.config.texts("poll.exclude"))
            self._daemon.rebuild()

    def _set_deadline(self) -> None:
        if self._daemon.setup.readers is not None:
            self._daemon.setup.readers.deadline_s = self._daemon.setup.config.number("poll.deadline")

    # Of repairs from now on: a probation that has begun ends when it was said to.
    def _set_probation(self) -> None:
        if self._daemon.running is not None:
            self._daemon.running.engine.docket.probation.lasts_ns = int(self._daemon.setup.config.number("probation") * 1e9)

    def _set_clients(self) -> None:
        self._server.limit = int(self._daemon.setup.config.number("socket.clients"))
