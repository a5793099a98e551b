"""Plugins that misbehave in every way, one after another in one daemon: it stays up, the others keep their ticks, each is set aside."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support.account import other
from support.daemon import Daemon, configure, daemon
from support.foreign import plugin
from support.sysfs import CORRECTABLE_STATUS, DEVICE_STATUS, Sysfs

INTERVAL_S = 2.0
APART = f", user: {other()}" if os.geteuid() == 0 else ""  # as a system with pcifma-plugin has it
SETTINGS = f"poll: {{interval: 2s, slow_interval: 2s}}\nchild: {{deadline: 300ms{APART}}}\n"
ONE = "Finding('ereport.x', Evidence(HOST, 'x', 0), 'info')"
LOCK = "lock = __import__('_thread').allocate_lock(); lock.acquire(); lock.acquire()"
BOMB = """for _ in range(60):
        try:
            if os.fork() == 0:
                os.setsid()
                time.sleep(600)
        except OSError:
            pass
    time.sleep(600)"""
NOISE = "[os.write(fd, b'x' * 65536) for _ in range(64) for fd in (1, 2)]; os.write(3, os.urandom(4096)); time.sleep(600)"

# What a call does, and what is said of it.
BAD = {
    "raises": ("raise ValueError('no')", "ValueError: no"),
    "exits": ("sys.exit(0)", "SystemExit"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "floods": (f"return [{ONE}] * 1_000_000", "flood"),
    "never_ends": (f"return iter(lambda: {ONE}, None)", "flood"),
    "lies": (f"return [{ONE}._replace(count=-1)]", "count -1"),
    "babbles": (f"return [{ONE}._replace(payload={{'x': 1 << 60}})]", "payload x"),
    "hangs": ("time.sleep(600)", "did not answer"),
    "dawdles": ("time.sleep(0.2)\n    return ()", "targets of one look|did not answer"),
    "spins": ("while True: pass", "did not answer"),
    "locks": (LOCK, "did not answer"),
    "leaks": ("return [bytearray(2 << 30)]", "MemoryError"),
    "grows": ("held = [1]\n    while True: held *= 2", "MemoryError|did not answer|SIG"),
    "leaves": ("os._exit(7)", "exit 7"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "aborts": ("os.abort()", "SIGABRT"),
    "stops": ("os.kill(os.getpid(), signal.SIGSTOP)", "did not answer"),
    "blocks": ("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); time.sleep(600)", "did not answer"),
    "forks": (BOMB, "did not answer"),
    "bombs": ("while True:\n        try: os.fork()\n        except OSError: pass", "did not answer"),
    "closes": ("os.closerange(0, 1000); time.sleep(600)", "ended"),
    "shouts": (NOISE, "no answer|flood"),
    "kills": ("os.kill(os.getppid(), signal.SIGKILL)", "PermissionError"),
    "kills_all": ("os.kill(-1, signal.SIGKILL)", "PermissionError"),
    "starves": ("import resource; resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))", "PermissionError"),
}


def why(running: Daemon, name: str) -> str:
    """Why the plugin *name* was set aside; empty while it is not."""
    return str(next((row["why"] for row in running.ask("config") if row["name"] == name), ""))


def check_the_rest(running: Daemon, tree: Sysfs) -> None:
    """The daemon and its other plugins are as well as ever, and nobody else is left of those that are gone."""
    tree.put(tree.card, CORRECTABLE_STATUS, 0x40, 4)
    tree.put(tree.card, DEVICE_STATUS, 1, 2)
    running.until(lambda: "ereport.io.pciex.dl.btlp" in running.classes(), "the ereport of a built-in source")
    rows = running.plugins()
    assert {rows[name]["status"] for name in rows if name not in BAD and name not in ("sleeps", "calm")} == {"active"}
    assert rows["calm"]["status"] == "active"
    assert running.status()["longest_look_s"] < 2 * INTERVAL_S


def test_sources_that_misbehave_are_set_aside_and_the_others_keep_their_ticks(root: Path, tree: Sysfs) -> None:
    configure(root, SETTINGS)
    plugin(root, "calm", "return ()")
    with daemon(root, "--source", str(tree.root)) as running:
        running.plugins()
        for name, (body, _) in BAD.items():
            plugin(root, name, body)
            running.ask("load", name=name)
            running.until(lambda name=name: why(running, name), f"the end of {name}")  # type: ignore[misc]
        said = {name: why(running, name) for name in BAD}
        running.until(lambda: running.set_aside() == set(BAD), "an ereport for each")
        check_the_rest(running, tree)
        running.until(lambda: len(of_plugins(running)) == 1, "the end of all their processes")
        assert running.stop() == 0

    assert {name: text for name, text in said.items() if not re.search(BAD[name][1], text)} == {}


def of_plugins(running: Daemon) -> list[str]:
    """Processes that plugins have left, the calm one's included: children of the daemon that are neither keeper nor nursery."""
    tasks = Path(f"/proc/{running.process.pid}/task").iterdir()
    pids = [pid for task in tasks for pid in (task / "children").read_text().split()]
    return pids[2 if os.geteuid() == 0 else 1 :]


MODULES = ("raises", "exits", "hangs", "dawdles", "spins", "locks", "leaks", "leaves", "crashes", "stops", "closes", "shouts", "kills_all")


def test_modules_that_misbehave_are_set_aside_and_looks_go_on(root: Path, tree: Sysfs) -> None:
    configure(root, SETTINGS)
    for name in MODULES:
        plugin(root, name, BAD[name][0].replace("\n    return ()", ""), kind="module", subscribe="['ereport.io.*']")
    plugin(root, "calm", "pass", kind="module", subscribe="['ereport.io.*']")
    fail = set(MODULES) - {"dawdles"}  # slow, and allowed to be: its events wait, looks do not
    with daemon(root, "--source", str(tree.root)) as running:
        running.plugins()
        tree.put(tree.card, CORRECTABLE_STATUS, 0x40, 4)
        tree.put(tree.card, DEVICE_STATUS, 1, 2)
        running.until(lambda: running.set_aside() == fail, "an ereport for each that fails")
        check_the_rest(running, tree)
        assert running.plugins()["dawdles"]["status"] == "active"
        assert running.stop() == 0


def test_plugin_that_sleeps_while_it_is_loaded_delays_no_look(root: Path, tree: Sysfs) -> None:
    configure(root, SETTINGS)
    path = plugin(root, "sleeps", "return ()")
    (path / "plugin.py").write_text("import time\ntime.sleep(600)\n")
    plugin(root, "calm", "return ()")
    with daemon(root, "--source", str(tree.root)) as running:
        running.until_looks(3)
        status = {row["name"]: row["status"] for row in running.ask("config")}
        assert status["sleeps"] == "loading"
        assert "did not answer in time" in running.plugins()["sleeps"]["why"]
        check_the_rest(running, tree)


@pytest.mark.parametrize("hook", ["def watches(fabric, host): time.sleep(600)", "def watches(fabric, host): return [None]"])
def test_source_whose_watches_misbehave_is_set_aside(root: Path, tree: Sysfs, hook: str) -> None:
    configure(root, SETTINGS)
    path = plugin(root, "odd", "return ()")
    (path / "plugin.py").write_text(f"import time\n{hook}\ndef normalise(now, before): return ()\n")
    plugin(root, "calm", "return ()")
    with daemon(root, "--source", str(tree.root)) as running:
        running.until(lambda: why(running, "odd"), "its end")
        running.until(lambda: running.set_aside() == {"odd"}, "its ereport")
