"""The three seams: ConfigSpace (bytes of one Function), Host (named facts and record streams), Clock. Nobody above knows
whether a machine is live, a capture or a fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from pcifma.regs.bdf import Bdf

Kind = Literal["live", "sysfs", "capture", "fixture"]

MCE_RECORD = "mce_record"
"""The stream of machine checks: one record an error, members named as in the kernel's tracepoint of that name."""

HYPERCALL = "hypercall"
"""The stream of hypercalls of dom0's control tools that failed or took long: hypercall, operation, domain, error, latency_us, comm, tid."""

STATED = "/platform"
"""Host facts below it are what a fixture states of its platform: `/platform/role` and the like. No other machine has them."""


class ConfigSpace(Protocol):
    """Configuration space of one Function."""

    @property
    def size(self) -> int:
        """Bytes that can be read from here: 64 (no privilege), 256, or 4096; captures may end anywhere."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly *length* bytes at *offset*; ShortReadError, GoneError or BusyError, never 0xff in their place."""


class WritableConfigSpace(ConfigSpace, Protocol):
    """Held by the keeper alone, and by fixtures, where clearing is testable."""

    def write(self, offset: int, data: bytes) -> None:
        """Write *data* (1, 2 or 4 bytes, one register); WriteRefusedError if the kernel refuses."""


class Record(NamedTuple):
    """One record of a Host stream, as the kernel gave it: *name* of the stream, fields, boot time in ns."""

    stream: str
    fields: Mapping[str, str]
    boot_ns: int


class Host(Protocol):
    """Facts of the host by their path, as `/proc/cmdline` or `/sys/bus/pci/devices/0000:00:03.0/power_state`.

    A recorded host is a directory with the same paths, so that any fact can be recorded and replayed.
    """

    def read(self, path: str) -> bytes | None:
        """The file's content; None where it does not exist or may not be read (see *why*)."""

    def entries(self, path: str) -> tuple[str, ...]:
        """Sorted names in the directory; empty where it does not exist."""

    def link(self, path: str) -> str | None:
        """Where the symbolic link points (its text), or None."""

    def why(self, path: str) -> str:
        """Why *read* gave None: `absent`, `not recorded`, `permission denied`, `masked by the container`, …"""

    def stream(self, name: str) -> Iterator[Record]:
        """Records of a stream (`uevent`, `aer_event`, `mce_record`, `hypercall`, `irq`) that are there now; empty if there is none."""


class Clock(Protocol):
    """Time. Windows run on boot time; wall time is for people."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""

    def boot_ns(self) -> int:
        """Nanoseconds since boot, suspend included; never goes back."""

    def wait_until(self, boot_ns: int) -> None:
        """Return when boot_ns() is at least *boot_ns*."""


_NOTHING: Mapping[Any, str] = MappingProxyType({})


class Machine:
    """One source of truth, live or recorded: its Functions' configuration spaces, host facts, and clock.

    *name* is the host's name (a capture's file name); *boot* its boot id, or what works it out; *unread* the Functions that are
    known to exist but cannot be read from here, with the reason. *platform* has facts that a fixture states and that override
    detection. *complaints* are what was wrong with the source and did not keep it from being used, one line each.
    """

    configs: Mapping[Bdf, ConfigSpace]
    clock: Clock

    def __init__(
        self,
        kind: Kind,
        name: str,
        boot: str | Callable[[], str],
        *,
        configs: Mapping[Bdf, ConfigSpace],
        host: Host,
        clock: Clock,
        unread: Mapping[Bdf, str] = _NOTHING,
        platform: Mapping[str, str] = _NOTHING,
        complaints: tuple[str, ...] = (),
    ) -> None:
        self.kind, self.name = kind, name
        self.configs, self.host, self.clock = configs, host, clock
        self.unread, self.platform, self.complaints = unread, platform, complaints
        self._boot = boot

    @cached_property
    def boot(self) -> str:
        """The boot id; each ereport has it, and a machine without any never needs it."""
        return self._boot if isinstance(self._boot, str) else self._boot()

    def but(
        self,
        *,
        kind: Kind | None = None,
        configs: Mapping[Bdf, ConfigSpace] | None = None,
        host: Host | None = None,
        clock: Clock | None = None,
        platform: Mapping[str, str] | None = None,
    ) -> Machine:
        """This machine with these parts in the place of its own."""
        return Machine(
            kind or self.kind, self.name, self._boot, configs=self.configs if configs is None else configs, host=host or self.host,
            clock=clock or self.clock, unread=self.unread, platform=self.platform if platform is None else platform,
            complaints=self.complaints,
        )  # fmt: skip
