"""A daemon under steady injection for as long as you like: python -m lab.soak --minutes N.

A machine whose Functions err every few seconds, with plugins that hang, crash, leak, fork and flood now and then, and a daemon that is
killed every few minutes. At the end: was each injected error counted once, does memory stay, do looks and answers come in time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import foreign

from . import product, reporting
from .error import LabError, Unavailable
from .expect import ERRORS
from .initramfs import GUEST
from .machine import Machine
from .topology import Topology, endpoint, root_port

ROOT = "/srv/soak"
SETTINGS = """clear: true
poll: {interval: 1s, slow_interval: 10s, deadline: 10s}
child: {deadline: 1s}
"""
INTERVAL_S, EVERY_S, RELOAD_S, KILL_S = 1.0, 5.0, 60.0, (150.0, 300.0)
SETTLED = 6  # notes of a life after which its memory is what it stays at
PAIRS = ("RCVR", "BAD_TLP", "BAD_DLLP", "REP_ROLL", "REP_TIMER", "DLP", "POISON_TLP", "FCP", "COMP_ABORT", "UNX_COMP", "RX_OVER", "ECRC")
CLEAR = ("00000000", "00000000")
# What a module does with every so many events of its own.
BAD = {
    "hangs": (7, "time.sleep(600)"),
    "crashes": (5, "os._exit(3)"),
    "leaks": (11, "held = [bytearray(1 << 20) for _ in range(4096)]"),
    "forks": (13, "[os.fork() for _ in iter(int, 1)]"),
    "floods": (9, "[self.services.count('x') for _ in iter(int, 1)]"),
    "raises": (6, "raise RuntimeError('now and then')"),
}

Key = tuple[str, str]
"""An error: the Function's address and the leaf of the class."""


@dataclass(frozen=True, slots=True)
class Life:
    """Notes of one life of the daemon, in order."""

    notes: tuple[dict[str, Any], ...]

    @property
    def late(self) -> int:
        """Notes between which looks have come two intervals short."""
        pairs = itertools.pairwise(self.notes)
        return sum(after["looks"] - before["looks"] < (after["at"] - before["at"]) / INTERVAL_S - 2 for before, after in pairs)

    @property
    def growth_kib(self) -> int:
        """How much larger the daemon's own process is at the end than once it had settled."""
        settled = self.notes[SETTLED:]
        return int(settled[-1]["own_kib"] - settled[0]["own_kib"]) if settled else 0


def topology() -> Topology:
    """Four Root Ports, an endpoint behind each."""
    return Topology(tuple(root_port(f"rp{n}", endpoint(f"ep{n}")) for n in range(1, 5)))


def lives(rows: Iterable[dict[str, Any]]) -> list[Life]:
    """The notes by life."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        if "looks" in row:
            found.setdefault(row["life"], []).append(row)
    return [Life(tuple(notes)) for notes in found.values()]


def counted(events: Iterable[dict[str, Any]]) -> Counter[Key]:
    """How often the log has each of PAIRS, by its `count`."""
    leaves = {f"ereport.io.pciex.{error.leaf}": error.leaf for error in ERRORS if error.name in PAIRS}
    found: Counter[Key] = Counter()
    for event in events:
        if event["class"] in leaves:
            found[event["device"], leaves[event["class"]]] += event["count"]
    return found


def step(every: int, body: str) -> str:
    """What a module does with an event: *body* with each *every*th."""
    return f"self.n = getattr(self, 'n', 0) + 1\n        if self.n % {every} == 0: {body}"


def prepare(machine: Machine) -> None:
    """The daemon's root, with its plugins, and what the guest's program wants to know."""
    root = machine.share / "soak"
    for name, (every, body) in BAD.items():
        foreign.plugin(root, name, step(every, body), kind="module", subscribe="['ereport.io.pciex.*']")
    foreign.plugin(root, "calm", "self.services.count('seen')", kind="module", subscribe="['ereport.io.pciex.*']")
    (root / "etc/pcifma/pcifma.yaml").write_text(SETTINGS)
    machine.check(f"mkdir -p {ROOT} && cp -r /lab/soak/etc {ROOT}/ && chown -R 0:0 {ROOT} && chmod -R a+rX,go-w {ROOT} && chmod 755 /srv")
    (machine.share / "soak.py").write_text((GUEST / "soak.py").read_text())


def order(seconds: float) -> dict[str, Any]:
    """What guest/soak.py is told."""
    command = [str(product.PROGRAM), "fmd", "--root", ROOT]
    where = {"socket": f"{ROOT}/run/pcifma/fmd.sock", "said": "/lab/soak.said"}
    return {"command": command, **where, "seconds": seconds, "every_s": EVERY_S, "reload_s": RELOAD_S, "kill_s": KILL_S, "seed": 5}


def inject(machine: Machine, end_s: float, pause_s: float) -> Counter[Key]:
    """Inject until *end_s*: each error once its Function is clear of all before. What was injected."""
    done: Counter[Key] = Counter()
    addresses = machine.addresses()
    errors = [error for error in ERRORS if error.name in PAIRS]
    for name, error in itertools.cycle((name, error) for error in errors for name in machine.topology.names("endpoint")):
        if time.monotonic() >= end_s:
            return done
        if is_clear(machine, addresses[name]):
            machine.inject(name, error.name)
            done[addresses[name], error.leaf] += 1
        time.sleep(pause_s)
    return done


def is_clear(machine: Machine, address: str) -> bool:
    """No bit of the Function's AER status is set."""
    return tuple(machine.check(f"setpci -s {address} ECAP_AER+4.l ECAP_AER+10.l").split()) == CLEAR


def run(minutes: float, pause_s: float) -> tuple[Counter[Key], list[dict[str, Any]], list[dict[str, Any]]]:
    """Boot, soak, and stop: what was injected, the notes, and the error log."""
    with Machine(topology(), cmdline="pci=nomsi", memory=1536) as machine:
        reporting.quiet(machine)
        prepare(machine)
        (machine.share / "order.json").write_text(json.dumps(order(minutes * 60)))
        machine.run("(python3 -I -S /lab/soak.py /lab/order.json >/lab/notes 2>/lab/soak.err; touch /lab/over) >/dev/null 2>&1 &")
        notes = machine.share / "notes"
        until(lambda: notes.exists() and '"looks"' in notes.read_text(), 600)
        done = inject(machine, time.monotonic() + minutes * 60 - 30, pause_s)
        until((machine.share / "over").exists, 600)
        until(lambda: all(is_clear(machine, machine.address(name)) for name in machine.topology.names("endpoint")), 120)
        log = machine.check(f"{product.PROGRAM} dump -e --json --root {ROOT}", product.SECONDS)
        return done, [json.loads(line) for line in notes.read_text().splitlines()], [json.loads(line) for line in log.splitlines()]


def until(condition: Any, seconds: float) -> None:
    """Wait for *condition*; LabError if that takes too long."""
    end_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_s:
            raise LabError("the soak did not get on")
        time.sleep(1)


def words(done: Counter[Key], rows: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What came of it, a line each."""
    found, all_lives = counted(events), lives(rows)
    notes = [note for life in all_lives for note in life.notes]
    # The first answer of a life comes when the daemon has started: after the interpreter, the plugins, the first look.
    ms = sorted(value for life in all_lives for note in life.notes[1:] for value in note["ms"])
    failed = Counter(name for note in notes for name in note["failed"])
    ended = Counter(row["ended"] for row in rows if "ended" in row)
    yield f"injected {sum(done.values())} errors of {len(done)} kinds and places; the log counts {sum(found.values())}"
    for key in sorted(done.keys() | found.keys()):
        if done[key] != found[key]:
            yield f"  {' '.join(key)}: injected {done[key]}, counted {found[key]}"
    yield f"lives {len(all_lives)}, ended by {dict(ended)}; notes {len(notes)}, without an answer {sum('down' in row for row in rows)}"
    yield f"socket ms: p50 {ms[len(ms) // 2]:.0f}, p99 {ms[int(len(ms) * 0.99)]:.0f}, longest {ms[-1]:.0f}"
    longest_s, unread = (max(note[name] for note in notes) for name in ("longest_look_s", "unread"))
    yield f"late by two intervals {sum(life.late for life in all_lives)}; longest look {longest_s:.2f} s; unread at most {unread}"
    grown = ", ".join(f"{life.growth_kib / 1024:+.1f}" for life in all_lives if len(life.notes) > SETTLED)
    yield f"PSS at most {max(note['all_kib'] for note in notes) / 1024:.0f} MiB; growth of the daemon in each life, MiB: {grown}"
    refused, trouble = (sum(len(note[name]) for note in notes) for name in ("refused", "trouble"))
    yield f"set aside when looked at, and loaded again: {dict(sorted(failed.items()))}, refused {refused}; trouble of the log {trouble}"


def main() -> int:
    """Soak and print; 1 if an error was not counted once, 2 if it is not possible here."""
    parser = argparse.ArgumentParser(prog="lab.soak", description="A daemon under steady injection.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two injections")
    parser.add_argument("--keep", type=Path, help="write notes and log below this directory")
    given = parser.parse_args()
    try:
        done, rows, events = run(given.minutes, given.pause)
    except (Unavailable, LabError) as error:
        print(error, file=sys.stderr)
        return 2
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        for name, found in (("notes", rows), ("events", events), ("injected", [[*key, n] for key, n in done.items()])):
            (given.keep / name).write_text("".join(json.dumps(row) + "\n" for row in found))
    for line in words(done, rows, events):
        print(line, flush=True)
    return int(counted(events) != done)


if __name__ == "__main__":
    sys.exit(main())
