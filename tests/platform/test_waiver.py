"""Waivers: what they cover, until when, and every mistake of a file at once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.server import CARD, COMMAND, DEVICE_CONTROL, Server

from pcifma.errors import ConfigError
from pcifma.platform.waiver import Waiver, load

LATER = date(2100, 1, 1)


def deaf() -> Server:
    return Server().put(CARD, DEVICE_CONTROL, 0).put(CARD, COMMAND, 6)


@pytest.mark.parametrize(("key", "value"), [("device", CARD), ("id", "15b3:1017"), ("cause", "device-control")])
def test_waiver_covers_its_function(key: str, value: str) -> None:
    found = deaf().survey(waivers=[Waiver(key, value, "unused", LATER)])
    assert (found.summary().deaf, found.summary().waived) == (0, 1)
    assert next(line.coverage.waived for line in found.lines if line.coverage.device == CARD) == 'until 2100-01-01 "unused"'


@pytest.mark.parametrize(("key", "value"), [("device", "0000:05:00.0"), ("id", "15b3:1018"), ("cause", "aer-mask")])
def test_waiver_covers_no_other(key: str, value: str) -> None:
    assert deaf().survey(waivers=[Waiver(key, value, "unused", LATER)]).summary().deaf == 1


def test_expired_waiver_counts_no_more() -> None:
    # Simulated time starts on 2000-01-01.
    assert deaf().survey(waivers=[Waiver("device", CARD, "unused", date(1999, 12, 31))]).summary().deaf == 1
    assert deaf().survey(waivers=[Waiver("device", CARD, "unused", date(2000, 1, 1))]).summary().deaf == 0


def test_heard_function_is_not_waived() -> None:
    assert Server().survey(waivers=[Waiver("device", CARD, "unused", LATER)]).summary().waived == 0


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text('waivers:\n  - {device: "0000:00:1f.6", reason: on-board, until: 2027-01-01}\n')
    assert load(path) == [Waiver("device", "0000:00:1f.6", "on-board", date(2027, 1, 1))]


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text("waivers:\n  - {device: 240.0, reason: x, until: 2027-01-01}\n  - {id: '1:2', until: soon, why: x}\n  - 7\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{path}: $.waivers").split(":")[0] for line in lines] == ["[0]", "[1].why", "[1].reason", "[1].until", "[2]"]


@pytest.mark.parametrize("text", ["", "waivers: 3\n", "[1]\n"])
def test_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"\$\.waivers: a list"):
        load(path)


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(Path("/nonexistent/waivers.yaml"))
