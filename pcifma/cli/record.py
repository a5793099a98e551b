"""`pcifma record`: make a fixture of this machine."""

from __future__ import annotations

from pathlib import Path

import click

from pcifma.access.live import LiveHost
from pcifma.access.open import open_live
from pcifma.access.recording import Recording, take, write
from pcifma.access.redact import redact as without_names
from pcifma.access.sampler import Sampler
from pcifma.access.seam import Machine

SECOND_NS = 1_000_000_000

EPILOG = """\b
Reads every byte of configuration space of every Function that is awake, once: some devices do not bear that, so do it
on a machine that may hang. Sleeping Functions are not woken. Nothing is written to hardware.
\b
DIR may be given to every command as SOURCE, and so may a tar of it.
"""


@click.command("record", epilog=EPILOG)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--seconds", type=click.IntRange(0, 86400), default=0, metavar="N", help="Keep looking once a second for N seconds.")
@click.option("--redact", is_flag=True, help="Leave out serial numbers, host and guest names, and uuids.")
@click.option("--host-root", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Where the host's / is seen.")
def command(directory: Path, seconds: int, redact: bool, host_root: Path | None) -> int:
    """Make a fixture of this machine: registers, host facts, and with --seconds what changed."""
    machine = open_live(host_root)
    try:
        recording = record(machine, seconds)
    finally:
        if isinstance(machine.host, LiveHost):
            machine.host.close()
    write(without_names(recording) if redact else recording, directory)
    for line in report(recording, directory):
        click.echo(line)
    return 0


def record(machine: Machine, seconds: int) -> Recording:
    """Everything of *machine* now, and what changes in *seconds*; an interrupt ends the looking, not the recording."""
    recording = take(machine)
    if not seconds:
        return recording
    sampler = Sampler(machine, recording.images)
    start_ns = machine.clock.boot_ns()
    steps = []
    try:
        for look in range(1, seconds + 1):
            machine.clock.wait_until(start_ns + look * SECOND_NS)
            steps.append(sampler.look())
    except KeyboardInterrupt:
        pass
    return recording.extended(sampler.seen, [step for step in steps if step is not None])


def report(recording: Recording, directory: Path) -> list[str]:
    """What was recorded, in words."""
    read = [rows for rows in recording.images.values() if rows]
    sizes = f"{sum(len(row) for rows in read for row in rows.values())} bytes of {len(read)} Functions, {len(recording.files)} host facts"
    lines = [f"{directory}: {sizes}, {len(recording.steps)} steps"]
    if recording.asleep:
        lines.append(f"asleep, not read: {', '.join(map(str, sorted(recording.asleep)))}")
    short = [bdf for bdf, rows in recording.images.items() if rows and sum(map(len, rows.values())) <= 64]
    if short:
        lines.append(f"64 bytes only of {len(short)} Functions: run it as root to have them whole")
    return [*lines, "Written to hardware: nothing"]
