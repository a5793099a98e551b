"""Overhead of tracing a privcmd call: nothing, `pcifma trace run`, bpftrace, strace, in a dom0.

    python3 bench/xpv.py [CALLS]

Makes CALLS (default 20000) xen_version calls from one thread, bare and under each tracer, and prints the time of one call, best of three.
Needs root in a dom0 with xen_privcmd loaded; tracers that are not installed are left out and named.
"""

import ctypes
import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HYPERCALL, XEN_VERSION = 0x00305000, 17
BPFTRACE = """kprobe:privcmd_ioctl { @op[tid] = *(uint64*)uptr(arg2); @start[tid] = nsecs; }
kretprobe:privcmd_ioctl /@start[tid]/ { @lat[@op[tid]] = hist(nsecs - @start[tid]); delete(@start[tid]); delete(@op[tid]); }"""
STREAMING = """kprobe:privcmd_ioctl { printf("%d %d start %d\\n", cpu, tid, *(uint64*)uptr(arg2)); }
kretprobe:privcmd_ioctl { printf("%d %d end %d\\n", cpu, tid, retval); }"""


def loop(calls: int) -> float:
    """Make *calls* XENVER_version calls and return the seconds of one."""
    structure = (ctypes.c_uint64 * 6)(XEN_VERSION, 0, 0, 0, 0, 0)
    buffer = memoryview(structure).cast("B")
    file = os.open("/dev/xen/privcmd", os.O_RDWR)
    fcntl.ioctl(file, HYPERCALL, buffer)
    begin = time.perf_counter()
    for _ in range(calls):
        fcntl.ioctl(file, HYPERCALL, buffer)
    return (time.perf_counter() - begin) / calls


def worker(calls: int) -> list[str]:
    """Return the command that runs the loop and prints its microseconds."""
    return [sys.executable, __file__, "--loop", str(calls)]


def timed(words: list[str]) -> float:
    """Run *words*; return the microseconds that the loop printed on the last line with a mark."""
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    marked = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("LOOP ")]
    return float(marked[-1].split()[1])


def under(name: str, calls: int) -> float | None:
    """Return the best microseconds of a call under tracer *name*, None if it is not installed."""
    pcifma = str(Path(sys.executable).parent / "pcifma")
    quoted = " ".join(worker(calls))
    commands = {
        "bare": worker(calls),
        "pcifma trace run (stream)": [pcifma, "trace", "run", "--buffer", "65536", "-c", quoted],
        "pcifma trace run -q -o FILE": [pcifma, "trace", "run", "-q", "-o", "/tmp/bench.trace", "--buffer", "65536", "-c", quoted],
        "pcifma trace run --latency": [pcifma, "trace", "run", "--latency", "--buffer", "65536", "-c", quoted],
        "bpftrace hist": ["bpftrace", "-e", BPFTRACE, "-c", quoted],
        "bpftrace printf": ["bpftrace", "-e", STREAMING, "-c", quoted],
        "strace -f -e trace=ioctl": ["strace", "-f", "-e", "trace=ioctl", "-o", "/tmp/bench.strace", *worker(calls)],
        "strace --seccomp-bpf": ["strace", "-f", "--seccomp-bpf", "-e", "trace=ioctl", "-o", "/tmp/bench.strace", *worker(calls)],
    }
    words = commands[name]
    if not shutil.which(words[0]):
        return None
    try:
        return min(timed(words) for _ in range(3))
    except (subprocess.CalledProcessError, IndexError) as err:
        print(f"{name}: failed: {getattr(err, 'stderr', err)!s:.300}", file=sys.stderr)
        return None


def main() -> None:
    """Print one line a tracer."""
    if len(sys.argv) > 2 and sys.argv[1] == "--loop":
        print(f"LOOP {loop(int(sys.argv[2])) * 1e6:.3f}")
        return
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    bare = None
    for name in (
        "bare",
        "pcifma trace run (stream)",
        "pcifma trace run -q -o FILE",
        "pcifma trace run --latency",
        "bpftrace hist",
        "bpftrace printf",
        "strace -f -e trace=ioctl",
        "strace --seccomp-bpf",
    ):
        best = under(name, calls)
        if best is None:
            print(f"{name:<30} not measured")
            continue
        bare = best if bare is None else bare
        print(f"{name:<30} {best:9.2f} us a call  {best - bare:+9.2f} us")


if __name__ == "__main__":
    main()
