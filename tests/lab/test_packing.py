"""A fixture that is packed is the fixture that it was, and the same bytes each time."""

from __future__ import annotations

from pathlib import Path

from lab.recording import BY_MODE, SCENARIOS, pack

from pcifma.access.fixture import Fixture
from pcifma.access.open import open_source

FIXTURES = Path(__file__).parents[2] / "fixtures"


def made(where: Path) -> Path:
    config = "00:01.0 0604: 8086:3420\n00: 86 80 20 34\n"
    files = {"case.yaml": "about: x\nsteps: [{at: 0s}]\n", "config.lspci": config, "expect.json": "{}"}
    (where / "lab-x/host/sys").mkdir(parents=True)
    for name, text in files.items():
        (where / "lab-x" / name).write_text(text)
    (where / "lab-x/host/sys/fact").write_text("1\n")
    (where / "lab-x/host/sys/link").symlink_to("fact")
    return where


def test_packed_fixture_is_what_it_was_and_the_same_each_time(tmp_path: Path) -> None:
    archives = []
    for number in range(2):
        place = made(tmp_path / str(number))
        pack("lab-x", place)
        archives.append((place / "lab-x.tar.gz").read_bytes())
        assert not (place / "lab-x").exists()
    assert archives[0] == archives[1]
    fixture = open_source(str(tmp_path / "0/lab-x.tar.gz"))
    assert isinstance(fixture, Fixture)
    assert (fixture.host.read("/sys/fact"), fixture.host.link("/sys/link"), fixture.expect) == (b"1\n", "fact", b"{}")


def test_each_mode_has_a_fixture_of_its_own() -> None:
    assert {path.name for path in FIXTURES.glob("matrix-*")} == {f"{name}.tar.gz" for name in BY_MODE}
    assert len(BY_MODE) == 15
    assert not BY_MODE.keys() & SCENARIOS.keys()
