"""Parts out of service, as the keeper judges them: what it refuses, whatever it is asked, and what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pcifma.fmd.keeper.keeper import RETIREMENTS, Keeper
from pcifma.fmd.keeper.message import Request, Status, Verb
from pcifma.fmd.keeper.retire import RESTORE, RETIRE, RETIRE_HARD, RetireError, Retirer
from pcifma.regs.bdf import Bdf

CARD, DISK, BRIDGE, GUEST = (Bdf.parse(f"0000:0{bus}:00.0") for bus in (4, 5, 0, 6))


class Box:
    """A machine's files below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.put("proc/cpuinfo", "flags\t: fpu sse\n")
        self.put("proc/iomem", "00001000-0009fbff : System RAM\n00100000-3fffffff : System RAM\n  01000000-01ffffff : Kernel code\n")
        self.put("proc/self/mountinfo", "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n")
        self.put("proc/swaps", "Filename Type Size\n")
        self.put("proc/consoles", "tty0 -WU (EC p) 4:1\n")
        for number in range(4):
            self.put(f"sys/devices/system/cpu/cpu{number}/topology/core_id", "0")
            if number:
                self.put(f"sys/devices/system/cpu/cpu{number}/online", "1\n")
        for bdf, class_, driver in (
            (CARD, "0x020000", "mlx5"),
            (DISK, "0x010802", "nvme"),
            (BRIDGE, "0x060400", "pcieport"),
            (GUEST, "0x020000", "vfio-pci"),
        ):
            self.function(bdf, class_, driver)
        self.link("sys/dev/block/8:1", f"sys/devices/pci0000:00/0000:00:01.0/{DISK}/block/sda/sda1")
        self.retirer = Retirer(root / "sys", root / "proc", root / "dev")

    def put(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def link(self, path: str, to: str) -> None:
        (self.root / to).mkdir(parents=True, exist_ok=True)
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).symlink_to(self.root / to)

    def function(self, bdf: Bdf, class_: str, driver: str) -> None:
        place = f"sys/devices/pci0000:00/0000:00:01.0/{bdf}"
        self.put(f"{place}/class", f"{class_}\n")
        self.put(f"{place}/driver_override", "(null)\n")
        self.put(f"sys/bus/pci/drivers/{driver}/unbind", "")
        self.link(f"{place}/driver", f"sys/bus/pci/drivers/{driver}")
        self.link(f"sys/bus/pci/devices/{bdf}", place)

    def text(self, path: str) -> str:
        return (self.root / path).read_text()


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def refused(call: object, *words: object) -> str:
    with pytest.raises(RetireError) as error:
        call(*words)  # type: ignore[operator]
    return str(error.value)


def test_a_processor_goes_and_comes_back(box: Box) -> None:
    assert box.retirer.cpu(2, RETIRE) == "cpu2 is offline"
    assert box.text("sys/devices/system/cpu/cpu2/online") == "0\n"
    assert box.retirer.cpu(2, RETIRE) == "cpu2 is offline already"
    assert box.retirer.cpu(2, RESTORE) == "cpu2 is online"


def test_under_xen_it_is_the_physical_one(box: Box) -> None:
    box.put("sys/hypervisor/type", "xen\n")
    box.put("proc/xen/capabilities", "control_d\n")
    box.put("proc/cpuinfo", "flags\t: fpu hypervisor\n")
    for number in (1, 2):
        box.put(f"sys/devices/system/xen_cpu/xen_cpu{number}/online", "1\n")
    assert box.retirer.cpu(1, RETIRE) == "xen_cpu1 is offline"
    assert box.text("sys/devices/system/cpu/cpu1/online") == "1\n"


def test_the_first_and_the_last_processor_stay(box: Box) -> None:
    assert "cpu0 cannot" in refused(box.retirer.cpu, 0, RETIRE)
    assert "cpu9 cannot" in refused(box.retirer.cpu, 9, RETIRE)
    for name in ("cpu1", "cpu2"):
        box.put(f"sys/devices/system/cpu/{name}/online", "0\n")
    (box.root / "sys/devices/system/cpu/cpu0/topology/core_id").unlink()
    (box.root / "sys/devices/system/cpu/cpu0/topology").rmdir()
    (box.root / "sys/devices/system/cpu/cpu0").rmdir()
    assert "the last that is online" in refused(box.retirer.cpu, 3, RETIRE)


def test_a_guest_takes_nothing_away(box: Box) -> None:
    box.put("proc/cpuinfo", "flags\t: fpu hypervisor\n")
    for call, words in ((box.retirer.cpu, (1, RETIRE)), (box.retirer.page, (0x200, RETIRE)), (box.retirer.function, (CARD, RETIRE))):
        assert "a guest" in refused(call, *words)


def test_pages_go_softly_or_hard_and_only_memory_does(box: Box) -> None:
    for name in ("soft_offline_page", "hard_offline_page"):
        box.put(f"sys/devices/system/memory/{name}", "")
    box.retirer.page(0x2000, RETIRE)
    box.retirer.page(0x2001, RETIRE_HARD)
    assert box.text("sys/devices/system/memory/soft_offline_page") == "0x2000000"
    assert box.text("sys/devices/system/memory/hard_offline_page") == "0x2001000"
    assert "no memory" in refused(box.retirer.page, 0xFE000, RETIRE)
    assert "hwpoison-inject" in refused(box.retirer.page, 0x2000, RESTORE)


def test_a_page_is_given_back_where_the_kernel_can(box: Box) -> None:
    box.put("sys/kernel/debug/hwpoison/unpoison-pfn", "")
    box.retirer.page(0x2000, RESTORE)
    assert box.text("sys/kernel/debug/hwpoison/unpoison-pfn") == "0x2000"


def test_a_function_that_its_driver_does_not_let_go_is_said(box: Box) -> None:
    assert "did not let go" in refused(box.retirer.function, CARD, RETIRE)
    assert box.text("sys/bus/pci/drivers/mlx5/unbind") == str(CARD)
    assert box.text(f"sys/bus/pci/devices/{CARD}/driver_override").startswith("\n")


def test_a_function_without_driver_is_kept_from_one_and_given_back(box: Box) -> None:
    (box.root / f"sys/devices/pci0000:00/0000:00:01.0/{CARD}/driver").unlink()
    assert "no driver" in box.retirer.function(CARD, RETIRE)
    box.put(f"sys/devices/pci0000:00/0000:00:01.0/{CARD}/driver_override", "pcifma-retired\n")
    box.put("sys/bus/pci/drivers_probe", "")
    assert "free" in box.retirer.function(CARD, RESTORE)
    assert box.text("sys/bus/pci/drivers_probe") == str(CARD)


@pytest.mark.parametrize(
    ("bdf", "why"),
    [
        (DISK, "/ is mounted from it"),
        (BRIDGE, "is a bridge"),
        (GUEST, "detach it from its guest"),
        (Bdf.parse("0000:09:00.0"), "is not there"),
    ],
)
def test_what_must_not_go_is_refused(box: Box, bdf: Bdf, why: str) -> None:
    assert why in refused(box.retirer.function, bdf, RETIRE)


def test_the_disk_below_a_mapped_one_is_needed(box: Box) -> None:
    box.put("proc/self/mountinfo", "22 1 253:0 / / rw - ext4 /dev/mapper/root rw\n")
    box.link("sys/dev/block/253:0", "sys/devices/virtual/block/dm-0")
    box.link("sys/devices/virtual/block/dm-0/slaves/sda1", f"sys/devices/pci0000:00/0000:00:01.0/{DISK}/block/sda/sda1")
    assert "is mounted from it" in refused(box.retirer.function, DISK, RETIRE)


@pytest.mark.parametrize(
    ("where", "why"),
    [("console", "ttyS4 is a console"), ("screen", "the screen is on it"), ("route", "the way out is eth0"), ("swap", "it has swap")],
)
def test_console_route_and_swap_are_needed(box: Box, where: str, why: str) -> None:
    place = f"sys/devices/pci0000:00/0000:00:01.0/{CARD}"
    if where == "console":
        box.put("proc/consoles", "ttyS4 -W- (EC a) 4:68\n")
        box.link("sys/class/tty/ttyS4/device", place)
    elif where == "screen":
        box.put(f"{place}/boot_vga", "1\n")
    elif where == "route":
        box.put("proc/net/route", "Iface Destination Gateway\neth0 00000000 0101A8C0\n")
        box.link("sys/class/net/eth0", f"{place}/net/eth0")
    else:
        box.put("proc/swaps", "Filename Type Size\n/dev/sdb2 partition 1\n")
        box.link("sys/class/block/sdb2", f"{place}/block/sdb/sdb2")
    assert why in refused(box.retirer.function, CARD, RETIRE)


def test_only_what_pcifma_took_is_given_back(box: Box) -> None:
    assert "was not retired by pcifma" in refused(box.retirer.function, CARD, RESTORE)


@pytest.mark.parametrize("verb", [Verb.CPU, Verb.PAGE, Verb.FUNCTION])
def test_without_the_operators_consent_nothing_is_done(box: Box, verb: Verb) -> None:
    others = frozenset(RETIREMENTS.values()) - {verb}
    keeper = Keeper(box.root / "sys", clear=True, log=lambda _: None, retire=others)
    reply, fd = keeper.answer(Request(verb, 1, CARD, id=2, bits=0x2000).pack())
    assert (reply.status, reply.text, fd) == (Status.REFUSED, "not allowed by the configuration", None)
    assert box.text("sys/devices/system/cpu/cpu2/online") == "1\n"


def test_a_way_that_is_none_is_no_request(box: Box) -> None:
    keeper = Keeper(box.root / "sys", clear=True, log=lambda _: None, retire=frozenset(RETIREMENTS.values()))
    reply, _ = keeper.answer(Request(Verb.CPU, 1, kind=3, id=2).pack())
    assert reply.status is Status.BAD


def test_a_frame_is_48_bits() -> None:
    request = Request.unpack(Request(Verb.PAGE, 1, offset=0x12, bits=0x3456789A).pack())
    assert request is not None and request.frame == 0x12_3456_789A
