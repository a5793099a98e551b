"""What a live trace stands on: definitions, places, leftovers, commands behind a gate, and errors that say what to do."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from pcifma.errors import FormatError, PcifmaError, SourceError, UsageError
from pcifma.xpv.command import runs, spawn, threads
from pcifma.xpv.definition import Place, TraceError, entry, filters, leaving, registers, trial
from pcifma.xpv.elf import function_offset
from pcifma.xpv.live import Request, place
from pcifma.xpv.session import _candidates, _holds_marks, kernel_place, library_place
from pcifma.xpv.table import IOCTLS
from pcifma.xpv.tracefs import Tracefs, mounted

KERNEL = Place("kernel", "xen_privcmd:privcmd_ioctl", registers("x86_64"))
LIBRARY = Place("library", "/lib/libc.so.6:0xfdd30", registers("x86_64"))


@pytest.fixture
def fs(tmp_path: Path) -> Tracefs:
    """A tracefs of plain files, and a /proc in which process 41 began at tick 900."""
    root, proc = tmp_path / "tracing", tmp_path / "proc"
    (root / "instances").mkdir(parents=True)
    (root / "dynamic_events").touch()
    (proc / "41").mkdir(parents=True)
    (proc / "41" / "stat").write_text("41 (a) b) S " + " ".join(["0"] * 18) + " 900 0 0\n")
    return Tracefs(root, proc, tmp_path / "lockdown")


def test_entry_reads_user_memory_from_the_kernel() -> None:
    text = entry("g", KERNEL)
    assert text.startswith("p:g/enter xen_privcmd:privcmd_ioctl cmd=%si:x32 op=+u0(%dx):x64 a0=+u8(%dx):x64")
    assert " d15=+u120(+u8(%dx)):x64 " in text
    assert " n3=+u24(+u24(+u8(%dx))):x64 " in text
    assert " nb0=+u0(+u88(+u8(%dx))):x64 " in text
    assert text.endswith(" q0=+u0(+u0(+u8(%dx))):x64 comm=$comm")


def test_entry_in_the_library_reads_its_own_memory() -> None:
    assert "+u" not in entry("g", LIBRARY)
    assert entry("g", LIBRARY).startswith("p:g/ioc /lib/libc.so.6:0xfdd30 ")


def test_entry_stays_within_what_a_probe_may_fetch() -> None:
    assert entry("g", KERNEL).count("=") <= 128  # MAX_TRACE_ARGS, kernel/trace/trace_probe.h


@pytest.mark.parametrize(("machine", "fetch"), [("x86_64", "cmd=%si:x32"), ("aarch64", "cmd=%x1:x32")])
def test_entry_knows_the_architecture(machine: str, fetch: str) -> None:
    assert fetch in entry("g", Place("kernel", "privcmd_ioctl", registers(machine)))


def test_other_architectures_are_refused() -> None:
    with pytest.raises(TraceError, match="riscv64"):
        registers("riscv64")


def test_return_without_an_address_has_only_the_result() -> None:
    assert leaving("g", KERNEL, None) == "r64:g/exit xen_privcmd:privcmd_ioctl ret=$retval:s64"


def test_return_with_an_address_reads_the_structure_again() -> None:
    text = leaving("g", KERNEL, "%r12")
    assert " op=+u0(%r12):x64 r0=+u0(+u8(%r12)):x64 r1=+u8(+u8(%r12)):x64 " in text
    assert leaving("g", LIBRARY, "-48(%sp)").startswith("r:g/iocr /lib/libc.so.6:0xfdd30 ret=$retval:s32 op=+0(-48(%sp)):x64")


def test_trial_tries_every_candidate() -> None:
    assert trial("g", KERNEL).count(":x64") == len(KERNEL.candidates())


def test_place_that_shows_every_mark_is_found_among_foreign_calls() -> None:
    rows = [(0x1, 0x5A17C0D1), (0x2, 0x99), (0x5A17C0D1, 0x2B3D4F61), (0x4, 0x13579BDF), (0x5, 0x6E5D4C3B)]
    trace = "".join(f" x-1 [000] ..... 1.000000: trial: (a <- b) c0={a:#x} c1={b:#x}\n" for a, b in rows)
    assert [_holds_marks(values) for values in _candidates(trace, 3)] == [False, True, False]


def test_library_filter_passes_every_ioctl_of_privcmd() -> None:
    assert filters(KERNEL) == {}
    assert all(f"cmd == {row.command:#x}" in filters(LIBRARY)["ioc"] for row in IOCTLS)


@pytest.mark.parametrize(
    ("symbols", "spot", "present"),
    [
        ("0 t privcmd_ioctl\t[xen_privcmd]\n", "xen_privcmd:privcmd_ioctl", True),
        ("0 t privcmd_ioctl\n", "privcmd_ioctl", True),
        ("0 t privcmd_ioctl_mmap_batch.isra.0\t[xen_privcmd]\n", "xen_privcmd:privcmd_ioctl", False),
        ("", "xen_privcmd:privcmd_ioctl", False),
    ],
)
def test_kernel_place_knows_module_built_in_and_not_loaded(tmp_path: Path, symbols: str, spot: str, *, present: bool) -> None:
    (tmp_path / "kallsyms").write_text(symbols)
    found, there = kernel_place(tmp_path / "kallsyms", "x86_64")
    assert (found.spot, there) == (spot, present)


def test_library_place_is_this_process_own_library() -> None:
    spot = library_place().spot
    path, _, offset = spot.rpartition(":")
    assert "libc" in path or "musl" in path
    assert int(offset, 16) > 0


def test_function_offset_is_where_the_loader_put_it() -> None:
    path, _, offset = library_place().spot.rpartition(":")
    address = ctypes.cast(ctypes.CDLL(None).ioctl, ctypes.c_void_p).value
    assert address is not None
    for line in Path("/proc/self/maps").read_text().splitlines():
        words = line.split()
        start, end = (int(text, 16) for text in words[0].split("-"))
        if start <= address < end:
            assert (words[5], address - start + int(words[2], 16)) == (path, int(offset, 16))


def test_function_offset_refuses_what_is_no_library(tmp_path: Path) -> None:
    text = tmp_path / "libc.so.6"
    with pytest.raises(SourceError, match=r"libc\.so\.6: No such file"):
        function_offset(str(text), "ioctl")
    text.write_bytes(b"\x7fELF\x02\x01" + b"\xff" * 60)
    with pytest.raises(FormatError, match=r"libc\.so\.6"):
        function_offset(str(text), "ioctl")
    path = library_place().spot.rpartition(":")[0]
    with pytest.raises(FormatError, match="exports no function no_such_function"):
        function_offset(path, "no_such_function")


def test_sweep_removes_the_dead_and_leaves_the_living(fs: Tracefs) -> None:
    for name in ("pcifma_41_900", "pcifma_41_899", "pcifma_77_1", "somebody"):
        (fs.root / "instances" / name).mkdir()
    assert fs.sweep() == ("pcifma_41_899", "pcifma_77_1")
    assert sorted(path.name for path in (fs.root / "instances").iterdir()) == ["pcifma_41_900", "somebody"]


def test_sweep_removes_probes_without_an_instance(fs: Tracefs) -> None:
    (fs.root / "dynamic_events").write_text("p:pcifma_77_1/enter xen_privcmd:privcmd_ioctl cmd=%si\nr64:mine/exit privcmd_ioctl\n")
    assert fs.sweep() == ("pcifma_77_1",)
    assert (fs.root / "dynamic_events").read_text().endswith("-:pcifma_77_1/enter\n")


def test_own_name_tells_this_process(tmp_path: Path) -> None:
    fs = Tracefs(tmp_path)
    pid, start = fs.own_name().removeprefix("pcifma_").split("_")
    assert (int(pid), start) == (os.getpid(), fs.start_time(os.getpid()))


def test_old_kernels_define_in_their_own_files(fs: Tracefs) -> None:
    (fs.root / "dynamic_events").unlink()
    (fs.root / "kprobe_events").touch()
    (fs.root / "uprobe_events").touch()
    fs.define(leaving("g", KERNEL, None))
    fs.define(leaving("g", LIBRARY, None))
    assert "xen_privcmd" in (fs.root / "kprobe_events").read_text()
    assert "libc.so.6" in (fs.root / "uprobe_events").read_text()


def test_refusals_say_why_and_what_to_do(fs: Tracefs) -> None:
    refused = OSError(errno.EPERM, "Operation not permitted")
    assert "needs root" in str(fs.explained("dynamic_events", refused))
    fs.lockdown.write_text("none integrity [confidentiality]\n")
    assert "lockdown=confidentiality forbids probes" in str(fs.explained("dynamic_events", refused))
    (fs.root / "error_log").write_text("[  1.0] trace_kprobe: error: Invalid probed address\n  Command: p:x\n")
    invalid = OSError(errno.EINVAL, "Invalid argument")
    assert str(fs.explained("dynamic_events", invalid)).endswith("Invalid argument: trace_kprobe: error: Invalid probed address")


def test_missing_tracefs_says_how_to_mount_it(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="mount -t tracefs" if os.geteuid() == 0 else "needs root"):
        mounted((str(tmp_path / "nowhere"),))


def test_kernel_without_kprobes_falls_back_to_the_library(fs: Tracefs) -> None:
    (fs.root / "uprobe_events").touch()
    said: list[str] = []
    assert place(Request(), fs, said.append).layer == "library"
    assert any("this kernel has no kprobes: watching ioctl in" in line for line in said)
    with pytest.raises(TraceError, match="CONFIG_KPROBE_EVENTS"):
        place(Request(via="kernel"), fs, said.append)


def test_kernel_with_nothing_is_refused(fs: Tracefs) -> None:
    with pytest.raises(TraceError, match="neither kprobes nor uprobes"):
        place(Request(), fs, print)


def test_command_waits_at_its_gate_and_tells_its_status(tmp_path: Path) -> None:
    child = spawn(f"sh -c 'echo ran > {tmp_path}/out; exit 3'")
    assert not child.ended()
    assert not (tmp_path / "out").exists()
    child.release()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.ended()
    child.close()
    assert ((tmp_path / "out").read_text(), child.status) == ("ran\n", 3)


def test_command_that_is_never_released_never_runs(tmp_path: Path) -> None:
    child = spawn(f"touch {tmp_path}/out")
    child.close()
    assert not (tmp_path / "out").exists()
    assert not runs(child.pid)


@pytest.mark.parametrize("words", ["", "'unclosed", "/no/such/program"])
def test_command_that_cannot_run_is_refused(words: str) -> None:
    with pytest.raises(UsageError):
        spawn(words).release()


def test_process_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="-p 5"):
        threads(5, tmp_path)
    assert not runs(5, tmp_path)
    assert os.getpid() in threads(os.getpid())


def test_errors_are_of_the_one_tree() -> None:
    assert issubclass(TraceError, PcifmaError)
    assert TraceError.tag == "trace"
