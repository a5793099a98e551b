"""The guard: one failure sets a plugin aside, whatever it raised."""

from __future__ import annotations

import pytest

from pcifma.plugin.guard import Guard, line


def raises(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_anything_raised_is_reported_once_and_sets_aside(error: BaseException) -> None:
    told: list[tuple[str, BaseException]] = []
    guard = Guard("mine", lambda name, err: told.append((name, err)))
    assert guard.call(raises, error) is None
    assert guard.call(lambda: 1) is None
    assert told == [("mine", error)]
    assert (guard.calls, guard.dropped) == (1, 1)


def test_healthy_plugin_gives_its_answer() -> None:
    assert Guard("mine", lambda *_: None).call(lambda x: x + 1, 2) == 3


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit("not this one")


@pytest.mark.parametrize("error", [Unspeakable(), ValueError("\ud800\x1b[2J\n" + "x" * 10_000), KeyboardInterrupt()])
def test_whatever_was_raised_is_one_bounded_line(error: BaseException) -> None:
    text = line(error)
    assert text.startswith(type(error).__name__)
    assert text.isascii()
    assert "\n" not in text
    assert len(text) < 1700
