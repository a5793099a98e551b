"""Programs that modules have run: what they get, how their end is told, and that nothing of them is left."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcifma.access.clock import SystemClock
from pcifma.errors import PluginError
from pcifma.fmd import program
from pcifma.fmd.child import offspring
from pcifma.fmd.engine.house import Program
from pcifma.fmd.loop import Loop
from pcifma.fmd.program import Programs

LONG_S = 60.0


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(SystemClock())
    yield loop
    loop.close()


@pytest.fixture
def programs(loop: Loop) -> Iterator[Programs]:
    programs = Programs(loop)
    yield programs
    programs.close()


def shell(script: str, data: bytes = b"", limit_s: float = LONG_S) -> Program:
    return Program(("/bin/sh", "-c", script), data, limit_s)


def outcome(programs: Programs, loop: Loop, wanted: Program) -> str:
    told: list[str] = []
    programs.start("hook", wanted, told.append)
    end_s = time.monotonic() + LONG_S
    while not told and time.monotonic() < end_s:
        loop.turn(SystemClock().boot_ns() + min(programs.due_in_ns(), 50_000_000))
        programs.check()
    assert len(told) == 1
    return told[0]


def test_program_gets_the_data_and_next_to_no_environment(programs: Programs, loop: Loop, tmp_path: Path) -> None:
    data = b"x" * 300_000  # more than a pipe holds
    said = tmp_path / "said"
    script = f"cat > {said}.data; env > {said}; pwd >> {said}; ls /proc/self/fd | wc -l >> {said}"
    assert outcome(programs, loop, shell(script, data)) == "exit 0"
    assert Path(f"{said}.data").read_bytes() == data
    lines = said.read_text().splitlines()
    names = {line.split("=")[0] for line in lines[:-2]}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "LANG", "HOME"}
    assert lines[-2:] == ["/", "4"]  # 0 to 2, and the one that ls reads


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "exit 3"),
        ("echo no modem >&2; exit 1", "exit 1: no modem"),
        ("kill -9 $$", "signal 9"),
        ("printf 'a\\033[2Jb\\n' >&2", "exit 0: a?[2Jb"),
    ],
)
def test_end_is_told_with_what_was_said(programs: Programs, loop: Loop, script: str, told: str) -> None:
    assert outcome(programs, loop, shell(script)) == told


def test_flood_on_standard_error_neither_blocks_nor_grows(programs: Programs, loop: Loop) -> None:
    told = outcome(programs, loop, shell("head -c 3000000 /dev/zero | tr '\\0' x >&2"))
    assert told == "exit 0: " + "x" * 300


def test_late_program_is_killed_with_all_it_started(programs: Programs, loop: Loop, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 600 & echo $! > {pids}; setsid sh -c 'echo $$ >> {pids}; exec sleep 600' & sleep 0.1; echo $$ >> {pids}; sleep 600"
    assert outcome(programs, loop, shell(script, limit_s=1.5)) == "late"
    numbers = [int(line) for line in pids.read_text().split()]
    assert len(numbers) == 3
    assert all(_is_gone(number) for number in numbers[::2])  # its process group; whoever left its session is the reaper's, below


def _is_gone(pid: int) -> bool:
    end_s = time.monotonic() + 10
    while time.monotonic() < end_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z"):
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_program_that_is_not_there_is_told_so(programs: Programs, loop: Loop) -> None:
    told = outcome(programs, loop, Program(("/nonexistent/pager",), b"", LONG_S))
    assert told == "start: /nonexistent/pager: No such file or directory"


@pytest.mark.parametrize("words", [(), ("pager",), ("./pager",), ("/bin/\0",)])
def test_only_absolute_paths_are_programs(programs: Programs, words: tuple[str, ...]) -> None:
    with pytest.raises(PluginError, match="give an absolute path"):
        programs.start("hook", Program(words, b"", 1.0), print)


def test_so_many_and_no_more(programs: Programs) -> None:
    for _ in range(program.LIMIT):
        programs.start("hook", shell("exec sleep 600"), print)
    with pytest.raises(PluginError, match="run already"):
        programs.start("hook", shell("exec sleep 600"), print)


def test_end_of_a_module_ends_its_programs_untold(programs: Programs, loop: Loop) -> None:
    told: list[str] = []
    before = offspring.children()
    programs.start("hook", shell("exec sleep 600"), told.append)
    programs.start("other", shell("exec sleep 600"), told.append)
    (own, other) = sorted(offspring.children() - before)
    programs.end("hook")
    loop.turn(SystemClock().boot_ns())
    assert (told, _is_gone(min(own, other))) == ([], True)
    assert len(offspring.children() - before) == 1


def test_running_program_is_no_stray(programs: Programs, loop: Loop, tmp_path: Path) -> None:
    plugin = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    told: list[str] = []
    programs.start("hook", shell(f"echo $$ > {tmp_path}/pid; read line; exec sleep 600"), told.append)
    number = _pid(tmp_path / "pid")
    plugin.returncode = 0 if offspring.OFFSPRING.kill(plugin.pid) is not None else None
    loop.turn(SystemClock().boot_ns())
    assert (told, Path(f"/proc/{number}").exists()) == ([], True)


def _pid(path: Path) -> int:
    end_s = time.monotonic() + LONG_S
    while time.monotonic() < end_s:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.01)
    raise AssertionError("the program did not start")
