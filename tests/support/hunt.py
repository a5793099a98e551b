"""Throws made-up inputs at a function and says which of them it did not bear: anything raised but what is allowed, or too slow.

An input is made from its seed alone, so that a seed is all that needs to be kept of a find.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

Maker = Callable[[random.Random], T]
Target = Callable[[T], object]


@dataclass(frozen=True, slots=True)
class Find:
    """An input that was not borne: its seed, and what happened."""

    seed: int
    what: str


class TooSlow(BaseException):
    """One input took longer than it may."""


def hunt(
    target: Target[T], make: Maker[T], seeds: Iterable[int], *, allowed: tuple[type[Exception], ...], limit_s: float = 5.0
) -> list[Find]:
    """Finds among the inputs of *seeds*. One that takes longer than *limit_s* of processor time counts as endless."""
    found = []
    for seed in seeds:
        made = make(random.Random(seed))
        try:
            with time_limit(limit_s):
                target(made)
        except allowed:
            pass
        except TooSlow:
            found.append(Find(seed, f"more than {limit_s} s"))
        except Exception as err:  # everything else is what is hunted for
            found.append(Find(seed, f"{type(err).__name__}: {err}"[:300]))
    return found


@contextmanager
def time_limit(limit_s: float) -> Iterator[None]:
    """Raise TooSlow where the body takes more than *limit_s* of this process's processor time (other load does not count)."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
