"""What the engine cannot do by itself for a module: the daemon's own counts, the machine's coverage, programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pcifma import __version__
from pcifma.errors import PluginError
from pcifma.platform.coverage import Coverage
from pcifma.plugin.module import Response
from pcifma.plugin.status import Status


@dataclass(frozen=True, slots=True)
class Program:
    """What a module wants run: an absolute path and its arguments, *data* for its standard input, *limit_s* to end in."""

    words: Sequence[str]
    data: bytes
    limit_s: float


class House(Protocol):
    """The daemon around the engine. Everything is called on the loop's thread."""

    def status(self) -> Status:
        """The daemon's counts, its sources among the modules; the engine adds its own modules and the cases."""

    def coverage(self) -> Iterable[Coverage]:
        """Who would hear an error of each Function."""

    def run(self, module: str, program: Program, done: Callable[[str], None]) -> None:
        """Start *program* for *module*; *done* gets its outcome, unless `end` comes first. PluginError."""

    def respond(self, module: str, response: Response, done: Callable[[str], None]) -> None:
        """Have the keeper do *response* for *module*; *done* gets its outcome. PluginError where nothing of the kind is allowed."""

    def end(self, module: str) -> None:
        """Kill what still runs for *module*, and tell nobody."""


class NoHouse:
    """A replay: nothing is counted, nothing is run."""

    def status(self) -> Status:
        """Nothing but the version."""
        return Status(version=__version__)

    def coverage(self) -> Iterable[Coverage]:
        """Of nothing."""
        return ()

    def run(self, module: str, program: Program, done: Callable[[str], None]) -> None:
        """PluginError: a replay acts on nothing."""
        raise PluginError(f"module {module}: a replay runs no programs")

    def respond(self, module: str, response: Response, done: Callable[[str], None]) -> None:
        """PluginError: a replay acts on nothing."""
        raise PluginError(f"module {module}: a replay takes nothing out of service")

    def end(self, module: str) -> None:
        """Nothing runs."""
