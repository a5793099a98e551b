from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.image import ENDPOINT, Image

from pcifma.access.sysfs import DEVICES, SysfsConfigs, descriptor_limit, open_config
from pcifma.errors import GoneError, ReadError, ShortReadError
from pcifma.regs.bdf import Bdf

FIRST, SECOND = Bdf.parse("0000:00:1c.0"), Bdf.parse("10000:01:00.0")


def image() -> bytes:
    return bytes(Image("", "").header(0x8086, 0x3420, 0x020000).express(0x40, ENDPOINT).aer().data)


def add(root: Path, bdf: Bdf, data: bytes) -> Path:
    folder = root / DEVICES / str(bdf)
    folder.mkdir(parents=True)
    (folder / "config").write_bytes(data)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    add(tmp_path, SECOND, image())
    add(tmp_path, FIRST, image())
    yield tmp_path


@contextmanager
def open_files(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Counting:
    """Opens files and remembers which."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, path: str) -> int:
        self.paths.append(path)
        return open_config(path)


def test_sysfs_lists_functions_in_address_order_and_reads_them(root: Path) -> None:
    configs = SysfsConfigs(root)

    assert list(configs) == [FIRST, SECOND]
    assert configs[SECOND].read(0, 4) == b"\x86\x80\x20\x34"
    assert configs[SECOND].size == 4096
    configs.close()


def test_sysfs_opens_nothing_before_the_first_read_and_once_then(root: Path) -> None:
    opener = Counting()
    configs = SysfsConfigs(root, opener=opener)

    before = list(opener.paths)
    configs[FIRST].read(0, 2)
    configs[FIRST].read(4, 2)

    assert before == []
    assert opener.paths == [str(root / DEVICES / str(FIRST) / "config")]
    configs.close()


def test_sysfs_skips_names_that_are_no_functions(root: Path) -> None:
    (root / DEVICES / "0000:00:1c").mkdir()

    assert len(SysfsConfigs(root)) == 2


@pytest.mark.parametrize("where", ["nothing", "there"])
def test_sysfs_without_pci_has_no_functions(tmp_path: Path, where: str) -> None:
    (tmp_path / "there").mkdir()

    assert dict(SysfsConfigs(tmp_path / where)) == {}


def test_sysfs_read_past_the_end_is_short_and_says_who_sees_more(tmp_path: Path) -> None:
    add(tmp_path, FIRST, image()[:64])
    configs = SysfsConfigs(tmp_path)

    with pytest.raises(ShortReadError, match=r"0000:00:1c\.0: 0 of 4 bytes at 0x104: only root sees more than 64 bytes"):
        configs[FIRST].read(0x104, 4)
    configs.close()


def test_sysfs_removed_function_is_gone(root: Path) -> None:
    configs = SysfsConfigs(root)
    (root / DEVICES / str(FIRST) / "config").unlink()

    with pytest.raises(GoneError, match=r"0000:00:1c\.0: the Function is gone"):
        configs[FIRST].read(0, 2)


def test_sysfs_unreadable_config_names_the_file(root: Path) -> None:
    config = root / DEVICES / str(FIRST) / "config"
    config.unlink()
    config.mkdir()

    with pytest.raises(ReadError, match=r"config cannot be read: Is a directory"):
        SysfsConfigs(root)[FIRST].read(0, 2)


def test_sysfs_size_is_64_where_the_capability_list_cannot_be_read(tmp_path: Path) -> None:
    # Without privilege sysfs claims 4096 and gives 64; a plain file can only claim a little more than it gives a whole head of.
    add(tmp_path, FIRST, image()[:65])

    assert SysfsConfigs(tmp_path)[FIRST].size == 64


def test_sysfs_size_of_a_function_without_capabilities_is_the_files(tmp_path: Path) -> None:
    add(tmp_path, FIRST, bytes(256))

    assert SysfsConfigs(tmp_path)[FIRST].size == 256


def test_sysfs_rescan_keeps_who_stayed_and_follows_the_rest(root: Path) -> None:
    opener = Counting()
    configs = SysfsConfigs(root, opener=opener)
    stayed, left = configs[FIRST], configs[SECOND]
    stayed.read(0, 2)
    left.read(0, 2)
    third = Bdf.parse("0000:02:00.0")
    add(root, third, image())

    configs.rescan([FIRST, third])

    assert list(configs) == [FIRST, third]
    assert configs[FIRST] is stayed
    assert left.read(0, 2) == b"\x86\x80"  # what somebody still holds stays readable until the next rescan
    assert len(opener.paths) == 2
    configs.close()


def test_sysfs_function_that_was_gone_gets_a_new_descriptor_when_it_is_back(root: Path) -> None:
    configs = SysfsConfigs(root)
    folder = root / DEVICES / str(FIRST)
    (folder / "config").rename(folder / "away")
    with pytest.raises(GoneError):
        configs[FIRST].read(0, 2)
    (folder / "away").rename(folder / "config")

    configs.rescan()

    assert configs[FIRST].read(0, 2) == b"\x86\x80"
    configs.close()


def test_sysfs_descriptor_stays_the_same_for_batches(root: Path) -> None:
    configs = SysfsConfigs(root)

    descriptor = configs[FIRST].fileno()

    assert descriptor is not None
    assert os.pread(descriptor, 2, 0) == b"\x86\x80"
    assert configs[FIRST].fileno() == descriptor
    configs.close()


def test_sysfs_file_that_cannot_be_opened_has_no_descriptor(root: Path) -> None:
    (root / DEVICES / str(FIRST) / "config").unlink()

    assert SysfsConfigs(root)[FIRST].fileno() is None


def test_sysfs_with_more_functions_than_files_reads_all_and_promises_no_descriptor(tmp_path: Path) -> None:
    addresses = [Bdf(0, 0, device, 0) for device in range(8)]
    for bdf in addresses:
        add(tmp_path, bdf, image())
    configs = SysfsConfigs(tmp_path)
    configs._pool.fit(8, 3)

    data = [configs[bdf].read(0, 2) for bdf in addresses * 2]

    assert data == [b"\x86\x80"] * 16
    assert len(configs._pool._open) == 3
    assert configs[addresses[0]].fileno() is None
    configs.close()


def test_sysfs_raises_its_soft_limit_of_open_files_as_far_as_it_needs() -> None:
    with open_files(256):
        assert descriptor_limit(300) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 364


def test_sysfs_leaves_a_sufficient_limit_alone() -> None:
    with open_files(256):
        assert descriptor_limit(100) == 100
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256
