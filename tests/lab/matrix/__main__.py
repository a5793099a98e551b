"""The matrix of what is seen where: python -m lab.matrix [--full] [--seed N] [--boot NAME]… [--write docs/lab-results.md | --record DIR].

Without --full: every mode, every error, every place, in pairs. One machine a boot, --jobs of them at a time, each in a process of its
own (QEMU dies with the process that started it). --keep DIR keeps what each boot gave, and takes from there what is there already.
Exit status: 0 the matrix holds, 1 it does not, 2 it could not be run.
"""

from __future__ import annotations

import argparse
import pickle
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..error import LabError, Unavailable
from .cell import every, pairwise
from .mode import BOOTS, MODES, Mode
from .record import record_modes
from .result import Run, failures, render
from .session import Answer, run
from .verdict import judge


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="lab.matrix", description="Inject errors in every mode; compare who tells of them.")
    parser.add_argument("--full", action="store_true", help="every cell instead of every pair")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="machines at a time")
    parser.add_argument("--boot", action="append", choices=sorted(BOOTS), help="only these machines")
    parser.add_argument("--mode", action="append", choices=[mode.name for mode in MODES], help="only these modes")
    parser.add_argument("--write", type=Path, help="where the table goes; standard output if not given")
    parser.add_argument("--record", type=Path, metavar="DIR", help="instead: record each mode as a fixture in DIR")
    parser.add_argument("--note", default="", help="a sentence for the head of the tables")
    parser.add_argument("--keep", type=Path, help="a directory for what each boot gave")
    parser.add_argument("--child", choices=sorted(BOOTS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        if given.child:
            return _child(given)
        if given.record:
            troubles = record_modes(given.mode or [mode.name for mode in MODES], given.record)
            print("\n".join(troubles) or "all recorded", file=sys.stderr)
            return 2 if troubles else 0
        with tempfile.TemporaryDirectory() as scratch:
            return _all(given, given.keep or Path(scratch))
    except (Unavailable, LabError) as error:
        print(error, file=sys.stderr)
        return 2


def _child(given: argparse.Namespace) -> int:
    cells = (every if given.full else pairwise)(MODES, given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        phases, versions = run(_modes(given, given.child), cells, Path(scratch))
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    file = _file(given.keep, given.child)
    file.with_suffix(".new").write_bytes(pickle.dumps(Answer(phases, versions, usage.ru_utime + usage.ru_stime)))
    file.with_suffix(".new").rename(file)
    return 0


def _all(given: argparse.Namespace, keep: Path) -> int:
    boots = [boot for boot in given.boot or BOOTS if _modes(given, boot)]
    keep.mkdir(exist_ok=True)
    # The longest first: boots share their modes unevenly.
    boots.sort(key=lambda boot: (-sum(mode.boot == boot for mode in MODES), not BOOTS[boot].get("xen", False)))
    with ThreadPoolExecutor(given.jobs) as pool:
        troubles = [trouble for trouble in pool.map(lambda boot: _boot(given, keep, boot), boots) if trouble]
    answers: list[Answer] = [pickle.loads(_file(keep, boot).read_bytes()) for boot in boots if _file(keep, boot).exists()]
    judged = [judge(phase) for answer in answers for phase in answer.phases]
    judged.sort(key=lambda one: [mode.name for mode in MODES].index(one.mode))
    versions = {name: version for answer in answers for name, version in answer.versions.items()}
    seconds = sum(answer.seconds for answer in answers)
    plan = "every cell" if given.full else "every pair of mode, error and place"
    text = render(judged, Run(plan, given.seed, versions, seconds / 60, given.note))
    if given.write:
        given.write.write_text(text)
    else:
        print(text)
    wrong = failures(judged)
    print("\n".join([*troubles, *wrong]) or "the matrix holds", file=sys.stderr)
    return 2 if troubles else 1 if wrong else 0


def _boot(given: argparse.Namespace, keep: Path, boot: str) -> str:
    # What went wrong; nothing if it went well.
    if _file(keep, boot).exists():
        return ""
    words = [sys.executable, "-m", "lab.matrix", "--child", boot, "--seed", str(given.seed), "--keep", str(keep)]
    words += [word for name in given.mode or () for word in ("--mode", name)]
    done = subprocess.run([*words, *(["--full"] if given.full else [])], capture_output=True, text=True, check=False)
    print(f"{boot}: {'failed' if done.returncode else 'done'}", file=sys.stderr)
    return f"{boot}: {done.stderr}" if done.returncode else ""


def _modes(given: argparse.Namespace, boot: str) -> list[Mode]:
    return [mode for mode in MODES if mode.boot == boot and (not given.mode or mode.name in given.mode)]


def _file(keep: Path, boot: str) -> Path:
    return keep / f"{boot}.pickle"


if __name__ == "__main__":
    sys.exit(main())
