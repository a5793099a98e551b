"""The .deb in a Debian 12 that has no network, no compiler and no git: installs, runs, upgrades, goes, and leaves nothing when purged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.debian import Debian, build, debian, renumbered

pytestmark = pytest.mark.lab_long
FIXTURE = Path(__file__).parents[2] / "fixtures" / "malformed-tlp-nomsi"
# A daemon on a recorded machine, asked for until it has diagnosed.
DAEMON = """
pcifma fmd --source /tmp/fixture 2>/tmp/said & pid=$!
tries=300
until pcifma status >/dev/null 2>&1 && { pcifma faulty --check >/tmp/faulty; [ $? -eq 1 ]; }; do
    tries=$((tries - 1)); [ $tries -gt 0 ] || { cat /tmp/said; exit 9; }
    sleep 0.2
done
pcifma status --json
kill $pid; wait $pid
"""
OLD_LOG = """
import sys
from pathlib import Path
from pcifma.access.clock import SystemClock
from pcifma.fmd.log import schema
from pcifma.fmd.log.log import Log
Log.open(Path("/var/lib/pcifma/log.db"), clock=SystemClock(), migrations=schema.MIGRATIONS[:1]).close()
"""
NEW_LOG = """
import sqlite3
from pcifma.fmd.log import schema
with sqlite3.connect("/var/lib/pcifma/log.db") as database:
    database.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("deb"))


@pytest.fixture
def system(package: Path) -> Iterator[Debian]:
    with debian() as system:
        shutil.copy(package, system.root / "tmp" / "pcifma.deb")
        shutil.copytree(FIXTURE, system.root / "tmp" / "fixture")
        yield system


def python(system: Debian, code: str) -> None:
    (system.root / "tmp" / "code.py").write_text(code)
    system.run("/opt/pcifma/bin/python3 -I /tmp/code.py && chown pcifma:pcifma /var/lib/pcifma/*")


def test_bill_of_materials_names_what_is_in_the_package(system: Debian) -> None:
    system.run("dpkg -i /tmp/pcifma.deb")
    bill = json.loads((system.root / "usr/share/doc/pcifma/sbom.cdx.json").read_bytes())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "pcifma")
    infos = {path.name.removesuffix(".dist-info") for path in system.root.glob("opt/pcifma/lib/python3.*/site-packages/*.dist-info")}
    named = {f"{part['name'].replace('-', '_').lower()}-{part['version']}" for part in (bill["metadata"]["component"], *bill["components"])}
    assert named == {info.lower() for info in infos}
    assert all(part["licenses"] for part in bill["components"])


def test_package_installs_runs_and_is_purged_without_a_trace(system: Debian) -> None:
    before = system.files()
    assert system.run("command -v gcc git", check=False).returncode != 0
    said = system.run("dpkg -i /tmp/pcifma.deb")
    assert "mistakes" not in said.stdout + said.stderr
    assert system.run("pcifma --version").stdout == "pcifma, version 0.1.0\n"
    assert system.run("stat -c %U:%G:%a /var/lib/pcifma").stdout == "pcifma:pcifma:750\n"
    assert "4 Functions: 4 read" in system.run("pcifma sweep /tmp/fixture").stdout
    system.run("pcifma fmd --check; fmadm --help; fmdump --help; fmstat --help; pcifma-collect --help")
    assert '"waiting": ""' in system.run(DAEMON).stdout
    assert "PCIEX-8000-0A" in (system.root / "tmp/faulty").read_text()
    log = system.root / "var/lib/pcifma/log.db"
    assert system.run("stat -c %U /var/lib/pcifma/log.db").stdout == "pcifma\n"
    system.run("dpkg -r pcifma")
    assert log.exists()
    assert (system.root / "etc/pcifma/pcifma.yaml").exists()
    assert not (system.root / "opt/pcifma").exists()
    system.run("dpkg -P pcifma")
    assert system.files() == before
    assert system.run("getent passwd pcifma pcifma-plugin; getent group pcifma pcifma-plugin", check=False).stdout == ""


def test_upgrade_goes_on_with_log_and_configuration(system: Debian, package: Path) -> None:
    system.run("dpkg -i /tmp/pcifma.deb")
    configuration = system.root / "etc/pcifma/pcifma.yaml"
    configuration.write_text("poll: {interval: 2s}\n")
    system.run(DAEMON)
    case = (system.root / "tmp/faulty").read_text()
    shutil.copy(renumbered(package, "0.1.1"), system.root / "tmp" / "newer.deb")
    system.run("dpkg --force-confold -i /tmp/newer.deb")
    assert configuration.read_text() == "poll: {interval: 2s}\n"
    system.run(DAEMON)
    uuid = next(word for word in case.split() if word.count("-") == 4)
    listed = system.run("pcifma dump --json -c list.suspect").stdout.splitlines()
    assert [uuid in line for line in listed] == [True]  # not diagnosed, not announced, again


def test_log_of_an_older_version_is_upgraded_and_of_a_newer_one_refused(system: Debian) -> None:
    system.run("dpkg -i /tmp/pcifma.deb")
    python(system, OLD_LOG)
    system.run(DAEMON)
    assert list((system.root / "var/lib/pcifma").glob("log.db.schema-1*"))
    python(system, NEW_LOG)
    refused = system.run("pcifma fmd --source /tmp/fixture", check=False, seconds=60)
    assert refused.returncode == 2
    assert "written by pcifma 0.1.0 (schema" in refused.stderr
    assert "install that version again" in refused.stderr


def test_mistake_in_the_configuration_is_said_when_it_is_installed(system: Debian) -> None:
    system.run("dpkg -i /tmp/pcifma.deb")
    (system.root / "etc/pcifma/conf.d/site.yaml").write_text("poll: {intervall: 1s}\n")
    said = system.run("dpkg -i /tmp/pcifma.deb")
    assert "/etc/pcifma/conf.d/site.yaml: $.poll.intervall: no such setting" in said.stderr
