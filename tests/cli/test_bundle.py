"""A case for a vendor: with the daemon up and down, whole and redacted, the same bytes each time, private to its maker."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import Daemon, configure, daemon

from pcifma.cli.pseudonym import Pseudonyms
from pcifma.cli.tar import packed, write
from pcifma.errors import UsageError

FIXTURE = Path(__file__).parents[2] / "fixtures" / "malformed-tlp-nomsi"
CARD, SERIAL, HOST, GUEST = "0000:04:00.0", "0002c90300c0ffee", "pve-17.example.org", "web-12-customer"
BOOT = "5ec4e7b0-7e57-4b00-9d1d-0123456789ab"
QUICK = "modules: {pcie_diagnosis: {window: 200ms}}\npoll: {interval: 200ms}\n"
SECRETS = (SERIAL, "ee ff c0 00 03 c9 02 00", HOST, "pve-17", GUEST, BOOT, "root=UUID=")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fixture with names in it, and a root for its daemon."""
    root = tmp_path_factory.mktemp("bundle")
    shutil.copytree(FIXTURE, root / "fixture")
    facts = {
        "proc/sys/kernel/hostname": HOST, "proc/sys/kernel/random/boot_id": BOOT, "proc/sys/kernel/osrelease": "6.8.12-4-pve",
        "proc/cmdline": "root=UUID=0815 pci=nomsi", "sys/class/dmi/id/bios_version": "2.3.4", "xenstore/local/domain/7/name": GUEST,
        "xenstore/local/domain/0/backend/pci/7/0/dev-0": CARD,
    }  # fmt: skip
    for path, text in facts.items():
        file = root / "fixture/host" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    link = root / f"fixture/host/sys/bus/pci/devices/{CARD}/driver"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("../../../../bus/pci/drivers/pciback")
    configure(root, QUICK)
    return root


@pytest.fixture(scope="module")
def fmd(root: Path) -> Iterator[Daemon]:
    with daemon(root, "--source", str(root / "fixture")) as running:
        running.until(lambda: "list.suspect" in running.classes(), "a case")
        yield running


def pcifma(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("pcifma")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=cwd)


def case_of(root: Path) -> str:
    return str(json.loads(pcifma("dump", "--json", "--root", str(root)).stdout.splitlines()[0])["uuid"])


def bundle(fmd: Daemon, path: Path, *words: str) -> dict[str, str]:
    done = pcifma("bundle", case_of(fmd.paths.root)[:8], "-o", str(path), "--root", str(fmd.paths.root), *words)
    assert (done.returncode, done.stderr) == (0, "")
    return unpacked(path.read_bytes())


def unpacked(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {member.name.partition("/")[2]: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read().decode() for name, file in found.items() if file is not None}


def test_bundle_has_the_case_its_registers_parts_machine_and_timeline(fmd: Daemon, tmp_path: Path) -> None:
    files = bundle(fmd, tmp_path / "a.tar")

    assert "ereport.io.pciex.tl.mtlp" in files["case.txt"]
    assert f"serial {SERIAL}  slot Slot 7" in files["case.txt"]
    assert json.loads(files["case.json"])["lists"][0]["class"] == "list.suspect"
    assert "ereport.io.pciex.tl.mtlp at 0000:04:00.0" in files["timeline.txt"]
    assert "pcie_ue_status       0x40000" in files["registers-logged.txt"]
    assert json.loads(files["machine.json"])["facts"]["/sys/class/dmi/id/bios_version"] == "2.3.4"
    assert json.loads(files["machine.json"])["facts"]["/proc/sys/kernel/osrelease"] == "6.8.12-4-pve"
    assert json.loads(files["parts.json"])[CARD]["guest"] == f"{GUEST} (dom 7)"
    assert {json.loads(line)["class"] for line in files["ereports.jsonl"].splitlines()} >= {"ereport.io.pci.fabric"}
    sums = files.pop("SHA256SUMS").splitlines()
    assert sorted(sums) == sorted(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}" for name, text in files.items())


def test_its_registers_are_a_capture_that_sweep_takes(fmd: Daemon, tmp_path: Path) -> None:
    (tmp_path / "now.lspci").write_text(bundle(fmd, tmp_path / "a.tar")["registers-now.lspci"])

    swept = pcifma("sweep", "--json", str(tmp_path / "now.lspci"))

    assert (swept.returncode, swept.stderr) == (1, "")
    lines = [json.loads(line) for line in swept.stdout.splitlines()]
    assert [line["device"] for line in lines if line["class"] == "ereport.io.pciex.tl.mtlp"] == [CARD]
    assert lines[-1]["functions"] == 4  # the card, and every port above it


def test_same_facts_make_the_same_bytes_which_only_the_maker_can_read(fmd: Daemon, tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        bundle(fmd, tmp_path / name)

    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert (tmp_path / "a.tar").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar"]


def test_whole_bundle_tells_each_name_and_redacted_one_none(fmd: Daemon, tmp_path: Path) -> None:
    plain = "".join(bundle(fmd, tmp_path / "a.tar").values())
    files = bundle(fmd, tmp_path / "r.tar", "--redact")
    redacted = (tmp_path / "r.tar").read_bytes().lower()

    for secret in SECRETS:
        assert secret in plain
        assert secret.lower().encode() not in redacted
    assert json.loads(files["parts.json"])[CARD]["guest"].startswith("guest-")
    assert json.loads(files["parts.json"])[CARD]["serial"] == "0002c90000000001"
    assert "01 00 00 00 00 c9 02 00" in files["registers-now.lspci"]
    assert {json.loads(line)["host"] for line in files["ereports.jsonl"].splitlines()} <= {"host-1", "host-2"}
    assert "6.8.12-4-pve" in files["machine.json"]
    assert "pci=nomsi" in files["machine.json"]


def test_bundle_comes_from_the_log_alone_when_the_daemon_is_down(root: Path, tmp_path: Path) -> None:
    fixture, root = root / "fixture", tmp_path / "other"
    configure(root, QUICK)
    with daemon(root, "--source", str(fixture)) as running:
        running.until(lambda: "list.suspect" in running.classes(), "a case")
        running.stop()
        uuid = case_of(root)
        done = pcifma("bundle", uuid[:8], "--root", str(root), cwd=tmp_path)
        whole = pcifma("bundle", uuid[:8], "--whole", "--root", str(root), cwd=tmp_path)

    assert done.returncode == 0
    assert "the registers as they are now are not in it" in done.stderr
    files = unpacked((tmp_path / f"pcifma-case-{uuid[:8]}.tar").read_bytes())
    assert "registers-now.lspci" not in files
    assert "the registers as they are now are not in it" in files["README.txt"]
    assert "pcie_ue_status       0x40000" in files["registers-logged.txt"]
    assert (whole.returncode, len(whole.stderr.splitlines())) == (2, 1)


def test_no_such_case_makes_no_file(fmd: Daemon, tmp_path: Path) -> None:
    done = pcifma("bundle", "feedface", "--root", str(fmd.paths.root), cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "no case begins so" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file or directory: give another with -o"):
        write(tmp_path / "nowhere" / "a.tar", "a", {"x": "y"}, 0)
    (tmp_path / "a.tar").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write(tmp_path / "a.tar", "a", {"x": "y"}, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_tar_is_the_same_whatever_order_and_whoever_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first = packed("case", {"a": "1", "b": "2"}, 5)
    monkeypatch.setattr(os, "getuid", lambda: 4711)

    assert packed("case", {"b": "2", "a": "1"}, 5) == first


def test_pseudonyms_are_the_same_for_the_same_name_in_any_case() -> None:
    names = Pseudonyms()
    names.add("host", {"PVE-17", "db"})
    names.add("guest", ["web"])
    names.add_serial(SERIAL)

    said = names.text(f"pve-17 and Pve-17: web, website, db, dbx, {SERIAL.upper()} 00-02-C9-03-00-C0-FF-EE")

    assert said == "host-2 and host-2: guest-1, website, host-1, dbx, 0002c90000000001 00-02-c9-00-00-00-00-01"
    assert names.serial(int(SERIAL, 16)) == 0x0002C90000000001
    assert names.serial(1) == 1


def test_nothing_is_replaced_where_no_name_is_known() -> None:
    assert Pseudonyms().text("pve-17") == "pve-17"
