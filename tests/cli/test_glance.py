"""The way around the parser, and the trailer that needs no msgspec: the same words mean, and the same bytes are, what they always were."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from support.fabric import endpoint, root_port
from support.host_tree import images
from support.image import capture

from pcifma.cli.found import Counts
from pcifma.cli.glance import Request, plain
from pcifma.event.ereport import SweepSummary
from pcifma.plugin.loader import INDEX, builtin_directory


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ([], Request()),
        (["--json"], Request(as_json=True)),
        (["dump", "--strict"], Request("dump", strict=True)),
        (["--all", "-", "--json"], Request("-", as_json=True, everything=True)),
    ],
)
def test_whole_flags_and_one_source_need_no_parser(words: list[str], request_: Request) -> None:
    assert plain(words) == request_


@pytest.mark.parametrize("words", [["a", "b"], ["--js"], ["--help"], ["-h"], ["--", "a"], ["--plugin", "pcie_aer"], ["--host-root=/h"]])
def test_all_other_words_are_for_the_parser(words: list[str]) -> None:
    assert plain(words) is None


@pytest.mark.parametrize("unread", [{}, {"asleep": 2, "gone": 1}])
def test_trailer_is_what_msgspec_would_write(unread: dict[str, int]) -> None:
    counts = Counts(functions=7, read=4, unread=unread, ereports=3, residue=2, writes=0)
    assert counts.line() == msgspec.json.encode(SweepSummary(**counts._asdict()))


@pytest.mark.skipif(not (builtin_directory() / INDEX).is_file(), reason="a checkout: its plugins were not compiled")
def test_quiet_sweep_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    for image in (root_port("0000:00:01.0", 1, 1), endpoint("0000:01:00.0")):
        folder = tmp_path / "bus/pci/devices" / str(image.bdf)
        folder.mkdir(parents=True)
        (folder / "config").write_bytes(bytes(image.data))
    heavy = ("click", "rich", "inspect", "dataclasses", "msgspec", "asyncio", "logging", "hashlib", "pyudev", "pcifma.access.capture")
    probe = f"""
import sys, pcifma.cli.main as main
try:
    main.run(["sweep", "--json", {str(tmp_path)!r}])
except SystemExit as end:
    print(end.code, [name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-I", "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout


def test_parser_and_the_way_around_it_say_the_same(tmp_path: Path) -> None:
    dump = tmp_path / "dump.txt"
    dump.write_text(capture(*images()))
    code = "from pcifma.cli.main import run; run()"
    ways = [["sweep", "--json", str(dump)], ["sweep", "--json", "--", str(dump)]]
    plain_way, parsed = (subprocess.run([sys.executable, "-I", "-c", code, *way], capture_output=True, check=False) for way in ways)
    assert (plain_way.returncode, plain_way.stdout) == (parsed.returncode, parsed.stdout)
