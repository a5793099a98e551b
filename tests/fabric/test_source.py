"""One machine, read live from sysfs and from a capture of it: the same fabric. And what was read to get it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.fabric import bridge, endpoint, root_port
from support.image import DOWNSTREAM, UPSTREAM, Image, capture

from pcifma.access.open import open_capture, open_source
from pcifma.access.seam import ConfigSpace
from pcifma.fabric.build import build
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.fmri import hc, identity

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def board() -> list[Image]:
    pf = endpoint("0000:04:00.0").extended(0x160, 0x0010).extended(0x1A0, 0x0003)
    pf.put(0x168, 1, 2).put(0x170, 2, 2).put(0x174, 1, 2).put(0x176, 1, 2).put(0x17A, 0x1018, 2).put(0x1A4, 0x1122334455667788, 8)
    vf = endpoint("0000:04:00.1").put(0, 0xFFFFFFFF, 4)
    return [
        root_port("0000:00:03.0", 1, 4, slot=3),
        bridge("0000:01:00.0", UPSTREAM, 2, 4),
        bridge("0000:02:00.0", DOWNSTREAM, 4, 4),
        pf,
        vf,
        Image("0000:00:1f.0", "LPC").header(0x8086, 0xA2CA, 0x060100),
        root_port("10000:00:00.0", 1, 1),
        endpoint("10000:01:00.0"),
    ]


def sysfs(root: Path, images: list[Image]) -> Path:
    """A tree as the kernel lays it out: devices below each other, links to them, attributes beside `config`."""
    fabric = build(open_capture(capture(*images).encode(), "x"))
    for image, function in zip(sorted(images, key=lambda i: list(map(str, fabric.functions)).index(i.bdf)), fabric, strict=True):
        home = root / function.sysfs[1:]
        home.mkdir(parents=True)
        (home / "config").write_bytes(image.data)
        link = root / "bus/pci/devices" / str(function.bdf)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(home, link.parent))
        if function.physfn is not None:
            (home / "physfn").symlink_to(f"../{function.physfn}")
    return root


def described(fabric: Fabric) -> list[tuple[object, ...]]:
    return [(f._replace(driver=None, size=0), hc(fabric, f), identity(fabric, f)) for f in fabric]


def test_sysfs_and_its_capture_give_the_same_fabric(tmp_path: Path) -> None:
    images = board()
    live = build(open_source(str(sysfs(tmp_path / "sys", images)), host_root=tmp_path))
    recorded = build(open_capture(capture(*images).encode(), "x"))
    assert described(live) == described(recorded)
    assert (live.id, live.below, live.virtual) == (recorded.id, recorded.below, recorded.virtual)


def test_vmd_domain_has_five_digits_and_a_root_of_its_own(tmp_path: Path) -> None:
    fabric = build(open_capture(capture(*board()).encode(), "x"))
    nvme = next(f for f in fabric if str(f.bdf) == "10000:01:00.0")
    assert hc(fabric, nvme) == "hc:///hostbridge=10000-00/pciexrc=00/pciexbus=01/pciexdev=0/pciexfn=0"
    assert nvme.sysfs == "/devices/pci10000:00/10000:00:00.0/10000:01:00.0"


class Watched:
    """Configuration space that remembers which bytes were read."""

    def __init__(self, inner: ConfigSpace) -> None:
        self.inner, self.seen = inner, set[int]()
        self.size = inner.size

    def read(self, offset: int, length: int) -> bytes:
        self.seen |= set(range(offset, offset + length))
        return self.inner.read(offset, length)


def test_nothing_is_read_but_header_chains_and_declared_registers() -> None:
    machine = open_capture(capture(*board()).encode(), "x")
    spaces = {bdf: Watched(config) for bdf, config in machine.configs.items()}
    build(machine.but(configs=spaces))
    pf = next(space for bdf, space in spaces.items() if str(bdf) == "0000:04:00.0")
    express, aer, sriov, dsn = 0x40, 0x100, 0x160, 0x1A0
    heads = {*range(express, express + 4), *range(aer, aer + 4), *range(sriov, sriov + 4), *range(dsn, dsn + 4)}
    declared = {*range(dsn + 4, dsn + 12), *range(sriov + 8, sriov + 0x1C)}
    assert pf.seen - set(range(64)) <= heads | declared | set(range(express, express + 0x3C))


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus of captures at {CORPUS}")
@pytest.mark.parametrize("name", ["tree-asus-p6t6", "tree-fsl-p2020", "tree-fujitsu-p8010", "PCI-X-bridges-and-domains"])
def test_every_function_of_a_real_machine_has_its_own_names(name: str) -> None:
    fabric = build(open_source(str(CORPUS / "pciutils" / f"{name}.txt")))
    for naming in (hc, identity):
        assert len({naming(fabric, f) for f in fabric}) == len(fabric.functions)
