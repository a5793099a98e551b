"""Typed values as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcifma.fmd.property import size_of, time_of, typed
from pcifma.plugin.manifest import PropertyType


@pytest.mark.parametrize(
    ("text", "size"),
    [(7, 7), ("7", 7), ("1k", 1024), ("1KB", 1024), ("64MiB", 64 << 20), ("1.5g", 3 << 29), ("2 TiB", 2 << 40), ("10b", 10)],
)
def test_size_is_in_bytes(text: object, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10), ("5m", 300), ("5 min", 300), ("2h", 7200), ("30d", 2592000), ("1w", 604800), ("250us", 2.5e-4), (0, 0)],
)
def test_time_is_in_seconds(text: object, seconds: float) -> None:
    assert time_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("size", "-1"), ("size", -1), ("size", "1x"), ("size", True), ("size", "MiB"), ("size", None), ("size", 1.5),
        ("time", 10), ("time", "10"), ("time", "-1s"), ("time", "1s 2s"), ("time", "99999d"), ("time", True), ("time", [1]),
        ("bool", 1), ("bool", "true"), ("int", True), ("int", 1.0), ("int", "1"), ("number", float("nan")), ("number", "1"),
        ("string", 1), ("string", None), ("list", "a"), ("list", [1]), ("list", [["a"]]),
    ],
)  # fmt: skip
def test_wrong_value_is_refused(kind: PropertyType, raw: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        typed(kind, raw)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [("bool", False, False), ("int", -3, -3), ("number", 2, 2.0), ("string", "", ""), ("list", ["a"], ["a"]), ("time", "1s", 1.0)],
)
def test_right_value_is_kept(kind: PropertyType, raw: object, value: object) -> None:
    assert typed(kind, raw) == value


@given(st.sampled_from(["size", "time"]), st.text(max_size=30))
def test_fuzz_any_text_is_a_quantity_or_refused(kind: PropertyType, text: str) -> None:
    try:
        value = typed(kind, text)
    except ValueError:
        return
    assert isinstance(value, int | float)
    assert value >= 0
