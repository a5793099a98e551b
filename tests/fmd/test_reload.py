"""SIGHUP: the configuration is read again as a whole, takes effect without a restart, and a faulty one changes nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import Daemon, configure, daemon
from support.foreign import plugin
from support.sysfs import CARD, CORRECTABLE_STATUS, DEVICE_STATUS, Sysfs

from pcifma.event.ereport import Ereport
from pcifma.fmd.client import Client

FAST = "poll: {interval: 100ms, slow_interval: 200ms}\n"
SLOW = "poll: {interval: 1h, slow_interval: 1h}\n"
NAMES = "note: {type: list, default: [], about: x}"


@pytest.fixture
def running(root: Path, tree: Sysfs) -> Iterator[Daemon]:
    configure(root, FAST)
    with daemon(root, "--source", str(tree.root)) as running:
        running.until_looks(2)
        yield running


def reload(running: Daemon, text: str | None = None) -> str:
    """Write *text*, send SIGHUP, and return what is said of it."""
    if text is not None:
        configure(running.paths.root, text)
    before = len(running.said)
    running.process.send_signal(signal.SIGHUP)
    ends = ("configuration read again", "stays in force")
    running.until(lambda: any(end in running.said[before:] for end in ends), "the configuration's reading")
    return running.said[before:]


def outcomes(running: Daemon) -> list[str]:
    events = [logged.event for logged in running.log().events(0, 1000)]
    return [str(e.payload["outcome"]) for e in events if isinstance(e, Ereport) and e.class_ == "ereport.pcifma.config"]


def test_faulty_configuration_is_refused_with_every_mistake_and_the_old_stays(running: Daemon) -> None:
    said = reload(running, "poll: {interval: 1h, deadline: never}\nsocket: {clients: many}\nmodules: {nobody: {a: 1}}\n")

    assert [word for word in ("$.poll.deadline", "$.socket.clients", "what was in force stays in force") if word not in said] == []
    running.until_looks(3)
    running.until(lambda: outcomes(running) == ["refused"], "the record of it")
    assert "read again" in reload(running, FAST)


def test_mistakes_in_plugins_properties_are_refused_too(running: Daemon) -> None:
    assert "$.modules.pcie_diagnosis.nothing: no such property" in reload(running, FAST + "modules: {pcie_diagnosis: {nothing: 1}}\n")


def test_configuration_that_is_the_same_changes_nothing(running: Daemon) -> None:
    assert "nothing has changed" in reload(running)
    running.until(lambda: outcomes(running) == ["accepted"], "the record of it")


def test_intervals_take_effect_without_a_restart(running: Daemon, tree: Sysfs) -> None:
    assert "poll.interval; poll.slow_interval" in reload(running, SLOW)
    looks = running.status()["looks"]
    tree.put(tree.card, CORRECTABLE_STATUS, 0x40, 4)
    tree.put(tree.card, DEVICE_STATUS, 1, 2)
    assert running.status()["looks"] <= looks + 1
    reload(running, FAST)
    running.until(lambda: "ereport.io.pciex.dl.btlp" in running.classes(), "the ereport")


def test_excluded_function_is_left_alone_from_then_on_and_looked_at_again_later(running: Daemon) -> None:
    assert "poll.exclude" in reload(running, FAST.replace("}", f", exclude: ['{CARD}']}}"))
    running.until(lambda: running.status()["unread_functions"] == {CARD: "excluded"}, "its exclusion")
    reload(running, FAST)
    running.until(lambda: running.status()["unread_functions"] == {}, "its return")


def test_number_of_connections_takes_effect(running: Daemon) -> None:
    reload(running, FAST + "socket: {clients: 1}\n")
    with Client(running.paths.socket) as first, Client(running.paths.socket) as second:
        refusals = 0
        for client in (first, second):
            try:
                client.ask("status", {})
            except Exception as err:
                refusals += "connections are open" in str(err)
        assert refusals == 1


def test_what_only_a_restart_changes_is_named(running: Daemon) -> None:
    said = reload(running, FAST + "user: root\nclear: true\nlog: {size: 64MiB}\n")
    assert "user takes effect after a restart" in said
    assert "clear takes effect after a restart" in said
    assert "log.size takes" not in said
    assert "log.size" in said
    assert running.status()["clear"] is False


def test_plugins_come_go_and_are_given_their_new_properties(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    body = "self.services.put('note', repr(self.services.properties['note']).encode())"
    plugin(root, "noted", body, kind="module", subscribe="['ereport.*']", properties=f"{{{NAMES}}}")
    plugin(root, "going", "return ()")
    with daemon(root, "--source", str(tree.root)) as running:
        pid = running.process.pid
        running.plugins()
        plugin(root, "coming", "return ()")
        said = reload(running, FAST + "plugins: {disable: [going]}\nmodules: {noted: {note: [new]}}\n")
        rows = running.plugins()
        assert [rows[name]["why"] for name in ("noted", "coming")] == ["", ""]
        assert "going" not in rows
        assert [word for word in ("plugin going unloaded", "plugin coming loaded", "plugin noted loaded") if word not in said] == []
        tree.put(tree.card, CORRECTABLE_STATUS, 0x40, 4)
        tree.put(tree.card, DEVICE_STATUS, 1, 2)
        running.until(lambda: running.log().state("noted").get(("buffer", "note")) == b"['new']", "the property")
        assert running.process.pid == pid
        assert running.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the keeper is started")
def test_clearing_can_be_stopped_at_once(root: Path, tree: Sysfs) -> None:
    configure(root, FAST + "clear: true\n")
    with daemon(root, "--source", str(tree.root)) as running:
        running.until_looks(1)
        said = reload(running, FAST + "clear: false\n")
        tree.put(tree.card, CORRECTABLE_STATUS, 0x40, 4)
        tree.put(tree.card, DEVICE_STATUS, 1, 2)
        running.until(lambda: "ereport.io.pciex.dl.btlp" in running.classes(), "the ereport")
        running.until_looks(5)
        assert running.status()["writes"] == 0
        assert list(running.log().writes()) == []

    assert "configuration read again: clear" in said
