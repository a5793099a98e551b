"""Builds records and calls of the xpv provider, and finds its recordings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from pcifma.xpv.call import Call, Return
from pcifma.xpv.decode import Decoder
from pcifma.xpv.line import Enter, Exit, Layer, Record
from pcifma.xpv.recording import opened

DATA = Path(__file__).parent.parent / "xpv" / "data"
SHARED = Path(__file__).parents[3] / "shared" / "facts" / "xpv-data"
HYPERCALL = 0x00305000
POINTER = 0x7F0000001000
STALE = 0xFFFF888000123456


def shared_recording(name: str) -> str:
    """Return the path of a recording kept beside the checkout; skips the test where it is not there."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no recording {name}: ../shared/facts/xpv-data is not beside this checkout")
    return str(path)


def shared_recordings() -> list[str]:
    """Return the names of all recordings beside the checkout."""
    return sorted(f"{path.parent.name}/{path.name}" for path in SHARED.glob("traces*/*.trace"))


def enter(
    op: int,
    *args: int,
    tid: int = 1,
    time_us: int = 0,
    comm: str = "xl",
    command: int = HYPERCALL,
    layer: Layer = "kernel",
    behind0: tuple[int, ...] = (),
    behind1: tuple[int, ...] = (),
    n: tuple[int, ...] = (),
    buffer: tuple[int, ...] = (),
) -> Enter:
    """Return an entry record: the ioctl's words, and what was read behind them (*n*: behind a multicall's first entry)."""
    words = (op, *args, *(0,) * (5 - len(args)))
    return Enter(0, tid, comm, time_us * 1000, layer, command, words, behind0, behind1, (n,) if n else (), buffer)


def leave(
    result: int = 0, *, tid: int = 1, time_us: int = 10, op: int | None = None, again: tuple[int, ...] = (), layer: Layer = "kernel"
) -> Exit:
    """Return a return record; *again* are the words behind the first argument after the call."""
    return Exit(0, tid, "xl", time_us * 1000, layer, result, op, again)


def domctl(number: int, domain: int, *more: int, version: int = 0x15, tid: int = 1, time_us: int = 0, comm: str = "xl") -> Enter:
    """Return the entry of a domctl; *more* are the words from offset 16 on."""
    header = (number | version << 32, domain, *more, *(0,) * (14 - len(more)))
    return enter(36, POINTER, behind0=header, tid=tid, time_us=time_us, comm=comm)


def memory_op(number: int, *struct: int, tid: int = 1, time_us: int = 0, comm: str = "xl") -> Enter:
    """Return the entry of a memory_op as libxc sends it: a multicall of one."""
    entry = (12, 0, number, POINTER + 0x1000, 0, 0, 0, 0)
    return enter(13, POINTER, 1, behind0=entry, n=struct, tid=tid, time_us=time_us, comm=comm)


def reservation(domain: int, extents: int, order: int = 0) -> tuple[int, int, int, int]:
    """Return the words of struct xen_memory_reservation."""
    return (POINTER, extents, order, domain)


def moments(records: Iterable[Record], decoder: Decoder | None = None) -> list[Call | Return]:
    """Return all calls and returns of *records*."""
    decoder = decoder or Decoder()
    return [moment for record in records for moment in decoder.feed(record) if isinstance(moment, Call | Return)]


def replayed(path: str) -> list[Call | Return]:
    """Return all calls and returns of the recording at *path*."""
    with opened(path) as recording:
        return moments(recording.records(), Decoder(*recording.survey()))


def started(path: str, *, background: bool = False) -> list[tuple[str, str | None]]:
    """Return the sites of the calls in the recording at *path*, in order; those of the tools alone unless *background*."""
    return [m.site for m in replayed(path) if isinstance(m, Call) and (background or m.comm in ("xl", "libxl-save-help"))]
