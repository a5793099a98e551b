"""Responses: asked of a real keeper in a process of its own, answered on the loop, refused where nobody allowed them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pcifma.access.clock import SystemClock
from pcifma.errors import PluginError
from pcifma.fmd.keeper.client import KeeperClient
from pcifma.fmd.loop import Loop
from pcifma.fmd.respond import Responder
from pcifma.plugin import Response

PATIENCE_S = 60


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(SystemClock())
    yield loop
    loop.close()


def outcome(loop: Loop, responder: Responder, response: Response) -> str:
    said: list[str] = []
    responder.respond("agent", response, said.append)
    end_ns = SystemClock().boot_ns() + PATIENCE_S * 10**9
    while not said:
        assert SystemClock().boot_ns() < end_ns
        loop.turn(SystemClock().boot_ns() + 50_000_000)
    return said[0]


def test_without_the_setting_everything_is_refused(loop: Loop) -> None:
    responder = Responder(loop, None)
    assert outcome(loop, responder, Response("cpu", "1")).startswith("refused the setting `retire` allows nothing")
    responder.close()


@pytest.mark.parametrize("response", [Response("io", "nowhere"), Response("cpu", "one"), Response("page", "-1")])
def test_what_names_no_part_is_the_agent_s_mistake(loop: Loop, response: Response) -> None:
    with pytest.raises(PluginError, match="is no part of kind"):
        Responder(loop, None).respond("agent", response, lambda outcome: None)


def test_a_keeper_judges_for_itself_and_does_only_what_it_may(loop: Loop, tmp_path: Path) -> None:
    (tmp_path / "devices/system/cpu/cpu1").mkdir(parents=True)
    keeper = KeeperClient.start(tmp_path, clear=False, consent=tmp_path / "none", retire=("io",))
    responder = Responder(loop, keeper)
    try:
        assert outcome(loop, responder, Response("cpu", "1")) == "refused not allowed by the configuration"
        assert outcome(loop, responder, Response("io", "0000:04:00.0")) == "refused 0000:04:00.0 is not there"
        assert outcome(loop, responder, Response("page", f"{1 << 48:#x}")).startswith("refused")
    finally:
        responder.close()
    assert not keeper.alive
