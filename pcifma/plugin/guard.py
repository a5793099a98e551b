"""The one place that may catch everything: the call into a plugin. What it raises is counted, reported, and sets it aside."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

_LINE_LIMIT = 400

P = ParamSpec("P")
T = TypeVar("T")


class Guard:
    """Health of one plugin. *report* is told (name, error) once, when the plugin is set aside."""

    def __init__(self, name: str, report: Callable[[str, BaseException], None]) -> None:
        self.name, self.report = name, report
        self.failed: BaseException | None = None
        self.calls = self.dropped = 0

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The plugin's answer; None if it is set aside or raises now."""
        if self.failed is not None:
            self.dropped += 1
            return None
        self.calls += 1
        try:
            return function(*args, **kwargs)
        except BaseException as err:  # a plugin may raise anything, exit included; the daemon must not
            self.set_aside(err)
            return None

    def set_aside(self, err: BaseException) -> None:
        """Call the plugin no more, because of *err*; said once."""
        if self.failed is None:
            self.failed = err
            self.report(self.name, err)


def line(err: BaseException) -> str:
    """What an exception says, as one bounded line: it is the plugin's text, and its own __str__ may fail too."""
    try:
        text = " ".join(str(err).split())
    except BaseException:  # whatever it raises, it is still the plugin's failure
        text = "(its text cannot be had)"
    return f"{type(err).__name__}: {text}"[:_LINE_LIMIT].encode("ascii", "backslashreplace").decode()
