"""What a look looks at, and when."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from pcifma.fabric.function import Function
from pcifma.plugin.watch import Target


class Moment(NamedTuple):
    """When a look happened: *tick*, *wall_ns* (people), *boot_ns* (windows)."""

    tick: int
    wall_ns: int
    boot_ns: int


class Seen(NamedTuple):
    """When it can have happened: after *not_before_ns* (None: unknown) and before the look. *first_look* as in contract 1.3."""

    when: Moment
    not_before_ns: int | None
    first_look: bool


class Past:
    """When the last look and the last slow look were (wall time, ns); None before the first."""

    __slots__ = ("look_ns", "slow_ns")

    def __init__(self) -> None:
        self.look_ns: int | None = None
        self.slow_ns: int | None = None


class Subject:
    """The target of one snapshot: its *identity*, or what works it out; and its Function where it is one."""

    def __init__(self, target: Target, identity: str | Callable[[], str], function: Function | None) -> None:
        self.target, self.function = target, function
        self._identity = identity

    @cached_property
    def identity(self) -> str:
        """What the target is and where it sits, whatever its address; most Functions of a sweep are never asked."""
        return self._identity if isinstance(self._identity, str) else self._identity()
