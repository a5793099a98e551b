"""Banks read through MSRs: never torn, never of the wrong processor, never a hypervisor's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcifma.access.mca.bank_tree import BankTree
from pcifma.access.mca.banks import TRIES, content, refused
from pcifma.access.mca.processor import Processors, processors
from pcifma.access.mca.shared import Shared
from pcifma.access.tree import MemoryTree
from pcifma.regs import mca

WHOSE = Processors("intel", 0x106A5, apicids={0: 0, 1: 2})
VALID = 1 << 63 | 1 << 59 | 1 << 58
CPUINFO = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 26\nstepping\t: 5\napicid\t\t: 0\nflags\t\t: fpu {flags}\n\n"
)


@dataclass
class Hardware:
    """Processors whose bank 0 holds error *n*: STATUS, ADDR and MISC all say which. *before_read* may change it."""

    error: int = 1
    banks: int = 1
    ids: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 2})
    before_read: Callable[[Hardware, int], None] = lambda self, number: None
    reads: list[int] = field(default_factory=list)

    def read(self, cpu: int, number: int) -> int:
        self.before_read(self, number)
        self.reads.append(number)
        if cpu not in self.ids:
            raise OSError(6, "No such device or address")
        if number == mca.MCG_CAP:
            return 1 << 24 | self.banks
        if number == mca.MCG_STATUS:
            return 0
        part = (number - mca.BANK_0) % 4
        return {mca.STATUS: VALID | 0x0100 | self.error << 16, mca.ADDR: self.error << 12, mca.MISC: self.error << 9 | 0x80}[part]

    def apicid(self, cpu: int) -> int | None:
        return self.ids.get(cpu)


def lines(registers: Hardware, cpu: int = 0, whose: Processors = WHOSE) -> list[dict[str, str]]:
    text = content(registers, cpu, whose).decode()
    return [dict(part.split("=", 1) for part in line.split()) for line in text.splitlines()]


def is_whole(line: dict[str, str]) -> bool:
    error = int(line["status"], 0) >> 16 & 0xFFFF
    return (int(line["addr"], 0) >> 12, int(line["misc"], 0) >> 9) == (error, error)


def test_a_quiet_bank_is_read_whole() -> None:
    (line,) = lines(Hardware())
    assert is_whole(line) and line["bank"] == "0" and line["apicid"] == "0" and "state" not in line


def test_what_is_read_is_never_written_and_never_more_than_declared() -> None:
    registers = Hardware(banks=2)
    lines(registers)
    assert set(registers.reads) <= {mca.MCG_CAP, mca.MCG_STATUS, *(mca.bank_msr(b, p) for b in (0, 1) for p in (1, 2, 3))}


@given(st.lists(st.booleans(), max_size=40))
def test_a_bank_that_changes_while_it_is_read_is_never_told_torn(changes: list[bool]) -> None:
    pending = iter(changes)

    def change(hardware: Hardware, number: int) -> None:
        hardware.error += next(pending, False)

    for line in lines(Hardware(before_read=change)):
        assert line.get("state") == "unstable" or is_whole(line)


def test_reads_that_tear_without_a_second_look_are_found_here() -> None:
    # The same hardware, read the simple way, does tear: so the test above can fail.
    hardware = Hardware(before_read=lambda self, number: setattr(self, "error", self.error + (number == mca.bank_msr(0, mca.ADDR))))
    simple = {name: f"{hardware.read(0, mca.bank_msr(0, part)):#x}" for name, part in (("status", 1), ("addr", 2), ("misc", 3))}
    assert not is_whole(simple)


def test_a_bank_that_never_stands_still_keeps_its_error_and_loses_its_details() -> None:
    def change(hardware: Hardware, number: int) -> None:
        hardware.error += 1

    hardware = Hardware(before_read=change)
    (line,) = lines(hardware)
    assert line["state"] == "unstable" and "addr" not in line and not int(line["status"], 0) >> 58 & 1
    assert hardware.reads.count(mca.bank_msr(0, mca.STATUS)) == TRIES + 1


def test_a_processor_that_becomes_another_one_is_no_evidence() -> None:
    def move(hardware: Hardware, number: int) -> None:
        if number == mca.bank_msr(0, mca.MISC):
            hardware.ids[0] = 7

    assert lines(Hardware(before_read=move)) == [{"cpu": "0", "moved": "0/0/7"}]


def test_a_processor_that_is_not_the_one_of_that_number_is_no_evidence() -> None:
    (line,) = lines(Hardware(ids={0: 5}))
    assert line == {"cpu": "0", "moved": "0/5/5"}


def test_a_processor_that_went_offline_says_nothing() -> None:
    assert lines(Hardware(ids={}), 1) == []


def test_the_reader_is_pinned_and_let_go_again() -> None:
    seen: list[set[int]] = []
    allowed = os.sched_getaffinity(0)
    cpu = max(allowed)
    hardware = Hardware(ids={cpu: 0}, before_read=lambda self, number: seen.append(os.sched_getaffinity(0)))
    lines(hardware, cpu, Processors("intel", 0))
    assert all(one == {cpu} for one in seen) and os.sched_getaffinity(0) == allowed


def test_stale_words_without_their_valid_bits_are_not_read() -> None:
    hardware = Hardware()
    hardware.error = 0
    assert all("addr" in line for line in lines(hardware))
    bare = Bare()
    (line,) = lines(bare)
    assert "addr" not in line and "misc" not in line


class Bare(Hardware):
    """A bank without address."""

    def read(self, cpu: int, number: int) -> int:
        word = super().read(cpu, number)
        return word & ~(3 << 58) if number == mca.bank_msr(0, mca.STATUS) else word


@pytest.mark.parametrize(
    ("cmdline", "flags", "said"),
    [
        ("quiet mce=off", "", ""),
        ("mce=ignore_ce", "", ""),
        ("nomce", "", ""),
        ("quiet", "", "the kernel reads and clears"),
        ("quiet mce=offline", "", "the kernel reads and clears"),
        ("mce=off", "hypervisor", "no evidence"),
    ],
)
def test_banks_are_read_only_where_nobody_else_keeps_them(cmdline: str, flags: str, said: str) -> None:
    whose = Processors("intel", 0, frozenset(flags.split()))
    assert said in refused(cmdline, whose) and bool(refused(cmdline, whose)) == bool(said)


def test_a_bank_that_a_socket_shares_is_told_once_and_again_by_the_next_when_the_first_is_gone() -> None:
    shared = Shared({0: (0, 0), 1: (0, 1), 2: (1, 0)})
    line = {"bank": "7", "status": "0x1", "addr": "0x1000"}
    assert [shared.own(cpu, [line]) for cpu in (0, 1, 2, 0, 1)] == [[line], [], [line], [line], []]
    assert (shared.own(0, []), shared.own(1, [line])) == ([], [line])


def test_the_same_simple_error_of_two_cores_is_two_and_of_two_threads_one() -> None:
    shared = Shared({0: (0, 0), 1: (0, 1), 2: (0, 0)})
    line = {"bank": "1", "status": "0x1"}
    assert [len(shared.own(cpu, [line])) for cpu in (0, 1, 2, 9)] == [1, 1, 0, 1]


class NoDevices:
    """Stands where the devices are, and must not be asked."""

    def processors(self) -> list[int]:
        raise AssertionError("a hypervisor's banks were asked for")


def machine(cmdline: str, flags: str = "") -> MemoryTree:
    return MemoryTree({"/proc/cmdline": cmdline.encode(), "/proc/cpuinfo": CPUINFO.format(flags=flags).encode()}, {})


def test_under_a_hypervisor_nothing_is_even_asked() -> None:
    tree = BankTree(machine("mce=off", "hypervisor"), NoDevices())  # type: ignore[arg-type]
    assert tree.names("/") == []
    with pytest.raises(OSError):
        tree.content("/cpu0")


def test_whose_processors_they_are() -> None:
    class Facts:
        def read(self, path: str) -> bytes | None:
            return CPUINFO.format(flags="smca").encode()

    found = processors(Facts())  # type: ignore[arg-type]
    assert (found.vendor, found.cpuid, found.apicids, "smca" in found.flags) == ("intel", 0x106A5, {0: 0}, True)


def scalable() -> Iterator[int]:
    yield from (mca.bank_msr(0, part, scalable=True) for part in (mca.SMCA_IPID, mca.SMCA_SYND))


def test_scalable_banks_say_whose_they_are() -> None:
    class Scalable(Hardware):
        def read(self, cpu: int, number: int) -> int:
            if number in set(scalable()):
                return 0x96 << 32
            return super().read(cpu, number - mca.SMCA_0 + mca.BANK_0 if number >= mca.SMCA_0 else number)

    (line,) = lines(Scalable(), whose=Processors("amd", 0x830F10, frozenset({"smca"})))
    assert line["ipid"] == hex(0x96 << 32) and line["vendor"] == "amd"
